"""The Triton kernel without a GPU: what it computes, that it compiles, and what it refuses."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mmseg_deeplabv3x.ops import upsampled_cross_entropy
from mmseg_deeplabv3x.ops.linear_interpolation import interpolation_matrix

pytest.importorskip('triton', reason='needs the package triton, see `make test-triton`')

CASE = torch.zeros(1, 2, 2, 2), torch.zeros(1, 4, 4, dtype=torch.long)


def test_equal_under_the_interpreter():
    cases = Path(__file__).with_name('upsampled_cross_entropy_triton_cases.py')
    done = subprocess.run(
        [sys.executable, '-m', 'pytest', '-q', '-p', 'no:cacheprovider', str(cases)],
        env=dict(os.environ, TRITON_INTERPRET='1'),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize('capability', [80, 90])
@pytest.mark.parametrize('ones', [False, True], ids=['numbers', 'ones'])
@pytest.mark.parametrize('needs_grad', [True, False])
@pytest.mark.parametrize('label', ['i64', 'u8'])
def test_compiles_for_gpus(tmp_path, monkeypatch, capability, ones, needs_grad, label):
    """Also where all sizes are 1, which Triton makes constants."""
    from triton import compile
    from triton.backends.compiler import GPUTarget
    from triton.compiler import ASTSource

    from mmseg_deeplabv3x.ops.upsampled_cross_entropy_triton import cell_kernel

    monkeypatch.setenv('TRITON_CACHE_DIR', str(tmp_path))
    types = dict.fromkeys(['logits', 'class_weight', 'totals', 'shares'], '*fp32')
    types.update(labels=f'*{label}', extremes='*i64')
    constants = dict(ROWS=8, COLUMNS=8, ROW_PARTS=1, COLUMN_PARTS=1, PIXELS=64, CLASSES=16)
    if ones:
        constants = {name: 1 for name in cell_kernel.arg_names if name not in types}
    constants['NEEDS_GRAD'] = needs_grad
    if not needs_grad:
        del types['shares']
        constants['shares'] = None
    for name in cell_kernel.arg_names:
        types.setdefault(name, 'constexpr' if name in constants else 'i32')
    source = ASTSource(cell_kernel, types, constants)
    compiled = compile(source, target=GPUTarget('cuda', capability, 32))
    assert f'.target sm_{capability}' in compiled.asm['ptx']
    assert compiled.asm['cubin'].startswith(b'\x7fELF')


@settings(deadline=None)
@given(size_in=st.integers(1, 70), size_out=st.integers(1, 600), align_corners=st.booleans())
def test_cells_hold_every_pixel_where_interpolate_puts_it(size_in, size_out, align_corners):
    from mmseg_deeplabv3x.ops import upsampled_cross_entropy_triton as module

    places = step, start, unit = module._places(size_in, size_out, align_corners)
    parts, length = module._parts(size_out, *places)
    output = torch.arange(size_out)
    cell = (start + output * step) // unit
    assert cell.min() >= 0 and cell.max() <= size_in
    assert cell.bincount().max() <= parts * length and length <= module.MAX_SIDE

    fraction = (start + output * step - cell * unit).double() / unit
    matrix = torch.zeros(size_out, size_in, dtype=torch.double)
    matrix[output, (cell - 1).clamp(min=0)] += 1 - fraction
    matrix[output, cell.clamp(max=size_in - 1)] += fraction
    expected = interpolation_matrix(size_in, size_out, align_corners, matrix)
    assert torch.allclose(matrix, expected, rtol=0, atol=1e-12)


def test_logits_that_are_not_on_a_gpu():
    message = 'triton=True needs logits on a GPU, but got logits on cpu.'
    with pytest.raises(ValueError, match=message):
        upsampled_cross_entropy(*CASE, True, triton=True)
