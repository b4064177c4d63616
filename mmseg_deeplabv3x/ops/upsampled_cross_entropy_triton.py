"""The sums of :mod:`.upsampled_cross_entropy` in one Triton kernel, for a GPU.

Not run on a GPU yet (docs/benchmarks.md).

A cell is the room between four neighbouring logits, from which all pixels in it are interpolated;
pixels outside all logits are in cells at the border, whose neighbours are the same logit twice. One
program does one cell: it interpolates again in each of three passes over the classes, and so keeps
no more than one block of upsampled logits. Nothing is added up between programs, so that results
are the same in every run: each writes its share, and plain PyTorch adds the shares.
"""

from __future__ import annotations

import itertools
import math
import os

import torch
import triton
import triton.language as tl

# Side of a block of pixels and classes of it, at most; pixels of a warp. By ptxas, for sm_80: 64
# registers a thread at 8x8 pixels, 124 at 11x11, nothing spilled; 142 at 8x8 for 32 classes.
MAX_SIDE, MAX_CLASSES, PIXELS_OF_A_WARP = 11, 16, 16


def sums(logits, labels, align_corners, ignore_index, class_weight, needs_grad):
    """As :func:`.upsampled_cross_entropy._sums`, for float32 logits.

    Raises:
        ValueError: If the logits are not on a GPU; Triton's interpreter takes any.
    """
    if not logits.is_cuda and os.environ.get('TRITON_INTERPRET') != '1':
        raise ValueError(f'triton=True needs logits on a GPU, but got logits on {logits.device}.')
    n, classes, h, w = logits.shape
    height, width = labels.shape[1:]
    row_places, column_places = _places(h, height, align_corners), _places(w, width, align_corners)
    row_parts, rows = _parts(height, *row_places)
    column_parts, columns = _parts(width, *column_places)
    if class_weight is None:
        class_weight = logits.new_ones(classes)

    grid = ((w + 1) * column_parts, (h + 1) * row_parts, n)
    totals = logits.new_empty(4, math.prod(grid))
    extremes = labels.new_empty(2, math.prod(grid), dtype=torch.int64)
    shares = None
    if needs_grad:
        shares = logits.new_empty(4, n, h + 1, row_parts, w + 1, column_parts, classes)
    pixels = triton.next_power_of_2(rows * columns)
    with torch.cuda.device_of(logits):
        cell_kernel[grid](
            logits.permute(0, 2, 3, 1).contiguous(),
            labels.contiguous(),
            class_weight.contiguous(),
            totals,
            extremes,
            shares,
            classes,
            ignore_index,
            h,
            w,
            height,
            width,
            *row_places,
            *column_places,
            ROWS=rows,
            COLUMNS=columns,
            ROW_PARTS=row_parts,
            COLUMN_PARTS=column_parts,
            PIXELS=pixels,
            CLASSES=min(triton.next_power_of_2(classes), MAX_CLASSES),
            NEEDS_GRAD=needs_grad,
            num_warps=max(pixels // PIXELS_OF_A_WARP, 1),
        )
    loss, weight, labelled, correct = totals.sum(1)
    extremes = torch.stack([extremes[0].min(), extremes[1].max()])
    return loss, _add_shares(shares) if needs_grad else None, weight, labelled, correct, extremes


def _places(size_in, size_out, align_corners):
    """Where outputs lie among inputs, in whole numbers: no rounding moves one to another cell.

    Returns:
        (step, start, unit): Output ``i`` is ``(start + i * step) / unit`` steps after the place
        before the first input. So cell ``k`` ends at input ``k``, and none is negative.
    """
    if align_corners and size_in > 1:
        unit = max(size_out - 1, 1)
        return size_in - 1, unit, unit
    return 2 * size_in, size_in + size_out, 2 * size_out


def _parts(size_out, step, start, unit):
    """Number of parts that a side of a cell is cut into, and pixels in each."""
    side = min(math.ceil(unit / step), size_out)
    parts = math.ceil(side / MAX_SIDE)
    return parts, math.ceil(side / parts)


def _add_shares(shares):
    """Gradient, (N, C, h, w), from the shares of the four corners of all parts of cells."""
    _, n, rows, _, columns, _, classes = shares.shape
    grad = shares.new_zeros(n, rows + 1, columns + 1, classes)  # with a border of clamped corners
    for share, (down, right) in zip(shares, itertools.product((0, 1), repeat=2)):
        grad[:, down : down + rows, right : right + columns] += share.sum((2, 4))
    grad[:, 1] += grad[:, 0]
    grad[:, -2] += grad[:, -1]
    grad[:, :, 1] += grad[:, :, 0]
    grad[:, :, -2] += grad[:, :, -1]
    return grad[:, 1:-1, 1:-1].permute(0, 3, 1, 2)


@triton.jit
def cell_kernel(
    logits,
    labels,
    class_weight,
    totals,
    extremes,
    shares,
    classes,
    ignore_index,
    h,
    w,
    height,
    width,
    row_step,
    row_start,
    row_unit,
    column_step,
    column_start,
    column_unit,
    ROWS: tl.constexpr,
    COLUMNS: tl.constexpr,
    ROW_PARTS: tl.constexpr,
    COLUMN_PARTS: tl.constexpr,
    PIXELS: tl.constexpr,
    CLASSES: tl.constexpr,
    NEEDS_GRAD: tl.constexpr,
):
    """Do one part of one cell.

    Reads logits, (N, h, w, C), labels, (N, height, width), and class_weight, (C,). Writes of each
    program its share of what :func:`sums` returns: totals, (4, programs), extremes, (2, programs),
    and with NEEDS_GRAD shares, (4, programs, C), the gradient of its four corners. The numbers of
    row and column are those of :func:`_places` and :func:`_parts`; a block of PIXELS holds ROWS *
    COLUMNS pixels, and PIXELS and CLASSES, of a block too, are powers of 2.
    """
    n = tl.program_id(2).to(tl.int64)
    programs = tl.num_programs(0) * tl.num_programs(1) * tl.num_programs(2).to(tl.int64)
    program = (n * tl.num_programs(1) + tl.program_id(1)) * tl.num_programs(0) + tl.program_id(0)
    pixel = tl.arange(0, PIXELS)
    top, bottom, y, down, in_rows = _side(
        pixel // COLUMNS,
        tl.program_id(1),
        ROWS,
        ROW_PARTS,
        h,
        height,
        row_step,
        row_start,
        row_unit,
    )
    left, right, x, across, in_columns = _side(
        pixel % COLUMNS,
        tl.program_id(0),
        COLUMNS,
        COLUMN_PARTS,
        w,
        width,
        column_step,
        column_start,
        column_unit,
    )
    logits += n * h * w * classes
    corners = (
        logits + (top * w + left) * classes,
        logits + (top * w + right) * classes,
        logits + (bottom * w + left) * classes,
        logits + (bottom * w + right) * classes,
    )
    down, across = down[:, None], across[:, None]

    inside = in_rows & in_columns
    label = tl.load(labels + (n * height + y) * width + x, mask=inside, other=0).to(tl.int64)
    labelled = inside & (label != ignore_index)
    label = tl.where(labelled, label, 0)
    tl.store(extremes + program, tl.min(label))
    tl.store(extremes + programs + program, tl.max(label))
    label = tl.minimum(tl.maximum(label, 0), classes - 1).to(tl.int32)
    weight = tl.where(labelled, tl.load(class_weight + label), 0.0)
    label = label[:, None]

    highest = tl.full([PIXELS, CLASSES], float('-inf'), tl.float32)
    for first in range(0, classes, CLASSES):
        c = first + tl.arange(0, CLASSES)
        z = _upsampled(corners, down, across, c, classes)
        highest = tl.maximum(highest, z)
    highest = tl.max(highest, 1)[:, None]

    total = tl.zeros([PIXELS, CLASSES], tl.float32)
    own = tl.zeros([PIXELS, CLASSES], tl.float32)
    for first in range(0, classes, CLASSES):
        c = first + tl.arange(0, CLASSES)
        z = _upsampled(corners, down, across, c, classes)
        z -= highest
        total += tl.exp(z)
        own += tl.where(c[None, :] == label, z, 0.0)
    total, own = tl.sum(total, 1), tl.sum(own, 1)
    correct = labelled & (own == 0)
    tl.store(totals + program, tl.sum((tl.log(total) - own) * weight))
    tl.store(totals + programs + program, tl.sum(weight))
    tl.store(totals + 2 * programs + program, tl.sum(labelled.to(tl.float32)))
    tl.store(totals + 3 * programs + program, tl.sum(correct.to(tl.float32)))

    if NEEDS_GRAD:
        factor, weight = (weight / total)[:, None], weight[:, None]
        for first in range(0, classes, CLASSES):
            c = first + tl.arange(0, CLASSES)
            z = _upsampled(corners, down, across, c, classes)
            grad = tl.exp(z - highest) * factor - tl.where(c[None, :] == label, weight, 0.0)
            lower = grad * down
            upper = grad - lower
            upper_right, lower_right = upper * across, lower * across
            share, step = shares + program * classes + c, programs * classes
            tl.store(share, tl.sum(upper - upper_right, 0), mask=c < classes)
            tl.store(share + step, tl.sum(upper_right, 0), mask=c < classes)
            tl.store(share + 2 * step, tl.sum(lower - lower_right, 0), mask=c < classes)
            tl.store(share + 3 * step, tl.sum(lower_right, 0), mask=c < classes)


@triton.jit
def _side(
    pixel,
    program,
    LENGTH: tl.constexpr,
    PARTS: tl.constexpr,
    size_in,
    size_out,
    step,
    start,
    unit,
):
    """One side of a part of a cell.

    Returns:
        The inputs before and after it; of each pixel the output, its distance from the input before
        in cells, and whether there is such an output.
    """
    cell, part = program // PARTS, program % PARTS
    first = (tl.maximum(cell * unit - start, 0) + step - 1) // step
    output = first + part * LENGTH + pixel
    place = start + output * step - cell * unit
    there = (pixel < LENGTH) & (output < size_out) & (place < unit)
    before, after = tl.maximum(cell - 1, 0), tl.minimum(cell, size_in - 1)
    return before, after, output, place.to(tl.float32) / unit, there


@triton.jit
def _upsampled(corners, down, across, c, classes):
    """Upsampled logits of some classes, (PIXELS, CLASSES); -inf where there is no such class."""
    there = c < classes
    top_left = tl.load(corners[0] + c, mask=there, other=0.0)[None, :]
    top_right = tl.load(corners[1] + c, mask=there, other=0.0)[None, :]
    bottom_left = tl.load(corners[2] + c, mask=there, other=0.0)[None, :]
    bottom_right = tl.load(corners[3] + c, mask=there, other=0.0)[None, :]
    # rounded as written, lest the compiler round differently in one pass than in another
    upper = tl.fma(across, top_right - top_left, top_left)
    lower = tl.fma(across, bottom_right - bottom_left, bottom_left)
    return tl.where(there[None, :], tl.fma(down, lower - upper, upper), float('-inf'))
