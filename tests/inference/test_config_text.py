from __future__ import annotations

import pytest
from mmengine.config import Config

from mmseg_deeplabv3x.inference.config_text import parse_config

DATA = dict(
    a=1,
    b=-2.5,
    c='it\'s "quoted"\n',
    d=[1, (2, 3), ()],
    e={'with-dash': None, 'x': True},
    f=dict(g=dict(h=[dict(type='A')])),
    i=float('inf'),
    j=-float('inf'),
)


def test_what_mmengine_writes_is_read_back():
    assert parse_config(Config(DATA).pretty_text).to_dict() == DATA


def test_a_whole_config_is_read_back(trained):
    cfg = Config.fromfile(trained[0])
    assert parse_config(cfg.pretty_text).to_dict() == cfg.to_dict()


@pytest.mark.parametrize(
    'text',
    [
        'import os',
        "a = __import__('os').getcwd()",
        'a = [x for x in range(3)]',
        'a = open("x")',
        'a = dict(**b)',
        'a.b = 1',
        'a = lambda: 1',
        'a = b',
        'print(1)',
    ],
)
def test_a_program_is_refused(text):
    with pytest.raises(ValueError, match='not plain data: give the config file'):
        parse_config(text)


def test_what_is_no_python_is_refused():
    with pytest.raises(ValueError, match='cannot be parsed'):
        parse_config('a = (')
