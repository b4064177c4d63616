"""Tables 1-6 and 8-13 of the paper as data: what a row changes, and its published mIoU.

Table 7 is the test server's and has no rows: the two-stage recipe trains its model.
"""

import difflib
import fnmatch
from collections.abc import Iterable
from dataclasses import dataclass, field, replace

# What rows that change crop or batch size change it from (section 4.1).
PAPER_CROP, PAPER_BATCH_SIZE = 513, 16

ASPP = 'deeplabv3x_r101_os16_voc.py'
CASCADE = 'deeplabv3x_r101_cascade7_os16_voc.py'
CITYSCAPES = 'deeplabv3x_r101_os16_cityscapes.py'
FINE_AND_COARSE = 'deeplabv3x_r101_finecoarse_os16_cityscapes.py'

VOC_SCALES = (0.5, 0.75, 1.0, 1.25, 1.5, 1.75)
CITYSCAPES_SCALES = (0.75, 1.0, 1.25)
CITYSCAPES_TEST_SCALES = (0.75, 1.0, 1.25, 1.5, 1.75, 2.0)

# Published mIoU in percent, on PASCAL VOC 2012 val unless said otherwise.

# ResNet-50 up to block7: output_stride -> mIoU
TABLE1 = {8: 75.18, 16: 73.88, 32: 70.06, 64: 59.99, 128: 42.34, 256: 20.29}

# output_stride 16: depth -> mIoU up to block4, 5, 6, 7
TABLE2 = {
    50: (64.81, 72.14, 74.29, 73.88),
    101: (68.39, 73.21, 75.34, 75.76),
}

# ResNet-101, output_stride 16: Multi_Grid of every block -> mIoU up to block4, 5, 6, 7
TABLE3 = {
    (1, 1, 1): (68.39, 73.21, 75.34, 75.76),
    (1, 2, 1): (70.23, 75.67, 76.09, 76.66),
    (1, 2, 3): (73.14, 75.78, 75.96, 76.11),
    (1, 2, 4): (73.45, 75.74, 75.85, 76.02),
    (2, 2, 2): (71.45, 74.30, 74.70, 74.62),
}

# one training, four evaluations: output_stride 16; 8; 8 multi-scale; 8 multi-scale and flip
TABLE4 = (76.66, 78.05, 78.93, 79.35)  # up to block7, Multi_Grid (1, 2, 1)
TABLE6 = (77.21, 78.51, 79.45, 79.77)  # the last row of Table 5
TABLE12 = (77.23, 77.82, 79.06, 79.30)  # the same on Cityscapes val
TABLE6_COCO = 82.70

# ResNet-101, output_stride 16: (Multi_Grid, ASPP rates, image pooling) -> mIoU
TABLE5 = {
    ((1, 1, 1), (6, 12, 18), False): 75.36,
    ((1, 2, 1), (6, 12, 18), False): 75.93,
    ((1, 2, 4), (6, 12, 18), False): 76.58,
    ((1, 2, 4), (6, 12, 18, 24), False): 76.46,
    ((1, 2, 4), (6, 12, 18), True): 77.21,
}

# what is taken away from the last row of Table 5
TABLE8 = {'reference': 77.21, 'no-bn': 75.95, 'labels-down': 76.01, 'crop321': 67.22}

# batch size -> mIoU
TABLE9 = {4: 64.43, 8: 75.76, 12: 76.49, 16: 77.21}

# (output_stride trained at, evaluated at) -> mIoU
TABLE10 = {
    (8, 16): 74.45,
    (16, 16): 77.21,
    (32, 16): 75.90,
    (8, 8): 75.62,
    (16, 8): 78.51,
    (32, 8): 75.75,
}

# asynchronous replicas -> mIoU
TABLE11 = {1: 77.21, 2: 77.15, 4: 76.79, 8: 77.02, 16: 77.18, 32: 76.69}

TABLE13 = 81.3  # Cityscapes test

# The row that the others of a table are compared with.
REFERENCES = {
    1: 'table1/os16',
    2: 'table2/r101-block4',
    3: 'table3/mg111-block4',
    4: 'table4/os16',
    5: 'table5/mg111',
    6: 'table6/os16',
    8: 'table8/reference',
    9: 'table9/batch16',
    10: 'table10/train16-eval16',
    11: 'table11/replicas1',
    12: 'table12/os16',
    13: 'table13/test',
}


@dataclass(frozen=True)
class Row:
    """One row (or cell) of a table.

    Attributes:
        id: Such as ``table3/mg121-block7``.
        change: What it changes, in words.
        miou: Published mIoU in percent.
        base: File of ``configs/`` that it is a change of.
        overrides: The change, as dotted ``--cfg-options``.
        depth: Depth of the ResNet.
        crop: Side of the training crop on VOC, in pixels.
        batch_size: Training batch on VOC.
        train_stride: output_stride in training.
        eval_stride: output_stride in evaluation.
        scales: Scales of evaluation, relative to the image's own size.
        flip: Whether evaluation also sees the mirrored image.
        shares: Id of the row whose training it evaluates; empty if it has its own.
        planned: Why it cannot be run yet; empty if it can.
        note: What else to know before running it.
    """

    id: str
    change: str
    miou: float
    base: str
    overrides: dict = field(default_factory=dict)
    depth: int = 101
    crop: int = PAPER_CROP
    batch_size: int = PAPER_BATCH_SIZE
    train_stride: int = 16
    eval_stride: int = 16
    scales: tuple[float, ...] = (1.0,)
    flip: bool = False
    shares: str = ''
    planned: str = ''
    note: str = ''

    @property
    def table(self) -> int:
        """Number of its table."""
        return int(self.id.split('/')[0][len('table') :])

    @property
    def training(self) -> str:
        """Id of the row that it is trained as."""
        return self.shares or self.id

    @property
    def augmented(self) -> bool:
        """Whether evaluation sees more than the image as it is."""
        return self.flip or self.scales != (1.0,)


def _digits(multi_grid: tuple[int, ...]) -> str:
    return ''.join(map(str, multi_grid))


def _cascade(multi_grid: tuple[int, ...], block: int) -> dict:
    """Overrides of the cascade up to ``block``, the same unit rates in every block."""
    overrides = {'model.backbone.multi_grid': multi_grid}
    if block == 4:
        overrides['model.neck'] = None
    else:
        overrides.update({'model.neck.num_blocks': block - 4, 'model.neck.multi_grid': multi_grid})
    return overrides


def _cascade_rows() -> Iterable[Row]:
    ones, blocks = (1, 1, 1), (4, 5, 6, 7)
    for stride, miou in TABLE1.items():
        change = f'ResNet-50 up to block7, output_stride {stride}'
        settings = dict(depth=50, train_stride=stride, eval_stride=stride)
        yield Row(f'table1/os{stride}', change, miou, CASCADE, _cascade(ones, 7), **settings)
    for depth, mious in TABLE2.items():
        for block, miou in zip(blocks, mious):
            row_id, change = f'table2/r{depth}-block{block}', f'ResNet-{depth} up to block{block}'
            yield Row(row_id, change, miou, CASCADE, _cascade(ones, block), depth=depth)
    for multi_grid, mious in TABLE3.items():
        for block, miou in zip(blocks, mious):
            row_id = f'table3/mg{_digits(multi_grid)}-block{block}'
            change = f'Multi_Grid {multi_grid}, up to block{block}'
            yield Row(row_id, change, miou, CASCADE, _cascade(multi_grid, block))
    yield from _four_evaluations('table4', TABLE4, CASCADE, _cascade((1, 2, 1), 7), VOC_SCALES)


def _four_evaluations(
    table: str, mious: tuple, base: str, overrides: dict, scales: tuple
) -> Iterable[Row]:
    multi_scale = dict(eval_stride=8, scales=scales)
    evaluations = {
        'os16': ('output_stride 16', {}),
        'os8': ('output_stride 8', dict(eval_stride=8)),
        'os8-ms': ('output_stride 8, multi-scale', multi_scale),
        'os8-ms-flip': ('output_stride 8, multi-scale, flip', dict(multi_scale, flip=True)),
    }
    for (name, (words, settings)), miou in zip(evaluations.items(), mious):
        yield Row(f'{table}/{name}', f'evaluated at {words}', miou, base, overrides, **settings)


def _aspp(multi_grid: tuple[int, ...], rates: tuple[int, ...], image_pool: bool) -> dict:
    return {
        'model.backbone.multi_grid': multi_grid,
        'model.decode_head.rates': rates,
        'model.decode_head.image_pool': image_pool,
    }


def _aspp_rows() -> Iterable[Row]:
    for network, miou in TABLE5.items():
        multi_grid, rates, image_pool = network
        name = f'mg{_digits(multi_grid)}' + '-rates4' * (len(rates) == 4) + '-pool' * image_pool
        change = f'Multi_Grid {multi_grid}, ASPP {rates}' + ', image pooling' * image_pool
        yield Row(f'table5/{name}', change, miou, ASPP, _aspp(*network))

    best = _aspp((1, 2, 4), (6, 12, 18), True)
    yield from _four_evaluations('table6', TABLE6, ASPP, best, VOC_SCALES)
    coco = {
        'load_from': 'work_dirs/deeplabv3x_r101_os16_coco/iter_30000.pth',
        'optim_wrapper.optimizer.lr': 0.0001,
    }
    change = 'pre-trained on COCO, lr 0.0001, evaluated at output_stride 8, multi-scale, flip'
    note = 'starts from a model pre-trained on COCO: configs/deeplabv3x_r101_os16_coco.py'
    settings = dict(eval_stride=8, scales=VOC_SCALES, flip=True, note=note)
    yield Row('table6/coco', change, TABLE6_COCO, ASPP, {**best, **coco}, **settings)

    no_bn = 'no BN fine-tuning, read as: every BN keeps statistics and parameters as they are'
    labels_down = 'labels down-sampled instead of logits upsampled'
    ablations = {
        'reference': ('crop 513, upsampled logits, BN fine-tuned', {}),
        'no-bn': (no_bn, {'model.freeze_bn': True}),
        'labels-down': (labels_down, {'model.decode_head.loss_size': 'logits'}),
        'crop321': ('crop 321', {}),
    }
    for name, (change, overrides) in ablations.items():
        crop = 321 if name == 'crop321' else PAPER_CROP
        yield Row(f'table8/{name}', change, TABLE8[name], ASPP, {**best, **overrides}, crop=crop)
    for batch, miou in TABLE9.items():
        change = f'batch size {batch}, the same lr'
        yield Row(f'table9/batch{batch}', change, miou, ASPP, best, batch_size=batch)
    for (trained, evaluated), miou in TABLE10.items():
        row_id = f'table10/train{trained}-eval{evaluated}'
        change = f'trained at output_stride {trained}, evaluated at {evaluated}'
        yield Row(row_id, change, miou, ASPP, best, train_stride=trained, eval_stride=evaluated)
    planned = 'asynchronous training with a parameter server is not written yet'
    for replicas, miou in TABLE11.items():
        row_id = f'table11/replicas{replicas}'
        change = f'{replicas} asynchronous replica' + 's' * (replicas > 1)
        yield Row(row_id, change, miou, ASPP, best, planned=planned)


def _cityscapes_rows() -> Iterable[Row]:
    yield from _four_evaluations('table12', TABLE12, CITYSCAPES, {}, CITYSCAPES_SCALES)
    change = 'trained on 3475 fine and 20000 coarse images, evaluated with six scales and flip'
    note = "published: the test server's; measured here: on val, which this row trains on"
    settings = dict(eval_stride=8, scales=CITYSCAPES_TEST_SCALES, flip=True, note=note)
    yield Row('table13/test', change, TABLE13, FINE_AND_COARSE, **settings)


def _share_trainings(rows: Iterable[Row]) -> Iterable[Row]:
    """Let rows that differ in their evaluation only share the training of the first of them."""
    first = {}
    for row in rows:
        if not row.planned:
            changes = repr(sorted(row.overrides.items()))
            key = (row.base, changes, row.depth, row.crop, row.batch_size, row.train_stride)
            owner = first.setdefault(key, row.id)
            row = replace(row, shares='' if owner == row.id else owner)
        yield row


ROWS = {
    row.id: row for row in _share_trainings([*_cascade_rows(), *_aspp_rows(), *_cityscapes_rows()])
}


def find_rows(name: str) -> list[Row]:
    """Rows by id (``table3/mg121-block7``), table (``table3``, ``3``) or pattern (``*/os8*``).

    Raises:
        ValueError: If there is no such row; names the nearest.
    """
    pattern = f'table{name}' if name.isdigit() else name
    found = [row for row in ROWS.values() if fnmatch.fnmatchcase(row.id, pattern)]
    found = found or [row for row in ROWS.values() if row.id.split('/')[0] == pattern]
    if found:
        return found
    if pattern == 'table7':
        raise ValueError(
            'Table 7 is the test server\'s: "tools/paper.py stages" trains its model, and it has '
            'no rows to run.'
        )
    tables = list(dict.fromkeys(row_id.split('/')[0] for row_id in ROWS))
    nearest = difflib.get_close_matches(pattern, tables if '/' not in pattern else ROWS)
    hint = f'nearest: {", ".join(nearest)}' if nearest else '"tools/paper.py list" shows all'
    raise ValueError(f'There is no row or table {name!r}; {hint}.')
