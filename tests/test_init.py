"""The package's face."""

from __future__ import annotations

import subprocess
import sys

import pytest

import mmseg_deeplabv3x


def test_the_predictor_comes_with_its_first_use_and_not_with_the_package():
    script = """
import sys
import mmseg_deeplabv3x
rooms = ('inference', 'cli', 'prepare', 'data_check')
assert not [room for room in rooms if f'mmseg_deeplabv3x.{room}' in sys.modules]
from mmseg_deeplabv3x import DeepLabV3Predictor
assert DeepLabV3Predictor.__module__ == 'mmseg_deeplabv3x.inference.predictor'
"""
    subprocess.run([sys.executable, '-c', script], check=True)


def test_what_is_not_there_is_an_attribute_error():
    with pytest.raises(AttributeError, match="no attribute 'Predictor'"):
        mmseg_deeplabv3x.Predictor  # noqa: B018
