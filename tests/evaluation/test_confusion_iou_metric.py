from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from mmengine.config import Config
from mmengine.dataset import DefaultSampler
from mmengine.logging import MMLogger
from mmengine.runner import Runner
from mmseg.evaluation import IoUMetric
from mmseg.registry import METRICS
from PIL import Image

from mmseg_deeplabv3x.evaluation.boundary_iou import trimap
from mmseg_deeplabv3x.evaluation.confusion import class_iou, confusion_matrix

CLASSES = ('sky', 'tree', 'road', 'never')


def sample(labels, predictions, name='a', **more):
    return dict(
        gt_sem_seg=dict(data=torch.as_tensor(np.asarray(labels), dtype=torch.int64)[None]),
        pred_sem_seg=dict(data=torch.as_tensor(np.asarray(predictions), dtype=torch.int64)[None]),
        img_path=f'images/{name}.jpg',
        seg_map_path=f'masks/{name}.png',
        **more,
    )


def samples(seed, number=5, shape=(20, 30)):
    """Images of different difficulty, with void; nothing is class 3."""
    rng = np.random.default_rng(seed)
    for i in range(number):
        labels = rng.integers(0, 3, shape)
        predictions = np.where(rng.random(shape) < i / number, labels, rng.integers(0, 3, shape))
        labels[rng.random(shape) < 0.1] = 255
        yield sample(labels, predictions, f'image{i}')


def metric(**options):
    metric = METRICS.build(dict(type='ConfusionIoUMetric', **options))
    metric.dataset_meta = dict(classes=CLASSES)
    return metric


def evaluate(metric, data):
    data = list(data)
    for item in data:
        metric.process({}, [item])
    return metric.evaluate(len(data))


@settings(max_examples=10, deadline=None)
@given(st.integers(0, 2**32 - 1), st.sampled_from([255, 0, 2]))
def test_equals_the_metric_of_mmseg(seed, ignore_index):
    data = list(samples(seed))
    if ignore_index != 255:
        for item in data:
            labels = item['gt_sem_seg']['data']
            labels[labels == 255] = ignore_index
    stock = IoUMetric(ignore_index=ignore_index, iou_metrics=['mIoU', 'mDice'])
    stock.dataset_meta = dict(classes=CLASSES)
    expected = evaluate(stock, data)
    found = evaluate(metric(ignore_index=ignore_index), data)
    for name in ('aAcc', 'mIoU', 'mAcc', 'mDice'):
        assert found[name] == pytest.approx(expected[name], abs=0.011), name


@pytest.mark.parametrize(
    'options',
    [
        dict(iou_metrics=['mIoU']),
        dict(iou_metrics='mDice'),
        dict(iou_metrics=['mFscore'], beta=2),
        dict(iou_metrics=['mIoU', 'mDice', 'mFscore'], nan_to_num=0, ignore_index=2),
        dict(iou_metrics=['mFscore', 'mIoU'], nan_to_num=-1, prefix='val'),
    ],
)
def test_takes_the_arguments_of_mmsegs_and_gives_its_scores(options):
    data = list(samples(7))
    for item in data:
        labels = item['gt_sem_seg']['data']
        labels[labels == 255] = options.get('ignore_index', 255)
        item['pred_sem_seg']['data'] %= 2  # of the others, one has no precision
    stock = IoUMetric(**options)
    stock.dataset_meta = dict(classes=CLASSES)
    expected, found = evaluate(stock, data), evaluate(metric(**options), data)
    assert found == pytest.approx({**found, **expected}, abs=0.011)
    assert {name for name in found if '/' not in name.removeprefix('val/')} == {*expected}


def test_scores_of_each_class_are_scalars():
    scores = evaluate(metric(), [sample([[0, 0, 0, 1, 255]], [[0, 0, 1, 1, 1]])])
    assert scores == {
        'aAcc': 75.0,
        'mIoU': 58.33,
        'mAcc': 83.33,
        'mDice': 73.33,
        'IoU/sky': 66.67,
        'IoU/tree': 50.0,
        'Acc/sky': 66.67,
        'Acc/tree': 100.0,
    }


@pytest.mark.parametrize('dtype', [torch.uint8, torch.int32, torch.int64])
def test_any_integers_will_do(dtype):
    data = list(samples(0))
    expected = evaluate(metric(), data)
    for item in data:
        for field in ('gt_sem_seg', 'pred_sem_seg'):
            item[field]['data'] = item[field]['data'].to(dtype)
    assert evaluate(metric(), data) == expected


@pytest.mark.skipif(not torch.cuda.is_available(), reason='needs a GPU')
def test_a_gpu_counts_the_same():
    data = list(samples(0))
    expected = evaluate(metric(trimap_widths=[2]), data)
    for item in data:
        item['pred_sem_seg']['data'] = item['pred_sem_seg']['data'].cuda()
    assert evaluate(metric(trimap_widths=[2]), data) == expected


def test_trimap():
    data = list(samples(1, shape=(40, 50)))
    for item in data:  # blobs, so that there is more than boundary
        labels = item['gt_sem_seg']['data']
        labels[:] = labels[:, ::10, ::10].repeat_interleave(10, 1).repeat_interleave(10, 2)
    scores = evaluate(metric(trimap_widths=[1, 3]), data)
    for width in (1, 3):
        matrix = 0
        for item in data:
            labels, predictions = (
                item[field]['data'][0].numpy() for field in ('gt_sem_seg', 'pred_sem_seg')
            )
            band = trimap(labels.astype(np.uint8), width)
            assert 0 < band.mean() < 1
            matrix += confusion_matrix(labels[band], predictions[band], len(CLASSES))
        expected = 100 * np.nanmean(class_iou(matrix))
        assert scores[f'mIoU_trimap{width}'] == pytest.approx(expected, abs=0.006)
    without = {name: value for name, value in scores.items() if 'trimap' not in name}
    assert without == evaluate(metric(), data)


def test_the_worst_images_are_named(tmp_path):
    log = tmp_path / 'log'
    MMLogger.get_instance('worst', log_file=str(log))
    void = sample(np.full((4, 4), 255), np.zeros((4, 4)), 'void')
    evaluate(metric(num_worst=2), [void, *list(samples(2))[::-1]])
    worst = log.read_text().split('Images with the lowest mIoU:\n')[1].splitlines()
    assert [line.split()[-1] for line in worst] == ['images/image0.jpg', 'images/image1.jpg']
    assert float(worst[0].split()[0]) < float(worst[1].split()[0])


@pytest.mark.parametrize(
    ('labels', 'predictions', 'message'),
    [
        ([[0, 37, 37]], [[0, 0, 0]], r'masks/a.png: label 37 \(2 pixels\) is no class; expected '
                                     r'0 to 3, or ignore_index=255\.'),
        ([[0, 1, 4]], [[0, 0, 0]], r'masks/a.png: label 4 \(1 pixels\) is no class'),
        ([[0, 300, 1]], [[0, 0, 0]], r'masks/a.png: label 300 is out of range, expected 0 to 255'),
        ([[0, -1, 1]], [[0, 0, 0]], r'masks/a.png: label -1 is out of range'),
        ([[0, 1, 1]], [[0, 0, 9]], r'masks/a.png: prediction 9 is out of range, expected 0 to 3\.'),
        ([[0, 1, 1]], [[0, 0]], r'masks/a.png has \(1, 3\) .* images/a.jpg \(1, 2\)'),
    ],
)  # fmt: skip
def test_what_is_no_class_is_an_error_that_names_the_file(labels, predictions, message):
    with pytest.raises(ValueError, match=message):
        metric().process({}, [sample(labels, predictions)])


def test_void_may_be_any_number():
    metric(ignore_index=37).process({}, [sample([[0, 37, 37]], [[0, 0, 0]])])
    with pytest.raises(ValueError, match='label 255 '):
        metric(ignore_index=37).process({}, [sample([[0, 255]], [[0, 0]])])


def test_scores_need_no_paths():
    data = list(samples(0))
    expected = evaluate(metric(), data)
    for item in data:
        del item['img_path'], item['seg_map_path']
    assert evaluate(metric(), data) == expected
    data[0]['gt_sem_seg']['data'][:] = 99
    with pytest.raises(ValueError, match='image 0: label 99'):
        metric().process({}, data)


def test_no_ground_truth():
    item = sample([[0]], [[0]])
    del item['gt_sem_seg']
    with pytest.raises(ValueError, match='images/a.jpg has no ground truth .* format_only=True'):
        metric().process({}, [item])


@pytest.mark.parametrize('reduce_zero_label', [False, True])
@pytest.mark.parametrize('dtype', [torch.int64, torch.bfloat16])  # the latter of one channel
def test_predictions_are_written(tmp_path, dtype, reduce_zero_label):
    item = sample([[0, 1]], [[2, 0]], reduce_zero_label=reduce_zero_label)
    item['pred_sem_seg']['data'] = item['pred_sem_seg']['data'].to(dtype)
    scores = evaluate(metric(output_dir=tmp_path / 'ids', keep_results=True), [item])
    assert scores == evaluate(metric(), [item])
    assert [path.name for path in (tmp_path / 'ids').iterdir()] == ['a.png']
    written = np.asarray(Image.open(tmp_path / 'ids/a.png'))
    assert written.dtype == np.uint8
    assert written.tolist() == ([[3, 1]] if reduce_zero_label else [[2, 0]])


def test_a_thousand_classes(tmp_path):
    many = metric(ignore_index=65535, trimap_widths=[1], output_dir=tmp_path)
    many.dataset_meta = dict(classes=[str(i) for i in range(1000)])
    item = sample([[0, 255, 999], [999, 65535, 65535]], [[0, 255, 999], [256, 255, 0]])
    scores = evaluate(many, [item])
    assert {k: v for k, v in scores.items() if k[:4] == 'IoU/'} == {
        'IoU/0': 100, 'IoU/255': 100, 'IoU/256': 0, 'IoU/999': 50
    }  # fmt: skip
    assert scores['aAcc'] == 75 and scores['mIoU_trimap1'] == scores['mIoU'] == 62.5
    written = np.asarray(Image.open(tmp_path / 'a.png'))
    assert written.dtype == np.uint16 and written.tolist() == [[0, 255, 999], [256, 255, 0]]
    with pytest.raises(ValueError, match=r'masks/a.png: label 1000 .*expected 0 to 999'):
        evaluate(many, [sample([[1000]], [[0]])])
    with pytest.raises(ValueError, match='ignore_index must be 0 to 65535, got 65536'):
        metric(ignore_index=65536)


@pytest.mark.parametrize(
    'names, written',
    [
        (['x/1.jpg', 'y/1.jpg'], ['x/1.png', 'y/1.png']),
        (['a/images/1.jpg', 'b/images/1.jpg'], ['a/images/1.png', 'b/images/1.png']),
        (['x/1.jpg', '2.jpg', 'x/z/1.jpg'], ['x/1.png', '2.png', 'x/z/1.png']),
        (['x/1.jpg', 'x/2.b.jpg', 'x/1.jpg'], ['1.png', '2.b.png']),
        (['x/1.jpg', 'x/1.tif', 'x/2.tif'], ['1.jpg.png', '1.tif.png', '2.png']),
        (['x/1.jpg'], ['1.png']),
    ],
)
@pytest.mark.parametrize('root', ['{}/data', 'data', '../data', 's3://bucket'])
def test_images_of_several_folders_keep_their_folders(tmp_path, monkeypatch, root, names, written):
    monkeypatch.chdir(tmp_path)
    ids = {name: i for i, name in enumerate(dict.fromkeys(names))}
    data = [
        dict(sample([[0, 0]], [[i, 3]]), img_path=f'{root.format(tmp_path)}/{name}')
        for name, i in ids.items()
    ]
    for _ in range(2):  # the second run finds what the first one wrote
        evaluate(metric(output_dir='ids'), data)
    files = {p.relative_to('ids').as_posix(): p for p in Path('ids').rglob('*') if p.is_file()}
    assert sorted(files) == sorted(written)
    for (name, i), path in zip(ids.items(), written):
        assert np.asarray(Image.open(files[path])).tolist() == [[i, 3]], name
    assert not (tmp_path / 'ids/unsorted').exists()


def test_writing_alone_needs_no_ground_truth(tmp_path):
    item = sample([[0, 1]], [[2, 0]])
    del item['gt_sem_seg'], item['seg_map_path']
    assert evaluate(metric(output_dir=tmp_path, format_only=True), [item]) == {}
    assert (tmp_path / 'a.png').is_file()


@pytest.mark.parametrize(
    'options',
    [
        dict(iou_metrics=['mIoU', 'mAP']),
        dict(ignore_index=-1),
        dict(trimap_widths=[0]),
        dict(format_only=True),
    ],
)
def test_arguments_are_checked(options):
    with pytest.raises(ValueError, match=next(iter(options))):
        metric(**options)


def _rank(rank, root):
    torch.distributed.init_process_group(
        'gloo', init_method=f'file://{root}/store', rank=rank, world_size=2
    )
    data = list(samples(3))
    mine = metric(trimap_widths=[2])
    for i in DefaultSampler(data, shuffle=False):  # 5 images: rank 1 gets the first one again
        mine.process({}, [data[i]])
    assert len(mine.results) == 3
    scores = mine.evaluate(len(data))
    (root / f'{rank}.json').write_text(json.dumps(scores))
    torch.distributed.destroy_process_group()


def test_two_processes_give_the_numbers_of_one(tmp_path):
    torch.multiprocessing.start_processes(_rank, args=(tmp_path,), nprocs=2, start_method='fork')
    expected = evaluate(metric(trimap_widths=[2]), samples(3))
    for rank in range(2):
        assert json.loads((tmp_path / f'{rank}.json').read_text()) == expected


def test_in_a_run(tiny_config, tmp_path):
    cfg = Config.fromfile(
        tiny_config(
            'confusion_iou_metric',
            dict(val_evaluator=[dict(type='IoUMetric', prefix='mmseg', iou_metrics=['mIoU']),
                                dict(type='ConfusionIoUMetric')]),
        )
    )  # fmt: skip
    cfg.work_dir = str(tmp_path)
    scores = Runner.from_cfg(cfg).val()
    for name in ('aAcc', 'mIoU', 'mAcc'):
        assert scores[name] == pytest.approx(scores[f'mmseg/{name}'], abs=0.011)
    logged = json.loads(next(Path(tmp_path).rglob('vis_data/*.json')).read_text())
    assert logged['IoU/background'] == scores['IoU/background']
    assert not any(math.isnan(value) for value in logged.values())
