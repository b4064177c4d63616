from __future__ import annotations

import configparser
import re
import subprocess
from pathlib import Path

import pytest
from packaging.requirements import Requirement

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


def pinned():
    lines = (ROOT / 'constraints.txt').read_text().splitlines()
    pins = dict(line.split('==') for line in lines if line and line[0] != '#')
    return {name.lower(): version for name, version in pins.items()}


@pytest.mark.parametrize('group', requirements())
def test_every_requirement_has_a_tested_version_within_its_bounds(group):
    for requirement in requirements()[group]:
        assert requirement.name in pinned(), f'constraints.txt does not pin {requirement.name}'
        assert requirement.specifier, f'{requirement.name} has no bound'
        assert requirement.specifier.contains(pinned()[requirement.name]), requirement


def test_constraints_are_exact_and_hold_no_build_of_one_machine():
    assert all(re.fullmatch(r'[0-9.]+(post\d+)?', version) for version in pinned().values())
    assert not [name for name in pinned() if 'nvidia' in name or 'triton' in name]


def test_an_installed_torch_and_mmcv_stay():
    everybody = {r.name: str(r.specifier) for r in requirements()['']}
    assert re.fullmatch(r'>=[0-9.]+', everybody['torch']), 'an upper bound would replace torch'
    assert not {'mmcv', 'mmcv-lite', 'torchvision'} & set(everybody)


def test_every_folder_with_modules_is_a_package():
    for module in (ROOT / 'mmseg_deeplabv3x').rglob('*.py'):
        assert (module.parent / '__init__.py').exists(), module


def test_version():
    assert re.fullmatch(r'\d+\.\d+\.\d+', mmseg_deeplabv3x.__version__)


def test_tracked_files_name_no_place_of_one_machine():
    places = r'/(root|work|home|Users|opt)/\w|index-url|find-links|https?://[0-9.]+[:/]'
    command = ['git', 'grep', '-InE', places, '--', '.', ':!tests/test_packaging.py']
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    if result.returncode > 1:
        pytest.skip('not a git checkout: the list of tracked files is not at hand')
    assert not result.stdout
