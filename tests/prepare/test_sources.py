import io
import os
import re
import tarfile
import zipfile
from unittest import mock

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from mmseg_deeplabv3x.prepare.sources import find_files, unpack

LAYOUT = re.compile(r'(?:^|/)(images/\w+\.txt)$')


def find(tmp_path, *sources, wanted=lambda name: True):
    scratch = tmp_path / 'scratch'
    scratch.mkdir(exist_ok=True)
    return {name: path.read_text() for name, path in find_files(sources, LAYOUT, wanted, scratch)}


def write(path, text):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def test_files_are_found_at_any_depth_and_the_first_counts(small, tmp_path):
    write(tmp_path / 'a/images/x.txt', 'a')
    write(tmp_path / 'b/deep/er/images/x.txt', 'b')
    write(tmp_path / 'b/deep/er/images/y.txt', 'b')
    write(tmp_path / 'b/deep/er/other/z.txt', 'b')
    write(tmp_path / 'b/.hidden/images/z.txt', 'b')
    archives = [small.pack(tmp_path / 'b', tmp_path / name) for name in ('b.zip', 'b.tar', 'b.tgz')]
    for source in (tmp_path / 'b', *archives[1:]):
        assert find(tmp_path, tmp_path / 'a', source)['images/y.txt'] == 'b'
        assert find(tmp_path, tmp_path / 'a', source)['images/x.txt'] == 'a'
        assert find(tmp_path, source, tmp_path / 'a')['images/x.txt'] == 'b'
    assert set(find(tmp_path, tmp_path / 'b')) == {'images/x.txt', 'images/y.txt'}


@pytest.mark.parametrize('suffix', ['zip', 'tar', 'tgz'])
def test_archives_do_not_overwrite_each_others_files(small, tmp_path, suffix):
    for name in 'ab':
        write(tmp_path / f'{name}/images/{name}/x.txt', name)
    sources = [small.pack(tmp_path / name, tmp_path / f'{name}.{suffix}') for name in 'ab']
    layout = re.compile(r'(images/.+\.txt)$')
    (tmp_path / 'scratch').mkdir()
    found = list(find_files(sources, layout, lambda name: True, tmp_path / 'scratch'))
    assert [(name, path.read_text()) for name, path in found] == [
        ('images/a/x.txt', 'a'), ('images/b/x.txt', 'b'),
    ]  # fmt: skip


@pytest.mark.parametrize('name', ['', 'a.zip', 'a.tar', 'a.tgz'])
def test_what_is_hidden_is_passed_over(small, tmp_path, name):
    layout = re.compile(r'(?:^|/)(images/[^/]+\.txt)$')
    for path in ('images/x.txt', '__MACOSX/images/._x.txt', '.trash/images/y.txt'):
        write(tmp_path / 'a' / path, path)
    source = small.pack(tmp_path / 'a', tmp_path / name) if name else tmp_path / 'a'
    found = find_files([source], layout, lambda name: True, tmp_path)
    assert [name for name, _ in found] == ['images/x.txt']


def test_only_what_is_wanted_is_unpacked(small, tmp_path):
    for name in 'xyz':
        write(tmp_path / f'a/images/{name}.txt', name)
    archive = small.pack(tmp_path / 'a', tmp_path / 'a.tgz')
    assert find(tmp_path, archive, wanted=lambda name: 'y' in name) == {'images/y.txt': 'y'}
    assert len(list((tmp_path / 'scratch').iterdir())) == 1


def test_folders_that_are_links_are_followed_once(tmp_path):
    write(tmp_path / 'disk/images/x.txt', 'x')
    (tmp_path / 'data').mkdir()
    (tmp_path / 'data/here').symlink_to(tmp_path / 'disk')
    (tmp_path / 'disk/images/round').symlink_to(tmp_path / 'disk')
    assert find(tmp_path, tmp_path / 'data') == {'images/x.txt': 'x'}


def test_a_json_may_be_named_itself(tmp_path):
    write(tmp_path / 'a.json', '{}')
    found = find_files(
        [tmp_path / 'a.json'], re.compile(r'^(.+\.json)$'), lambda name: True, tmp_path
    )
    assert list(found) == [('a.json', tmp_path / 'a.json')]


def test_what_is_no_source_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match='--from .*absent.zip: there is no such'):
        find(tmp_path, tmp_path / 'absent.zip')
    write(tmp_path / 'a.rar', '')
    with pytest.raises(ValueError, match=r'a.rar: neither a folder nor an archive \(.zip, .tar'):
        find(tmp_path, tmp_path / 'a.rar')


def member(name, kind=tarfile.REGTYPE, target=''):
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, target
    return info


def write_tar(path, *members):
    with tarfile.open(path, 'w:gz' if path.name.endswith('gz') else 'w') as file:
        for info in members:
            content = b'content of ' + info.name.encode()
            info.size = len(content) if info.isreg() else 0
            file.addfile(info, io.BytesIO(content) if info.isreg() else None)
    return path


def write_zip(path, *members):
    with zipfile.ZipFile(path, 'w') as file:
        for name, mode in members:
            info = zipfile.ZipInfo(name)
            info.external_attr = mode << 16
            file.writestr(info, b'content of ' + name.encode())
    return path


def contents(archive, folder, wanted=lambda name: True):
    folder.mkdir(exist_ok=True)
    return {name: path.read_bytes() for name, path in unpack(archive, wanted, folder)}


GOOD = member('data/good.png')


@pytest.mark.parametrize(
    'bad,reason',
    [
        (member('../evil.png'), "leaves the archive's folder"),
        (member('data/../../evil.png'), "leaves the archive's folder"),
        (member('..\\evil.png'), "leaves the archive's folder"),
        (member('/evil.png'), 'absolute path'),
        (member('C:/evil.png'), 'absolute path'),
        (member('data/link', tarfile.SYMTYPE, '/etc'), 'is a link'),
        (member('data/link', tarfile.SYMTYPE, '../../..'), 'is a link'),
        (member('data/link', tarfile.SYMTYPE, 'good.png'), 'is a link'),
        (member('data/link', tarfile.LNKTYPE, '/etc/passwd'), 'absolute path'),
        (member('data/link', tarfile.LNKTYPE, '../../etc/passwd'), "leaves the archive's folder"),
        (
            member('data/link', tarfile.LNKTYPE, 'data/absent.png'),
            'which the archive does not hold',
        ),
        (member('data/device', tarfile.CHRTYPE), 'a device'),
        (member('data/device', tarfile.BLKTYPE), 'a device'),
        (member('data/pipe', tarfile.FIFOTYPE), 'a device'),
        (member('../folder', tarfile.DIRTYPE), "leaves the archive's folder"),
    ],
)
@pytest.mark.parametrize('suffix', ['.tar', '.tgz'])
def test_a_hostile_tar_is_refused_before_anything_is_unpacked(tmp_path, bad, reason, suffix):
    archive = write_tar(tmp_path / f'a{suffix}', GOOD, bad)
    with pytest.raises(ValueError, match='refused, nothing was unpacked') as error:
        contents(archive, tmp_path / 'out')
    message = str(error.value)
    assert str(archive) in message and repr(bad.name) in message and reason in message
    assert not os.listdir(tmp_path / 'out')
    assert sorted(os.listdir(tmp_path)) == [archive.name, 'out']


@pytest.mark.parametrize(
    'name,mode,reason',
    [
        ('../evil.png', 0, "leaves the archive's folder"),
        ('/evil.png', 0, 'absolute path'),
        ('data\\..\\..\\evil.png', 0, "leaves the archive's folder"),
        ('data/link', 0o120777, 'is a link'),
        ('data/device', 0o020666, 'a device'),
    ],
)
def test_a_hostile_zip_is_refused_before_anything_is_unpacked(tmp_path, name, mode, reason):
    archive = write_zip(tmp_path / 'a.zip', ('good.png', 0o100644), (name, mode))
    with pytest.raises(ValueError, match='refused, nothing was unpacked') as error:
        contents(archive, tmp_path / 'out')
    assert str(archive) in str(error.value) and reason in str(error.value)
    assert sorted(os.listdir(tmp_path)) == ['a.zip', 'out'] and not os.listdir(tmp_path / 'out')


def test_an_encrypted_zip_is_refused(tmp_path):
    archive = write_zip(tmp_path / 'a.zip', ('secret.png', 0))
    data = bytearray(archive.read_bytes())
    for header, flags in ((b'PK\x03\x04', 6), (b'PK\x01\x02', 8)):
        data[data.index(header) + flags] |= 1
    archive.write_bytes(data)
    with pytest.raises(ValueError, match="member 'secret.png' is encrypted"):
        contents(archive, tmp_path / 'out')


def test_an_unwanted_hostile_member_is_refused_too(tmp_path):
    archive = write_tar(tmp_path / 'a.tar', GOOD, member('../evil.txt'))
    with pytest.raises(ValueError, match='evil'):
        contents(archive, tmp_path / 'out', lambda name: name.endswith('.png'))


@pytest.mark.parametrize('name', ['a.tar', 'a.tgz', 'a.tar.gz', 'a.zip'])
def test_what_is_wanted_is_unpacked(tmp_path, name):
    if name.endswith('zip'):
        write_zip(tmp_path / name, ('d/', 0o040755), ('d/a.png', 0), ('d/b.png', 0), ('e/a.png', 0))
    else:
        folder = member('d', tarfile.DIRTYPE)
        write_tar(tmp_path / name, folder, member('d/a.png'), member('d/b.png'), member('e/a.png'))
    asked = []
    found = contents(
        tmp_path / name, tmp_path / 'out', lambda name: asked.append(name) or 'a' in name
    )
    assert found == {'d/a.png': b'content of d/a.png', 'e/a.png': b'content of e/a.png'}
    assert asked == ['d/a.png', 'd/b.png', 'e/a.png']


def test_a_hard_link_within_the_archive_is_a_copy(tmp_path):
    again = member('data/again.png', tarfile.LNKTYPE, 'data/good.png')
    found = contents(write_tar(tmp_path / 'a.tgz', GOOD, again), tmp_path / 'out')
    assert found['data/again.png'] == found['data/good.png'] == b'content of data/good.png'


def test_a_bomb_is_refused_before_anything_is_unpacked(tmp_path):
    archive = write_zip(tmp_path / 'a.zip', ('good.png', 0), ('bomb.png', 0))
    data = bytearray(archive.read_bytes())
    entry = data.rindex(b'PK\x01\x02')
    data[entry + 24 : entry + 28] = b'\xff\xff\xff\x7f'  # its unpacked size in the directory
    archive.write_bytes(data)
    with mock.patch('shutil.disk_usage', return_value=mock.Mock(free=2**30)):
        with pytest.raises(OSError, match='a.zip takes 2.0 GiB unpacked, and 1.0 GiB are free'):
            contents(archive, tmp_path / 'out')
        assert not os.listdir(tmp_path / 'out')
        contents(archive, tmp_path / 'out', lambda name: name == 'good.png')


@pytest.mark.parametrize('name', ['a.tar', 'a.tgz', 'a.zip'])
@pytest.mark.parametrize('share', [0, 0.3, 0.7])
def test_a_cut_archive_is_named(tmp_path, name, share):
    path = tmp_path / name
    noise = os.urandom(20000)
    if name.endswith('zip'):
        with zipfile.ZipFile(path, 'w') as file:
            file.writestr('a.png', noise)
    else:
        with tarfile.open(path, 'w:gz' if name.endswith('gz') else 'w') as file:
            info = member('a.png')
            info.size = len(noise)
            file.addfile(info, io.BytesIO(noise))
    path.write_bytes(path.read_bytes()[: int(share * 20000)])
    with pytest.raises(ValueError, match=f'{name} is damaged or incomplete .* download it again'):
        contents(path, tmp_path / 'out')


@settings(
    max_examples=40,
    derandomize=True,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(st.sampled_from(['a.tar', 'a.tgz', 'a.zip']), st.floats(0, 1), st.integers(1, 255))
@example('a.zip', 0.72, 64)  # says that it is encrypted
@example('a.zip', 0.95, 255)  # its directory lies before its start
def test_a_damaged_archive_gives_files_or_one_clear_error(tmp_path, name, place, change):
    path = tmp_path / name
    if name.endswith('zip'):
        write_zip(path, ('d/a.png', 0), ('d/b.png', 0))
    else:
        write_tar(path, member('d/a.png'), member('d/b.png'))
    data = bytearray(path.read_bytes())
    data[min(int(place * len(data)), len(data) - 1)] ^= change
    path.write_bytes(data)
    try:
        contents(path, tmp_path / 'out')
    except ValueError as error:
        assert str(path) in str(error)
    assert set(os.listdir(tmp_path)) <= {'a.tar', 'a.tgz', 'a.zip', 'out'}
