import os

import pytest

from mmseg_deeplabv3x.data_check import (
    check_before_testing,
    check_before_training,
    check_data,
    file_locations,
)
from mmseg_deeplabv3x.data_check.file_locations import check_locations
from mmseg_deeplabv3x.data_check.html_report import page
from mmseg_deeplabv3x.data_check.splits import load_splits

LOADERS = ('train_dataloader', 'val_dataloader')


@pytest.fixture
def elsewhere(tmp_path_factory):
    return tmp_path_factory.mktemp('elsewhere')


def move(path, folder):
    """Move a file or folder, leave a link to it."""
    os.rename(path, folder / path.name)
    path.symlink_to(folder / path.name)
    return folder / path.name


def found(cfg, allow=True):
    cfg.allow_outside_links = allow
    return [problem for split in load_splits(cfg) for problem in split.problems]


@pytest.fixture
def said(monkeypatch):
    lines = []
    monkeypatch.setattr(file_locations, 'print_log', lambda message, *_: lines.append(message))
    return lines


@pytest.mark.parametrize('what', ['image', 'mask'])
def test_links_out_of_the_data_root_are_used_and_one_line_says_where_to(
    data, elsewhere, tmp_path_factory, what, said
):
    other = tmp_path_factory.mktemp('other')
    for i in (3, 4):
        move(getattr(data, what)(i), elsewhere)
    move(getattr(data, what)(5), other)
    check_before_training(data.config(), LOADERS)
    (line,) = said
    assert line == f'3 links of train lead out of {data.root}: 2 in {elsewhere}, 1 in {other}.'
    report = check_data(data.config())
    assert report.problems == [] and report.pixels[0][3].any()


@pytest.mark.parametrize('what', ['image', 'mask'])
def test_a_config_can_forbid_them(data, elsewhere, what):
    link = getattr(data, what)(3)
    target = move(link, elsewhere)
    cfg = data.config()
    cfg.allow_outside_links = False
    with pytest.raises(ValueError, match=r'(?s)data: 1\n  train: .*check_data') as error:
        check_before_training(cfg, LOADERS)
    assert f'{link} leads to {target}, outside of {data.root}: copy it there' in str(error.value)
    assert f"extra_data_roots=['{elsewhere}']" in str(error.value)


def test_what_is_forbidden_is_neither_read_nor_shown(data, elsewhere):
    target = move(data.image(3), elsewhere)
    target.write_bytes(b'')  # reading it would be a problem of another kind
    cfg = data.config()
    cfg.allow_outside_links = False
    report = check_data(cfg)
    assert [problem.kind for problem in report.problems] == ['outside']
    assert len(report.splits[0].infos) == len(report.pixels[0]) == 7
    assert '<img' not in page(report, 'title')


@pytest.mark.parametrize('name', ['../{elsewhere}/a', '{elsewhere}/a', 'sub/a'])
def test_no_name_in_a_list_leads_out(data, elsewhere, name):
    os.rename(data.image(3), elsewhere / 'a.jpg')
    (data.root / 'images/sub').symlink_to(elsewhere)
    away = os.path.relpath(elsewhere, data.root / 'images')
    name = name.replace('../{elsewhere}', away).format(elsewhere=elsewhere)
    data.write_list('train', [0, name])
    cfg = data.config(data.dataset('train', data_prefix=dict(img_path='images')))
    problems = found(cfg, allow=name != 'sub/a')
    (problem,) = [problem for problem in problems if problem.split == 'train']
    assert problem.kind == 'outside' and f'leads to {elsewhere}/a.jpg' in problem.message


def test_a_data_root_that_lies_beside_and_begins_alike_is_another(data, tmp_path):
    beside = tmp_path.with_name(f'{tmp_path.name}_private')
    beside.mkdir()
    move(data.image(3), beside)
    assert [problem.kind for problem in found(data.config(), allow=False)] == ['outside']


def test_a_link_to_nothing_is_a_missing_file(data):
    data.image(3).unlink()
    data.image(3).symlink_to('nowhere')
    with pytest.raises(ValueError, match='3.jpg does not exist'):
        check_before_training(data.config(), LOADERS)


def test_links_of_the_owner_are_followed(data, elsewhere, tmp_path_factory):
    """The data root, and the folders that the config names; links inside of them."""
    move(data.root / 'images', elsewhere)
    os.rename(data.mask(1), data.root / 'masks/object')
    data.mask(1).symlink_to('object')
    link = tmp_path_factory.mktemp('link') / 'data'
    link.symlink_to(data.root)
    for root in (data.root, link):
        dataset = data.dataset('train', data_root=str(root))
        check_before_training(data.config(dataset), ('train_dataloader',))
        assert not found(data.config(dataset), allow=False)


@pytest.mark.parametrize('given', [str, lambda folder: [str(folder)]])
def test_the_owner_may_allow_more(data, elsewhere, given):
    move(data.image(3), elsewhere)
    cfg = data.config()
    cfg.extra_data_roots = given(elsewhere)
    assert not found(cfg, allow=False)
    cfg.extra_data_roots = given(elsewhere / 'other')
    assert len(found(cfg, allow=False)) == 1


def test_annotations_of_a_data_set_without_a_root_may_lie_anywhere(data):
    data.write_list('train', [data.root / 'images/0'])
    dataset = data.dataset(
        'train',
        data_root='',
        ann_file=str(data.root / 'train.txt'),
        data_prefix=dict(img_path=''),
    )
    cfg = data.config(dataset)
    cfg.extra_data_roots = ['/nowhere']
    assert not found(cfg, allow=False)


def test_what_another_file_backend_reads_is_left_alone(data):
    infos = [dict(img_path='s3://a/1.jpg', seg_map_path=f'{data.root}/there/1.png')]
    backends = dict(img_path=None, seg_map_path=dict(backend='lmdb', db_path='x'))
    assert check_locations('train', infos, backends, [str(data.root)], False) == []
    backends = dict.fromkeys(backends)
    (missing,) = check_locations('train', infos, backends, [str(data.root)], False)
    assert missing.file == f'{data.root}/there/1.png'


def test_before_an_evaluation(data, elsewhere):
    check_before_testing(data.config())
    data.image(9).unlink()  # what is missing, the run itself says
    check_before_testing(data.config())
    move(data.mask(8), elsewhere)
    check_before_testing(data.config())
    cfg = data.config()
    cfg.allow_outside_links = False
    with pytest.raises(ValueError, match='test: .*8.png leads to'):
        check_before_testing(cfg)


def test_a_pipe_is_no_image(data):
    data.image(9).unlink()
    os.mkfifo(data.image(9))
    for check in (check_before_testing, lambda cfg: check_before_training(cfg, LOADERS)):
        with pytest.raises(ValueError, match='9.jpg is a pipe, expected an image file'):
            check(data.config())
    report = check_data(data.config())
    assert [problem.kind for problem in report.problems] == ['no file']
    assert page(report, 'title').count('<img') == 1, 'the mask alone: to open the pipe would hang'
