import pytest
from mmseg.registry import DATASETS

from mmseg_deeplabv3x.data_check import check_data
from mmseg_deeplabv3x.data_check.html_report import page
from mmseg_deeplabv3x.data_check.splits import load_splits
from mmseg_deeplabv3x.data_check.whole_splits import shared_images


def problems(cfg):
    return [problem for split in load_splits(cfg) for problem in split.problems]


def test_val_and_test_are_read_once(data):
    splits = load_splits(data.config())
    assert [(split.name, len(split.infos)) for split in splits] == [('train', 8), ('val, test', 3)]
    assert splits[0].infos[3]['img_path'] == str(data.image(3))
    assert splits[0].infos[3]['seg_map_path'] == str(data.mask(3))
    assert not problems(data.config())


def test_through_wrappers(data):
    inner = data.dataset('train')
    twice = dict(type='RepeatDataset', times=2, dataset=inner)
    hard = dict(type='BootstrapDataset', hard_classes=['sky'], times=2, dataset=twice)
    both = dict(type='ConcatDataset', datasets=[hard, data.dataset('val')])
    splits = load_splits(data.config(both), ('train_dataloader',))
    assert [(split.name, len(split.infos)) for split in splits] == [
        ('train[0]', 8),
        ('train[1]', 3),
    ]


def test_loaders_that_are_not_there_are_no_problem(data):
    cfg = data.config()
    cfg.test_dataloader = None
    cfg.pop('val_dataloader')
    assert [split.name for split in load_splits(cfg)] == ['train']


def test_empty_split(data):
    data.write_list('train', [])
    (found,) = problems(data.config())
    assert found.kind == 'empty split' and found.split == 'train'
    assert found.message == f'The split {data.root}/train.txt is empty.'


def test_blank_lines(data):
    data.write_list('train', [0, '', 1, '  ', 2])
    splits = load_splits(data.config())
    (found,) = splits[0].problems
    assert found.kind == 'blank lines' and 'train.txt has 2 blank lines' in found.message
    assert found.message.endswith('which are skipped: line 2, 4.')
    assert len(splits[0].infos) == 3


def test_doubled_names(data):
    data.write_list('val', [8, 9, 8, 10, 8])
    (found,) = problems(data.config())
    assert found.kind == 'doubled' and 'images/8.jpg is listed 3 times in' in found.message


def test_images_in_training_and_evaluation(data):
    data.write_list('val', [8, 2, 9])
    (found,) = shared_images(load_splits(data.config()))
    assert found.kind == 'shared' and '2.jpg is in val, test and also in train.' in found.message
    data.write_list('train', range(8, 11))
    cfg = data.config(data.dataset('val'))  # the very same dataset
    assert len(shared_images(load_splits(cfg))) == 3


@pytest.mark.parametrize('missing', ['ann_file', 'img_path', 'seg_map_path', 'data_root'])
@pytest.mark.parametrize('type', ['BaseSegDataset', 'PascalVOCDataset'])
def test_a_missing_list_or_folder(data, missing, type):
    dataset = data.dataset('train', type=type)
    where = dataset['data_prefix'] if 'path' in missing else dataset
    where[missing] = 'nowhere'
    found = problems(data.config(dataset))[0]
    assert found.kind == 'missing' and found.split == 'train'
    assert f'{type} finds no ' in found.message and 'nowhere' in found.message


def test_what_a_data_set_itself_says(data):
    found = problems(data.config(dict(type='ShapesDataset', data_root=str(data.root))))[0]
    assert found.kind == 'missing' and 'ShapesDataset finds no' in found.message


@DATASETS.register_module()
class Foreign:
    """A dataset that is none of mmengine's."""

    def __init__(self, pipeline):
        pass


@pytest.mark.parametrize(
    'changes', [dict(metainfo=None), dict(type='Foreign')], ids=['no classes', 'foreign']
)
def test_what_cannot_be_checked(data, changes):
    config = data.dataset('train', **changes)
    if 'type' in changes:
        config = changes
    (found,) = problems(data.config(config))
    assert found.kind == 'not checked' and 'cannot be checked: ' in found.message


WORDS = 'caf\u00e9 \u6f22\u5b57'
NAMES = ['a b', '-rf', WORDS, '100%', '#1', "it's", '{x}', 'a.b.jpg', 'x' * 200, '[0]*?']


@pytest.mark.parametrize('listed', [False, True])
def test_names_with_unusual_characters(data, listed):
    for i, name in enumerate(NAMES[:8]):
        for path in (data.image(i), data.mask(i)):
            path.rename(path.with_name(name + path.suffix))
    for i, name in enumerate(NAMES[8:]):
        data.image(8 + i).rename(data.image(name))
        data.mask(8 + i).rename(data.mask(name))
    data.write_list('train', NAMES)
    for path in (data.image(10), data.mask(10)):
        path.unlink()
    cfg = data.config(data.dataset('train', **({} if listed else dict(ann_file=''))))
    cfg.val_dataloader = cfg.test_dataloader = None
    report = check_data(cfg)
    assert report.problems == [] and len(report.splits[0].infos) == len(NAMES)
    assert '<h1>' in page(report, 'title')


def test_a_line_break_in_a_name_is_refused(data):
    data.image(0).rename(data.image('a\nb'))
    (found,) = problems(data.config(data.dataset('train', ann_file='')))
    assert "holds 'a\\nb', which is not the name of an image" in found.message
