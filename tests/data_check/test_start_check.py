import numpy as np
import pytest
from mmengine.config import Config
from mmseg.datasets import BaseSegDataset
from mmseg.datasets.transforms import LoadAnnotations
from mmseg.evaluation import IoUMetric
from mmseg.registry import DATASETS, METRICS, TRANSFORMS
from PIL import Image

from mmseg_deeplabv3x.data_check import check_before_testing, check_before_training, check_data
from mmseg_deeplabv3x.data_check import start_check as start

LOADERS = ('train_dataloader', 'val_dataloader')


def test_good_data_is_accepted(data):
    check_before_training(data.config(), LOADERS)


@pytest.mark.parametrize('break_it', [
    lambda data: data.write_list('train', []),
    lambda data: data.write_list('val', ['', ' ']),
    lambda data: data.mask(5).unlink(),
    lambda data: data.write_mask(5, np.full((10, 12), 9, np.uint8)),
    lambda data: data.write_mask(9, np.zeros((3, 3), np.uint8)),
    lambda data: data.image(6).write_bytes(b''),
])  # fmt: skip
def test_bad_data_is_refused(data, break_it):
    break_it(data)
    with pytest.raises(ValueError, match=r'(?s)data: 1\n  (train|val): .*check_data'):
        check_before_training(data.config(), LOADERS)


@pytest.mark.parametrize('several', [False, True])
def test_a_head_of_too_few_classes_is_refused(data, several):
    cfg = data.config()
    head = dict(num_classes=3)
    cfg.model = dict(decode_head=[dict(num_classes=4), head] if several else head)
    with pytest.raises(ValueError, match=r'num_classes is 3, .* train has 4 .*sky.*num_classes=4'):
        check_before_training(cfg, LOADERS)


def test_a_head_of_more_classes_is_refused(data):
    cfg = data.config()
    cfg.model = dict(decode_head=dict(num_classes=4))
    check_before_training(cfg, LOADERS)
    cfg.model.decode_head.num_classes = 21
    with pytest.raises(ValueError, match='num_classes is 21, but the data of train has 4 classes'):
        check_before_training(cfg, LOADERS)


@pytest.mark.parametrize('crop', [9, (9, 8), [8, 9]])
def test_a_crop_larger_than_the_preprocessors_size_is_refused(data, crop):
    cfg = data.config()
    cfg.model = dict(data_preprocessor=dict(type='SegDataPreProcessor', size=(8, 8)))
    steps = [dict(type='LoadImageFromFile'), dict(type='RandomScaleCropFlip', crop_size=crop)]
    cfg.train_dataloader.dataset.pipeline = steps
    with pytest.raises(ValueError, match=r'crop_size of .* is \(.*9.*size \(8, 8\): set both'):
        check_before_training(cfg, LOADERS)
    check_before_training(cfg, ('val_dataloader',))


def test_a_smaller_crop_is_told(data, monkeypatch):
    said = []
    monkeypatch.setattr(start, 'print_log', lambda message, *_: said.append(message))
    cfg = data.config()
    cfg.model = dict(data_preprocessor=dict(type='SegDataPreProcessor', size=(8, 8)))
    steps = [dict(type='LoadImageFromFile'), dict(type='RandomCrop', crop_size=(8, 8))]
    cfg.train_dataloader.dataset.pipeline = steps
    check_before_training(cfg, LOADERS)
    assert 'crop' not in ' '.join(said)
    steps[1]['crop_size'] = (8, 6)
    cfg.train_dataloader.dataset.pipeline = steps
    check_before_training(cfg, LOADERS)
    assert 'all crops are padded' in ' '.join(said)


def test_the_first_offenders_are_named(data):
    for i in range(7):
        data.mask(i).unlink()
    with pytest.raises(ValueError, match='with the data: 7') as error:
        check_before_training(data.config(), LOADERS)
    message = str(error.value)
    for i in range(7):
        assert (f'{data.mask(i)} does not exist.' in message) == (i < 5)


def test_what_is_not_used_is_not_checked(data):
    data.mask(9).unlink()
    check_before_training(data.config(), ('train_dataloader',))


def test_a_run_can_do_with_these(data):
    data.write_list('train', [0, 1, 1, '', 2, 9])
    data.write_mask(2, np.full((10, 12), 255, np.uint8))
    cfg = data.config()
    check_before_training(cfg, LOADERS)
    cfg.val_dataloader.dataset.metainfo = None  # of no kind that can be checked
    check_before_training(cfg, LOADERS)


def test_the_sample_follows_the_seed(data, monkeypatch):
    monkeypatch.setattr(start, 'SAMPLES', 3)
    read = []
    check = start.check_sample
    monkeypatch.setattr(
        start, 'check_sample', lambda *pair: read.append(pair[1]['img_path']) or check(*pair)
    )
    cfg = data.config()
    chosen = []
    for seed in (None, 0, 1):
        cfg.randomness = dict(seed=seed)
        check_before_training(cfg, ('train_dataloader',))
        chosen.append(tuple(read))
        read.clear()
    assert len(set(chosen[0])) == 3
    assert chosen[0] == chosen[1] != chosen[2]


VOC = dict(type='PascalVOCDataset', data_root='nowhere/VOC2012')
WRAPPED = {
    'test_dataloader.dataset': VOC,
    'test_dataloader.dataset.dataset': dict(type='BootstrapDataset', dataset=VOC),
    'test_dataloader.dataset.datasets.0.dataset': dict(
        type='ConcatDataset', datasets=[dict(type='RepeatDataset', times=2, dataset=VOC)]
    ),
}


@pytest.mark.parametrize('key', WRAPPED)
@pytest.mark.parametrize('check', [check_before_testing, check_before_training])
def test_missing_data_says_how_to_get_it(key, check):
    cfg = Config(dict(test_dataloader=dict(dataset=WRAPPED[key])))
    with pytest.raises(FileNotFoundError) as error:
        check(cfg, *[('test_dataloader',)] * (check is check_before_training))
    message = str(error.value)
    assert 'PascalVOCDataset finds no nowhere/VOC2012:' in message
    assert '`python tools/prepare_data.py voc --root nowhere/VOC2012` makes it' in message
    assert message.endswith(f'; or set {key}.data_root to the folder that holds it.')


@pytest.mark.parametrize('missing', ['ImageSets/train_aug.txt', 'JPEGImages', 'Aug'])
def test_a_root_without_the_split_or_a_folder_is_not_enough(tmp_path, missing):
    for part in {'ImageSets/train_aug.txt', 'JPEGImages', 'Aug'} - {missing}:
        (tmp_path / part).mkdir(parents=True)
    dataset = dict(
        type='PascalVOCDataset',
        data_root=str(tmp_path),
        ann_file='ImageSets/train_aug.txt',
        data_prefix=dict(img_path='JPEGImages', seg_map_path='Aug'),
    )
    cfg = Config(dict(train_dataloader=dict(dataset=dataset)))
    with pytest.raises(FileNotFoundError, match=f'finds no {tmp_path / missing}:.*`sbd`'):
        check_before_training(cfg, ('train_dataloader',))


def test_missing_data_of_other_loaders_is_not_complained_about(data):
    cfg = data.config(VOC)
    check_before_training(cfg, ('val_dataloader',))
    check_before_testing(cfg)


def test_a_pipeline_that_resizes_after_the_crop_may_crop_more(data):
    steps = [dict(type='RandomCrop', crop_size=(8, 8)), dict(type='Resize', scale=(6, 6))]
    cfg = data.config(data.dataset('train', pipeline=[dict(type='LoadImageFromFile'), *steps]))
    cfg.model = dict(data_preprocessor=dict(size=(6, 6)))
    check_before_training(cfg, ('train_dataloader',))


def test_a_loader_of_the_users_own_is_not_stood_in_for(data):
    @TRANSFORMS.register_module(force=True)
    class LoadColouredMasks(LoadAnnotations):
        """Turns colours into ids, which ours would refuse."""

    Image.new('RGB', (12, 10)).save(data.mask(0))
    own = [dict(type='LoadImageFromFile'), dict(type='LoadColouredMasks')]
    stock = [dict(type='LoadImageFromFile'), dict(type='LoadAnnotations')]
    check_before_training(data.config(data.dataset('train', pipeline=own)), ('train_dataloader',))
    with pytest.raises(ValueError, match='is RGB'):
        cfg = data.config(data.dataset('train', pipeline=stock))
        check_before_training(cfg, ('train_dataloader',))


def test_annotations_of_another_make_are_not_checked(data):
    @DATASETS.register_module(force=True)
    class OtherKeys(BaseSegDataset):
        def load_data_list(self):
            return [dict(left='a.png', right='b.png')]

    cfg = data.config(data.dataset('train', type='OtherKeys'))
    check_before_training(cfg, ('train_dataloader',))


def test_files_that_the_run_may_skip_are_warnings(data):
    data.mask(0).unlink()
    tolerant = dict(type='FaultTolerantDataset', dataset=data.dataset('train'))
    with pytest.raises(ValueError, match='0.png does not exist'):
        check_before_training(data.config(tolerant), ('train_dataloader',))
    skipping = dict(tolerant, on_bad_sample='skip')
    check_before_training(data.config(skipping), ('train_dataloader',))


def test_images_to_predict_need_no_folder_of_masks(data):
    cfg = data.config()
    steps = [dict(type='LoadImageFromFile'), dict(type='PackSegInputs')]
    prefix = dict(img_path='images', seg_map_path='nowhere')
    cfg.test_dataloader.dataset = data.dataset('val', pipeline=steps, data_prefix=prefix)
    check_before_testing(cfg)
    steps.insert(1, dict(type='LoadAnnotations'))
    cfg.test_dataloader.dataset = data.dataset('val', pipeline=steps, data_prefix=prefix)
    with pytest.raises(FileNotFoundError, match='nowhere'):
        check_before_testing(cfg)


def test_a_datasets_own_root_counts(data):
    root = str(data.root)

    @DATASETS.register_module(force=True)
    class Rooted(BaseSegDataset):
        def __init__(self, data_root=root, **kwargs):
            super().__init__(data_root=data_root, **kwargs)

    own = data.dataset('train', type='Rooted')
    del own['data_root']
    check_before_training(data.config(own), ('train_dataloader',))


def test_an_evaluation_without_an_end_is_refused(data):
    cfg = data.config()
    cfg.val_dataloader.sampler = dict(type='InfiniteSampler')
    cfg.test_dataloader.sampler = dict(type='mmseg.SeededInfiniteSampler')
    cfg.train_dataloader.sampler = dict(type='InfiniteSampler')
    with pytest.raises(ValueError, match='val_dataloader.sampler, InfiniteSampler, has no end'):
        check_before_training(cfg, LOADERS)
    with pytest.raises(ValueError, match='test_dataloader.sampler, .*SeededInfin.*, has no end'):
        check_before_testing(cfg)
    check_before_training(cfg, ('train_dataloader',))


def test_classes_in_another_order_in_the_evaluation_are_refused(data):
    cfg = data.config()
    cfg.val_dataloader = dict(
        dataset=data.dataset('val', metainfo=dict(classes=('sky', 'road', 'tree', 'pole')))
    )
    with pytest.raises(ValueError, match="of train and val are .*: 1 is 'tree' and 'road'"):
        check_before_training(cfg, LOADERS)


def test_one_channel_serves_two_classes(data):
    for i in range(11):
        data.write_mask(i, np.eye(10, 12, dtype=np.uint8))
    two = dict(metainfo=dict(classes=('a', 'b')))
    cfg = data.config(data.dataset('train', **two))
    cfg.model = dict(decode_head=dict(num_classes=1))
    check_before_training(cfg, ('train_dataloader',))


@pytest.mark.parametrize('evaluator', [
    dict(type='IoUMetric', iou_metrics=['mIuO']),
    dict(type='mmseg.IoUMetric', iou_metrics='mIuO'),
    dict(type='Evaluator', metrics=[dict(type='IoUMetric', iou_metrics=['mIoU', 'mIuO'])]),
])  # fmt: skip
def test_a_score_that_there_is_not_is_told_before_anything_is_evaluated(data, evaluator):
    cfg = data.config()
    cfg.val_evaluator = cfg.test_evaluator = evaluator
    with pytest.raises(ValueError, match=r"val_evaluator.*iou_metrics is .*'mIuO'.*knows mIoU, mD"):
        check_before_training(cfg, LOADERS)
    with pytest.raises(ValueError, match='test_evaluator.*iou_metrics is'):
        check_before_testing(cfg)
    check_before_training(cfg, ('train_dataloader',))


def test_scores_that_there_are_pass(data):
    cfg = data.config()
    cfg.val_evaluator = dict(type='IoUMetric', iou_metrics=['mIoU', 'mDice', 'mFscore'])
    check_before_training(cfg, LOADERS)


def test_a_metric_that_computes_scores_of_its_own_may_know_others(data):
    @METRICS.register_module(force=True)
    class OwnScores(IoUMetric):
        def total_area_to_metrics(self, *areas):
            return dict(mOwn=self.own_score)

    cfg = data.config()
    cfg.val_evaluator = dict(type='OwnScores', iou_metrics=['mOwn'])
    check_before_training(cfg, LOADERS)


def test_other_classes_in_the_loader_of_masks_than_in_the_data(data):
    steps = [dict(type='LoadImageFromFile'), dict(type='LoadCheckedAnnotations', num_classes=3)]
    cfg = data.config(data.dataset('train', pipeline=steps))
    with pytest.raises(ValueError, match='num_classes=3, but .* train has 4 classes: set num_cl'):
        check_before_training(cfg, LOADERS)
    steps[1]['num_classes'] = 4
    check_before_training(data.config(data.dataset('train', pipeline=steps)), LOADERS)


@TRANSFORMS.register_module()
class ShiftIds:
    """Ids from 100 on become classes."""

    def __call__(self, results):
        labels = results['gt_seg_map']
        results['gt_seg_map'] = np.where(labels < 255, labels - np.uint8(100), labels)
        return results


@TRANSFORMS.register_module()
class NeedsMore:
    def __call__(self, results):
        return results['what only another step gives']


def with_steps(data, *steps, **loader):
    loader = loader or dict(type='LoadAnnotations')
    own = [dict(type='LoadImageFromFile'), loader, *steps]
    return data.config(data.dataset('train', pipeline=own))


def test_ids_are_compared_as_the_users_own_steps_leave_them(data):
    cfg = with_steps(data, dict(type='ShiftIds'), dict(type='PackSegInputs'))
    for i in range(8):
        data.write_mask(i, np.uint8([[100, 101], [102, 255]]).repeat(5, 0).repeat(6, 1))
    check_before_training(cfg, ('train_dataloader',))
    report = check_data(cfg)
    assert [p for p in report.problems if p.kind != 'absent class'] == []
    assert report.pixels[0][0].tolist() == [30, 30, 30, 0]
    with pytest.raises(ValueError, match='ids that are no class: 100'):
        check_before_training(with_steps(data), ('train_dataloader',))
    data.write_mask(2, np.full((10, 12), 110, np.uint8))
    with pytest.raises(ValueError, match=r'2.png .* no class: 10 \(120 pixels\)'):
        check_before_training(cfg, ('train_dataloader',))


def test_a_loader_may_take_more_ids_than_the_users_own_steps_leave(data):
    data.write_mask(0, np.full((10, 12), 100, np.uint8))
    for i in range(1, 8):
        data.write_mask(i, np.full((10, 12), 101, np.uint8))
    loader = dict(type='LoadCheckedAnnotations', num_classes=104)
    steps = dict(type='ShiftIds'), dict(type='PackSegInputs')
    check_before_training(with_steps(data, *steps, **loader), ('train_dataloader',))


@TRANSFORMS.register_module()
class CropCorner:
    def __call__(self, results):
        results['gt_seg_map'] = results['gt_seg_map'][:2, :2]
        return results


def test_the_users_own_augmentation_changes_no_count(data):
    plain = check_data(with_steps(data)).pixels[0]
    steps = dict(type='CropCorner'), dict(type='PackSegInputs'), dict(type='NeedsMore')
    report = check_data(with_steps(data, *steps))
    assert report.problems == check_data(with_steps(data)).problems
    assert report.pixels[0].tolist() == plain.tolist()
    for i in range(8):
        data.write_mask(i, np.uint8([[100, 101], [102, 255]]).repeat(5, 0).repeat(6, 1))
    counts = check_data(with_steps(data, dict(type='CropCorner'), dict(type='ShiftIds'))).pixels[0]
    assert counts[0].tolist() == [30, 30, 30, 0]


@TRANSFORMS.register_module()
class ShiftAndCrop(ShiftIds):
    """Crops another place each time, pads by 255, and makes classes of the ids."""

    def __call__(self, results):
        results = super().__call__(results)
        top, left = np.random.randint(5), np.random.randint(6)
        crop = results['gt_seg_map'][top : top + 5, left : left + 6]
        results['gt_seg_map'] = np.pad(crop, 1, constant_values=255)
        return results


def test_ids_are_compared_also_where_one_step_maps_and_crops(data):
    cfg = with_steps(data, dict(type='ShiftAndCrop'), dict(type='PackSegInputs'))
    for i in range(8):
        data.write_mask(i, np.uint8([[100, 101], [102, 255]]).repeat(5, 0).repeat(6, 1))
    check_before_training(cfg, ('train_dataloader',))
    assert check_data(cfg).pixels[0][0].tolist() == [30, 30, 30, 0], 'of the whole mask'
    labels = np.full((10, 12), 100, np.uint8)
    labels[9, 11] = 110
    data.write_mask(2, labels)
    with pytest.raises(ValueError, match=r'2.png .* no class: 10 \(1 pixels?\)'):
        check_before_training(cfg, ('train_dataloader',))


@TRANSFORMS.register_module()
class DrawsMask:
    """Overwrites what was loaded."""

    def __call__(self, results):
        results['gt_seg_map'] = np.eye(10, 12, dtype=np.uint8)
        return results


def test_ids_of_a_step_that_draws_its_own_mask_are_not_refused(data, warnings):
    data.write_mask(2, np.full((10, 12), 110, np.uint8))
    check_before_training(with_steps(data, dict(type='DrawsMask')), ('train_dataloader',))
    assert any('2.png were not checked' in line and 'several of 110' in line for line in warnings)


def test_a_step_that_cannot_be_tried_alone_is_a_warning(data, warnings):
    data.write_mask(2, np.full((10, 12), 110, np.uint8))
    check_before_training(with_steps(data, dict(type='NeedsMore')), ('train_dataloader',))
    [line, _] = warnings
    assert 'ids of' in line and '2.png were not checked: KeyError' in line


@pytest.fixture
def warnings(monkeypatch):
    lines = []
    monkeypatch.setattr(start, 'print_log', lambda message, *_: lines.append(message))
    return lines


def test_beside_files_that_are_skipped_other_warnings_are_heard(data, warnings):
    data.mask(0).unlink()
    data.image(1).write_bytes(b'')
    data.write_list('train', [0, 1, 2, 2, 8])
    skipping = dict(type='FaultTolerantDataset', dataset=data.dataset('train'))
    cfg = data.config(dict(skipping, on_bad_sample='skip'))
    check_before_training(cfg, LOADERS)
    said = ' '.join(warnings)
    for heard in ('0.png does not exist', 'is listed 2 times', '8.jpg is in val and also in train'):
        assert heard in said, heard
    data.write_mask(0, np.zeros((10, 12), np.uint8))
    data.write_mask(2, np.zeros((3, 3), np.uint8))
    warnings.clear()
    check_before_training(cfg, LOADERS)
    said = ' '.join(warnings)
    for heard in ('1.jpg is empty', '2.png has 3x3 pixels', 'also in train'):
        assert heard in said, heard


def test_the_crop_of_a_dataset_that_mixes_images_counts(data):
    steps = [dict(type='RandomCrop', crop_size=(9, 8))]
    inner = data.dataset('train')
    cfg = data.config(dict(type='MultiImageMixDataset', dataset=inner, pipeline=steps))
    cfg.model = dict(data_preprocessor=dict(type='SegDataPreProcessor', size=(8, 8)))
    with pytest.raises(ValueError, match='train_dataloader.dataset.pipeline.0 is'):
        check_before_training(cfg, ('train_dataloader',))


@pytest.mark.parametrize('names', [[], ['', ' ']])
def test_an_empty_split_is_refused_before_an_evaluation_too(data, names):
    data.write_list('val', names)
    with pytest.raises(ValueError, match=f'The split {data.root}/val.txt is empty'):
        check_before_testing(data.config())


def test_an_empty_folder_is_named(data):
    (data.root / 'none').mkdir()
    prefix = dict(img_path='none')
    cfg = data.config(data.dataset('train', ann_file='', data_prefix=prefix))
    with pytest.raises(ValueError, match=f'The split {data.root}/none is empty'):
        check_before_training(cfg, ('train_dataloader',))
