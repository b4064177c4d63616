from __future__ import annotations

import configparser
import re
import shutil
import subprocess
import sys
import sysconfig
import tarfile
from importlib.metadata import PackageNotFoundError, distribution, distributions
from pathlib import Path
from zipfile import ZipFile

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

import mmseg_deeplabv3x

ROOT = Path(__file__).parents[1]


def requirements():
    """{extra name, or '' for what everybody gets: [Requirement]}."""
    setup = configparser.ConfigParser()
    setup.read(ROOT / 'setup.cfg')
    groups = {'': setup['options']['install_requires'], **setup['options.extras_require']}
    return {
        group: [Requirement(line) for line in text.split('\n') if line and line[0] != '#']
        for group, text in groups.items()
    }


def pinned(constraints):
    """{name: version} of a file of constraints and of those that it reads."""
    pins = {}
    for line in (ROOT / constraints).read_text().splitlines():
        if line.startswith('-c '):
            pins.update(pinned(line[3:]))
        elif line and line[0] != '#':
            name, version = line.split('==')
            assert canonicalize_name(name) not in pins, f'{name} is pinned twice'
            pins[canonicalize_name(name)] = version
    return pins


# Environment -> what pins it, and the extras that it leaves out.
ENVIRONMENTS = {
    '.venv': ('constraints.txt', ['timm']),
    '.venv-extras': ('constraints-extras.txt', []),
}


@pytest.mark.parametrize('constraints,without', ENVIRONMENTS.values())
@pytest.mark.parametrize('group', requirements())
def test_every_requirement_has_a_tested_version_within_its_bounds(group, constraints, without):
    pins = pinned(constraints)
    for requirement in requirements()[group]:
        assert requirement.specifier, f'{requirement.name} has no bound'
        if group not in without:
            assert requirement.name in pins, f'{constraints} does not pin {requirement.name}'
            assert requirement.specifier.contains(pins[requirement.name]), requirement


@pytest.mark.parametrize('constraints,_', ENVIRONMENTS.values())
def test_constraints_are_exact_and_hold_no_build_of_one_machine(constraints, _):
    pins = pinned(constraints)
    assert all(re.fullmatch(r'[0-9.]+(post\d+)?', version) for version in pins.values())
    assert not [name for name in pins if left_to_torch(name)]


def left_to_torch(name):
    """A CUDA build of PyTorch asks for the versions of these itself."""
    return name.startswith(('nvidia-', 'cuda-', 'triton'))


@pytest.mark.skipif(Path(sys.prefix).parent != ROOT, reason='not one of the pinned environments')
def test_what_requirements_ask_for_is_pinned_too():
    constraints, without = ENVIRONMENTS[Path(sys.prefix).name]
    asked = {r.name for group, rs in requirements().items() if group not in without for r in rs}
    todo, seen = [*asked], set()
    while todo:
        name = canonicalize_name(todo.pop())
        if name in seen or left_to_torch(name):
            continue
        seen.add(name)
        try:
            found = distribution(name)
        except PackageNotFoundError:  # of an extra that was not installed
            continue
        version = Version(found.version).public  # without the name of a build
        assert pinned(constraints).get(name) == version, f'{constraints}: {name}'
        needed = [Requirement(line) for line in found.requires or []]
        todo += [r.name for r in needed if not r.marker or r.marker.evaluate({'extra': ''})]


def test_an_installed_torch_and_mmcv_stay():
    everybody = {r.name: str(r.specifier) for r in requirements()['']}
    assert re.fullmatch(r'>=[0-9.]+', everybody['torch']), 'an upper bound would replace torch'
    assert not {'mmcv', 'mmcv-lite', 'torchvision'} & set(everybody)


@pytest.fixture(scope='module')
def wheel(tmp_path_factory):
    """The wheel, made from a copy of the checkout."""
    # Not importorskip: after an import of pip, setuptools' import fails in this process, and
    # torch.compile needs it (setuptools' _distutils_hack gives way to pip for good).
    if not [*distributions(name='pip')]:
        pytest.skip('this environment has no pip to build a wheel with')
    root = tmp_path_factory.mktemp('wheel')
    for name in ('setup.py', 'setup.cfg', 'pyproject.toml', 'README.md', 'LICENSE', 'MANIFEST.in'):
        shutil.copy(ROOT / name, root)
    shutil.copy(ROOT / 'model-index.yml', root)
    for folder in ('mmseg_deeplabv3x', 'configs', 'tools', 'tests'):
        ignore = shutil.ignore_patterns('__pycache__')
        shutil.copytree(ROOT / folder, root / folder, ignore=ignore)
    options = ['--no-deps', '--no-build-isolation', '--wheel-dir', str(root)]
    command = [sys.executable, '-m', 'pip', 'wheel', '--quiet', *options, str(root)]
    subprocess.run(command, check=True)
    [wheel] = root.glob('*.whl')
    return wheel


def test_the_wheel_holds_modules_configs_and_tools_and_nothing_else(wheel):
    package = 'mmseg_deeplabv3x'
    files = {str(path.relative_to(ROOT)) for path in (ROOT / package).rglob('*.py')}
    for folder in ('configs', 'tools'):
        paths = [p for p in (ROOT / folder).rglob('*') if p.is_file() and p.suffix != '.pyc']
        files |= {f'{package}/.mim/{path.relative_to(ROOT)}' for path in paths}
    files.add(f'{package}/py.typed')  # without it, type checkers ignore the hints
    held = {name for name in ZipFile(wheel).namelist() if '.dist-info/' not in name}
    assert held == files | {f'{package}/.mim/model-index.yml'}


def test_the_source_distribution_holds_all_that_the_wheel_is_made_of(wheel, tmp_path):
    code = f'from setuptools import build_meta; build_meta.build_sdist({str(tmp_path)!r})'
    subprocess.run([sys.executable, '-c', code], cwd=wheel.parent, check=True, capture_output=True)
    [archive] = tmp_path.glob('*.tar.gz')
    with tarfile.open(archive) as file:
        held = {name.partition('/')[2] for name in file.getnames()}
    made_of = {'setup.py', 'model-index.yml'}
    for folder in ('mmseg_deeplabv3x', 'configs', 'tools', 'tests'):
        paths = [p for p in (wheel.parent / folder).rglob('*') if p.is_file()]
        made_of |= {str(path.relative_to(wheel.parent)) for path in paths}
    assert not made_of - held


@pytest.mark.slow
def test_a_fresh_environment_with_the_wheel_trains(wheel, tmp_path):
    subprocess.run([sys.executable, '-m', 'venv', '--without-pip', tmp_path / 'env'], check=True)
    [packages] = (tmp_path / 'env').glob('lib/python*/site-packages')
    # all that the wheel needs, but not this checkout: what a .pth file adds reads no .pth files
    (packages / 'needed.pth').write_text(sysconfig.get_path('purelib'))
    pip = [sys.executable, '-m', 'pip', '--python', str(tmp_path / 'env/bin/python'), 'install']
    subprocess.run([*pip, '--quiet', '--no-deps', '--no-index', str(wheel)], check=True)
    shapes = ['--num-train', '8', '--num-val', '2']
    few = ['--cfg-options', 'train_cfg.max_iters=2', 'train_dataloader.batch_size=2']
    config = 'deeplabv3x_r18_os16_shapes'
    weights = f'work_dirs/{config}/iter_2.pth'
    for command in (
        ['deeplabv3x', 'make-shapes', *shapes],
        ['deeplabv3x', 'train', config, *few],
        ['deeplabv3x', 'test', config, weights],
        ['deeplabv3x', 'show', config],
        ['deeplabv3x', 'report', f'work_dirs/{config}'],
        ['deeplabv3x', 'infer', '-', weights, 'data/shapes/JPEGImages', '-o', 'masks'],
    ):
        command[0] = str(tmp_path / 'env/bin' / command[0])
        run = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
        assert run.returncode == 0, run.stdout + run.stderr
    code = 'import mmseg_deeplabv3x; print(mmseg_deeplabv3x.__file__)'
    command = [str(tmp_path / 'env/bin/python'), '-c', code]
    place = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True).stdout
    assert place.startswith(str(packages))


def test_the_index_of_models_lists_every_config():
    [metafile] = yaml.safe_load((ROOT / 'model-index.yml').read_text())['Import']
    models = yaml.safe_load((ROOT / metafile).read_text())['Models']
    configs = sorted(f'configs/{path.name}' for path in (ROOT / 'configs').glob('*.py'))
    assert [model['Config'] for model in models] == configs
    assert [f'configs/{model["Name"]}.py' for model in models] == configs


def test_version():
    assert re.fullmatch(r'\d+\.\d+\.\d+', mmseg_deeplabv3x.__version__)


def test_tracked_files_name_no_place_of_one_machine():
    places = r'/(root|work|home|Users|opt)/\w|index-url|find-links|https?://[0-9.]+[:/]'
    command = ['git', 'grep', '-InE', places, '--', '.', ':!tests/test_packaging.py']
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    if result.returncode > 1:
        pytest.skip('not a git checkout: the list of tracked files is not at hand')
    assert not result.stdout
