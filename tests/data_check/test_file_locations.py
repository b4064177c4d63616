from __future__ import annotations

import os

import pytest

from mmseg_deeplabv3x.data_check import check_before_testing, check_before_training, check_data
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


def found(cfg):
    return [problem for split in load_splits(cfg) for problem in split.problems]


@pytest.mark.parametrize('what', ['image', 'mask'])
def test_a_link_out_of_the_data_root_is_refused(data, elsewhere, what):
    link = getattr(data, what)(3)
    target = move(link, elsewhere)
    with pytest.raises(ValueError, match=r'(?s)data: 1\n  train: .*check_data') as error:
        check_before_training(data.config(), LOADERS)
    assert f'{link} leads to {target}, outside of {data.root}: copy it there' in str(error.value)
    assert f"extra_data_roots=['{elsewhere}']" in str(error.value)


def test_what_lies_outside_is_neither_read_nor_shown(data, elsewhere):
    target = move(data.image(3), elsewhere)
    target.write_bytes(b'')  # reading it would be a problem of another kind
    report = check_data(data.config())
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
    problems = found(data.config(data.dataset('train', data_prefix=dict(img_path='images'))))
    (problem,) = [problem for problem in problems if problem.split == 'train']
    assert problem.kind == 'outside' and f'leads to {elsewhere}/a.jpg' in problem.message


def test_a_data_root_that_lies_beside_and_begins_alike_is_another(data, tmp_path):
    beside = tmp_path.with_name(f'{tmp_path.name}_private')
    beside.mkdir()
    move(data.image(3), beside)
    assert [problem.kind for problem in found(data.config())] == ['outside']


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
        assert not found(data.config(dataset))


@pytest.mark.parametrize('given', [str, lambda folder: [str(folder)]])
def test_the_owner_may_allow_more(data, elsewhere, given):
    move(data.image(3), elsewhere)
    cfg = data.config()
    cfg.extra_data_roots = given(elsewhere)
    assert not found(cfg)
    cfg.extra_data_roots = given(elsewhere / 'other')
    assert len(found(cfg)) == 1


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
    assert not found(cfg)


def test_addresses_elsewhere_are_not_looked_at_but_local_files_beside_them_are(data):
    local = str(data.image(3))
    infos = [dict(img_path='s3://a/1.jpg', seg_map_path=str(data.mask(1))), dict(img_path=local)]
    assert check_locations('train', infos, ['s3://a', str(data.root)]) == ([], [])
    _, (problem,) = check_locations('train', infos[1:], ['s3://a'])
    assert f'{local} leads to {os.path.realpath(local)}, outside of s3://a:' in problem.message


def test_before_an_evaluation(data, elsewhere):
    check_before_testing(data.config())
    data.image(9).unlink()  # what is missing, the run itself says
    check_before_testing(data.config())
    move(data.mask(8), elsewhere)
    with pytest.raises(ValueError, match='test: .*8.png leads to'):
        check_before_testing(data.config())


def test_a_pipe_is_no_image(data):
    data.image(9).unlink()
    os.mkfifo(data.image(9))
    for check in (check_before_testing, lambda cfg: check_before_training(cfg, LOADERS)):
        with pytest.raises(ValueError, match='9.jpg is a pipe, expected an image file'):
            check(data.config())
    report = check_data(data.config())
    assert [problem.kind for problem in report.problems] == ['no file']
    assert page(report, 'title').count('<img') == 1, 'the mask alone: to open the pipe would hang'
