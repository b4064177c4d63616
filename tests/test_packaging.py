from __future__ import annotations

import configparser
import re
import shutil
import subprocess
import sys
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from zipfile import ZipFile

import pytest
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


def test_the_wheel_holds_every_module_and_no_other(tmp_path):
    pytest.importorskip('pip')
    for name in ('setup.cfg', 'pyproject.toml', 'README.md', 'LICENSE'):
        shutil.copy(ROOT / name, tmp_path)
    for folder in ('mmseg_deeplabv3x', 'tools', 'tests'):
        ignore = shutil.ignore_patterns('__pycache__')
        shutil.copytree(ROOT / folder, tmp_path / folder, ignore=ignore)
    options = ['--no-deps', '--no-build-isolation', '--wheel-dir', str(tmp_path)]
    command = [sys.executable, '-m', 'pip', 'wheel', '--quiet', *options, str(tmp_path)]
    subprocess.run(command, check=True)
    [wheel] = tmp_path.glob('*.whl')
    package = tmp_path / 'mmseg_deeplabv3x'
    modules = {str(path.relative_to(tmp_path)) for path in package.rglob('*.py')}
    assert {name for name in ZipFile(wheel).namelist() if name.endswith('.py')} == modules


def test_version():
    assert re.fullmatch(r'\d+\.\d+\.\d+', mmseg_deeplabv3x.__version__)


def test_tracked_files_name_no_place_of_one_machine():
    places = r'/(root|work|home|Users|opt)/\w|index-url|find-links|https?://[0-9.]+[:/]'
    command = ['git', 'grep', '-InE', places, '--', '.', ':!tests/test_packaging.py']
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    if result.returncode > 1:
        pytest.skip('not a git checkout: the list of tracked files is not at hand')
    assert not result.stdout
