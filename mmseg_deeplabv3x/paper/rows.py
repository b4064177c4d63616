"""Tables 1-6 and 8-13 of the paper as data: what a row changes, and its published mIoU.

Table 7 is the test server's and has no rows: the two-stage recipe trains its model.
"""

import difflib
import fnmatch
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace

# What rows that change crop or batch size change it from (section 4.1).
PAPER_CROP, PAPER_BATCH_SIZE = 513, 16

ASPP = 'deeplabv3x_r101_os16_voc.py'
CASCADE = 'deeplabv3x_r101_cascade7_os16_voc.py'
CITYSCAPES = 'deeplabv3x_r101_os16_cityscapes.py'
FINE_AND_COARSE = 'deeplabv3x_r101_finecoarse_os16_cityscapes.py'

VOC_SCALES = (0.5, 0.75, 1.0, 1.25, 1.5, 1.75)

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
    """One row (or cell) of a table; where it says nothing else, trained and evaluated on VOC."""

    id: str  # such as table3/mg121-block7
    change: str  # what it changes, in words
    miou: float  # published, in percent
    base: str  # the file of configs/ that it is a change of
    overrides: dict = field(default_factory=dict)  # the change, as dotted --cfg-options
    depth: int = 101  # of the ResNet
    crop: int = PAPER_CROP  # side of the training crop, in pixels
    batch_size: int = PAPER_BATCH_SIZE
    train_stride: int = 16  # output_stride in training
    eval_stride: int = 16  # and in evaluation
    scales: tuple[float, ...] = (1.0,)  # of evaluation, relative to the image's own size
    flip: bool = False  # whether evaluation also sees the mirrored image
    shares: str = ''  # id of the row whose training it evaluates, if it has none of its own
    note: str = ''  # what else to know before running it

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


def _rows() -> Iterator[Row]:
    """All rows; mIoU in percent, on PASCAL VOC 2012 val unless said otherwise."""
    ones = (1, 1, 1)
    table1 = {8: 75.18, 16: 73.88, 32: 70.06, 64: 59.99, 128: 42.34, 256: 20.29}
    for stride, miou in table1.items():
        words = f'ResNet-50 up to block7, output_stride {stride}'
        settings = dict(depth=50, train_stride=stride, eval_stride=stride)
        yield Row(f'table1/os{stride}', words, miou, CASCADE, _cascade(ones, 7), **settings)
    table2 = {50: (64.81, 72.14, 74.29, 73.88), 101: (68.39, 73.21, 75.34, 75.76)}
    for depth, mious in table2.items():
        for block, miou in zip((4, 5, 6, 7), mious):
            name, words = f'table2/r{depth}-block{block}', f'ResNet-{depth} up to block{block}'
            yield Row(name, words, miou, CASCADE, _cascade(ones, block), depth=depth)
    table3 = {
        (1, 1, 1): (68.39, 73.21, 75.34, 75.76),
        (1, 2, 1): (70.23, 75.67, 76.09, 76.66),
        (1, 2, 3): (73.14, 75.78, 75.96, 76.11),
        (1, 2, 4): (73.45, 75.74, 75.85, 76.02),
        (2, 2, 2): (71.45, 74.30, 74.70, 74.62),
    }
    for grid, mious in table3.items():
        for block, miou in zip((4, 5, 6, 7), mious):
            name, words = f'{_mg(grid)}-block{block}', f'Multi_Grid {grid}, up to block{block}'
            yield Row(f'table3/{name}', words, miou, CASCADE, _cascade(grid, block))
    mious = (76.66, 78.05, 78.93, 79.35)
    yield from _four_evaluations(4, mious, VOC_SCALES, CASCADE, _cascade((1, 2, 1), 7))

    table5 = {
        ((1, 1, 1), (6, 12, 18), False): 75.36,
        ((1, 2, 1), (6, 12, 18), False): 75.93,
        ((1, 2, 4), (6, 12, 18), False): 76.58,
        ((1, 2, 4), (6, 12, 18, 24), False): 76.46,
        ((1, 2, 4), (6, 12, 18), True): 77.21,
    }
    for (grid, rates, image_pool), miou in table5.items():
        name = _mg(grid) + '-rates4' * (len(rates) == 4) + '-pool' * image_pool
        words = f'Multi_Grid {grid}, ASPP {rates}' + ', image pooling' * image_pool
        network = {
            'model.backbone.multi_grid': grid,
            'model.decode_head.rates': rates,
            'model.decode_head.image_pool': image_pool,
        }
        yield Row(f'table5/{name}', words, miou, ASPP, network)
    best = network

    yield from _four_evaluations(6, (77.21, 78.51, 79.45, 79.77), VOC_SCALES, ASPP, best)
    coco = {
        'load_from': 'work_dirs/deeplabv3x_r101_os16_coco/iter_30000.pth',
        'optim_wrapper.optimizer.lr': 0.0001,
    }
    words = 'pre-trained on COCO, lr 0.0001, evaluated at output_stride 8, multi-scale, flip'
    note = 'starts from a model pre-trained on COCO: configs/deeplabv3x_r101_os16_coco.py'
    views = dict(eval_stride=8, scales=VOC_SCALES, flip=True)
    yield Row('table6/coco', words, 82.70, ASPP, {**best, **coco}, **views, note=note)

    words = 'crop 513, upsampled logits, BN fine-tuned'
    yield Row('table8/reference', words, 77.21, ASPP, best)
    words = 'no BN fine-tuning, read as: every BN keeps statistics and parameters as they are'
    yield Row('table8/no-bn', words, 75.95, ASPP, {**best, 'model.freeze_bn': True})
    words, loss = 'labels down-sampled instead of logits upsampled', 'model.decode_head.loss_size'
    yield Row('table8/labels-down', words, 76.01, ASPP, {**best, loss: 'logits'})
    yield Row('table8/crop321', 'crop 321', 67.22, ASPP, best, crop=321)
    for size, miou in {4: 64.43, 8: 75.76, 12: 76.49, 16: 77.21}.items():
        words = f'batch size {size}, the same lr'
        yield Row(f'table9/batch{size}', words, miou, ASPP, best, batch_size=size)
    for evaluated, mious in {16: (74.45, 77.21, 75.90), 8: (75.62, 78.51, 75.75)}.items():
        for trained, miou in zip((8, 16, 32), mious):
            words = f'trained at output_stride {trained}, evaluated at {evaluated}'
            strides = dict(train_stride=trained, eval_stride=evaluated)
            name = f'table10/train{trained}-eval{evaluated}'
            yield Row(name, words, miou, ASPP, best, **strides)
    table11 = {1: 77.21, 2: 77.15, 4: 76.79, 8: 77.02, 16: 77.18, 32: 76.69}
    for replicas, miou in table11.items():
        words = f'{replicas} asynchronous replica' + 's' * (replicas > 1)
        loop = {'train_cfg.type': 'AsyncReplicaLoop', 'train_cfg.replicas': replicas}
        overrides = {**best, **loop} if replicas > 1 else best  # one is the synchronous loop
        yield Row(f'table11/replicas{replicas}', words, miou, ASPP, overrides)

    # Cityscapes val
    mious = (77.23, 77.82, 79.06, 79.30)
    yield from _four_evaluations(12, mious, (0.75, 1.0, 1.25), CITYSCAPES, {})
    words = 'trained on 3475 fine and 20000 coarse images, evaluated with six scales and flip'
    note = "published: the test server's; measured here: on val, which this row trains on"
    views = dict(eval_stride=8, scales=(0.75, 1.0, 1.25, 1.5, 1.75, 2.0), flip=True)
    yield Row('table13/test', words, 81.3, FINE_AND_COARSE, **views, note=note)


def _mg(multi_grid: Sequence[int]) -> str:
    return 'mg' + ''.join(map(str, multi_grid))


def _cascade(multi_grid: tuple[int, ...], block: int) -> dict:
    """Overrides of the cascade up to ``block``, the same unit rates in every block."""
    neck = {'model.neck.num_blocks': block - 4, 'model.neck.multi_grid': multi_grid}
    return {
        'model.backbone.multi_grid': multi_grid,
        **(neck if block > 4 else {'model.neck': None}),
    }


def _four_evaluations(
    table: int, mious: Sequence[float], scales: Sequence[float], *network
) -> Iterator[Row]:
    """One training, evaluated at output_stride 16; 8; 8 multi-scale; 8 multi-scale and flip."""
    multi_scale = dict(eval_stride=8, scales=scales)
    evaluations = {
        'os16': ('16', {}),
        'os8': ('8', dict(eval_stride=8)),
        'os8-ms': ('8, multi-scale', multi_scale),
        'os8-ms-flip': ('8, multi-scale, flip', dict(multi_scale, flip=True)),
    }
    for (name, (words, settings)), miou in zip(evaluations.items(), mious):
        words = f'evaluated at output_stride {words}'
        yield Row(f'table{table}/{name}', words, miou, *network, **settings)


def _share_trainings(rows: Iterator[Row]) -> Iterator[Row]:
    """Let rows that differ in their evaluation only share the training of the first of them."""
    first = {}
    for row in rows:
        key = row.base, str(row.overrides), row.depth, row.crop, row.batch_size, row.train_stride
        owner = first.setdefault(key, row.id)
        yield replace(row, shares='' if owner == row.id else owner)


ROWS = {row.id: row for row in _share_trainings(_rows())}


def find_rows(name: str) -> list[Row]:
    """Rows by id (``table3/mg121-block7``), table (``table3``, ``3``) or pattern (``*/os8*``).

    Raises:
        ValueError: If there is no such row; names the nearest.
    """
    pattern = f'table{name}' if name.isdigit() else name
    patterns = pattern, f'{pattern}/*'
    found = [row for row in ROWS.values() if any(fnmatch.fnmatchcase(row.id, p) for p in patterns)]
    if found:
        return found
    if pattern == 'table7':
        raise ValueError(
            'Table 7 is the test server\'s: "tools/paper.py stages" trains its model, and it has '
            'no rows to run.'
        )
    tables = {row_id.split('/')[0] for row_id in ROWS}
    nearest = difflib.get_close_matches(pattern, ROWS if '/' in pattern else sorted(tables))
    hint = f'nearest: {", ".join(nearest)}' if nearest else '"tools/paper.py list" shows all'
    raise ValueError(f'There is no row or table {name!r}; {hint}.')
