"""Cross-entropy of bilinearly upsampled logits that are never there as a whole."""

import itertools
import math
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from .linear_interpolation import interpolation_matrix, tiles_of

# Upsampled logits in one tile, and its columns at most: on a CPU 1 MiB, so that it stays in the
# cache; elsewhere enough to fill the device.
CPU_TILE, GPU_TILE = (2**18, 2**8), (2**23, 2**11)


def check_labels(extremes: Tensor, num_classes: int, ignore_index: int) -> None:
    """Raise a ValueError that names a label that is neither a class nor ignored.

    ``extremes``, (2,), are the lowest and the highest label that is not ignored. For a GPU's the
    host waits.
    """
    for label in extremes.tolist():
        if not 0 <= label < num_classes:
            raise ValueError(
                f'labels must be classes, 0 to {num_classes - 1}, or ignore_index={ignore_index}, '
                f'but got {label}.'
            )


def upsampled_cross_entropy(
    logits: Tensor,
    labels: Tensor,
    align_corners: bool,
    ignore_index: int = 255,
    class_weight: Sequence[float] | Tensor | None = None,
    avg_non_ignore: bool = True,
    return_accuracy: bool = False,
    check: Callable[[Tensor, int, int], None] = check_labels,
) -> Tensor | tuple[Tensor, Tensor]:
    """Cross-entropy of ``interpolate(logits, labels' size, mode='bilinear')``, tile by tile.

    Equal to interpolating and calling mmseg's ``cross_entropy`` up to rounding, in value and in
    gradient, but faster and in a fraction of the memory: each tile is upsampled, turned
    into its loss and into its share of the gradient, and forgotten. Half precision is computed and
    summed in float32; float64 stays float64. The upsampling is a float32 matrix product, on a GPU
    as exact as TF32 where the user allows that for products.

    Args:
        logits: (N, C, h, w), any sizes.
        labels: (N, H, W), integers: a class or ``ignore_index``.
        align_corners: As of :func:`torch.nn.functional.interpolate`.
        ignore_index: Label of the pixels that have no loss. Default: 255, mmseg's.
        class_weight: (C,), factor of the loss of each class; the mean is weighted too. Default: 1.
        avg_non_ignore: Whether the mean is over the labelled pixels or over all. Over all, an
            ignored pixel has weight 1 (mmseg's own fails on ignored pixels once there are class
            weights). Default: True, as in the paper's released code; mmseg's default is False.
        return_accuracy: Whether to return the pixel accuracy too. Default: False.
        check: What looks at the labels. Default: :func:`check_labels`, which on a GPU makes the
            host wait for them; a loss has one that does not.

    Returns:
        The mean loss, a scalar, 0 (with gradient 0) if all pixels are ignored. With
        ``return_accuracy`` also what mmseg logs as ``acc_seg``: percent of the labelled pixels
        whose class has the highest logit, (1,); where several share the highest, any is right.

    Raises:
        ValueError: If the shapes do not fit, or a label is neither a class nor ``ignore_index``.
        RuntimeError: In a backward pass that asks for a second derivative.
    """
    if logits.ndim != 4 or labels.ndim != 3 or len(logits) != len(labels):
        raise ValueError(
            f'logits must be (N, C, h, w) and labels (N, H, W), but got {tuple(logits.shape)} and '
            f'{tuple(labels.shape)}.'
        )
    if class_weight is not None and len(class_weight) != logits.shape[1]:
        raise ValueError(
            f'class_weight must have one value for each of the {logits.shape[1]} classes, but got '
            f'{len(class_weight)}.'
        )
    loss, accuracy, extremes = _UpsampledCrossEntropy.apply(
        logits, labels, align_corners, ignore_index, class_weight, avg_non_ignore
    )
    check(extremes, logits.shape[1], ignore_index)
    return (loss, accuracy) if return_accuracy else loss


class _UpsampledCrossEntropy(torch.autograd.Function):
    @staticmethod
    def forward(ctx, logits, labels, align_corners, ignore_index, class_weight, avg_non_ignore):
        ctx.dtype = logits.dtype
        dtype = torch.promote_types(logits.dtype, torch.float32)
        if class_weight is not None:
            class_weight = torch.as_tensor(class_weight, dtype=dtype, device=logits.device)
        with torch.autocast(logits.device.type, enabled=False):
            settings = align_corners, ignore_index, class_weight, ctx.needs_input_grad[0]
            sums = _sums(logits.to(dtype), labels, *settings)
        loss, grad, weight, labelled, correct, extremes = sums
        if not avg_non_ignore:
            weight = weight + (labels.numel() - labelled)
        # mmseg's guard: nothing labelled gives 0
        eps = torch.finfo(torch.float32).eps
        weight = weight + eps
        accuracy = ((correct + eps) * (100 / (labelled + eps))).reshape(1)
        ctx.mark_non_differentiable(accuracy, extremes)
        if grad is not None:
            ctx.save_for_backward(grad.div_(weight))
        return loss / weight, accuracy, extremes

    @staticmethod
    def backward(ctx, grad_loss, *_):
        # once_differentiable sees no graph here: it would leave second derivatives out silently
        if torch.is_grad_enabled():
            raise RuntimeError(
                'upsampled_cross_entropy is differentiable once, but got create_graph=True; use '
                'interpolate and cross_entropy for second derivatives.'
            )
        (grad,) = ctx.saved_tensors
        return (grad * grad_loss).to(ctx.dtype), *[None] * 5


def _sums(logits, labels, align_corners, ignore_index, class_weight, needs_grad):
    """Sums over all pixels: loss, gradient, weight, labelled pixels, rightly classified pixels.

    And last the lowest and the highest label that is not ignored.
    """
    classes, h, w = logits.shape[1:]
    height, width = labels.shape[1:]
    to_rows = interpolation_matrix(h, height, align_corners, logits)
    from_columns = interpolation_matrix(w, width, align_corners, logits)
    to_columns = from_columns.t().contiguous()
    size, length = CPU_TILE if logits.device.type == 'cpu' else GPU_TILE
    length = min(length, width)
    # at least the rows between two rows of logits, lest these be widened again and again
    rows_of_tile = min(max(size // (classes * length), math.ceil(height / h)), height)
    row_tiles = tiles_of(rows_of_tile, h, height, align_corners)
    tiles = [*itertools.product(row_tiles, tiles_of(length, w, width, align_corners))]
    memory = logits.new_empty(rows_of_tile * classes * length)  # of one tile

    grad = torch.empty_like(logits) if needs_grad else None
    sums, extremes = [], []
    for n in range(len(logits)):
        labelled = labels[n] != ignore_index
        label = torch.where(labelled, labels[n], 0).long()
        extremes.append(torch.stack(label.aminmax()))
        label.clamp_(0, classes - 1)
        weight = labelled.to(logits.dtype)
        if class_weight is not None:
            weight *= class_weight[label]

        # rows first: a tile is then one product, for all classes at once
        small = logits[n].transpose(0, 1).contiguous()
        small_grad = torch.zeros_like(small)
        # with the highest upsampled logit as zero: the label's logit, the sum of exponentials
        own, total = torch.empty_like(weight), torch.empty_like(weight)
        for (in_rows, rows), (in_columns, columns) in tiles:
            at = rows, columns
            index = label[at].unsqueeze(1)
            z = memory[: index.numel() * classes].view(len(index), classes, -1)
            wide = small[in_rows].flatten(0, 1)[:, in_columns] @ to_columns[in_columns, columns]
            upsample = to_rows[rows, in_rows]
            torch.mm(upsample, wide.view(upsample.shape[1], -1), out=z.flatten(1))
            z -= z.amax(1, keepdim=True)
            own[at] = z.gather(1, index).squeeze(1)
            total[at] = z.exp_().sum(1)
            if needs_grad:
                z *= (weight[at] / total[at]).unsqueeze(1)
                z.scatter_add_(1, index, -weight[at].unsqueeze(1))
                wide = (upsample.t() @ z.flatten(1)).view(-1, index.shape[2])
                part_grad = small_grad[in_rows].flatten(0, 1)[:, in_columns]
                part_grad.addmm_(wide, from_columns[columns, in_columns])
        if needs_grad:
            grad[n] = small_grad.transpose(0, 1)

        correct = (own == 0) & labelled
        loss = total.log_().sub_(own).mul_(weight)
        sums.append(torch.stack([x.sum() for x in (loss, weight, labelled, correct)]))
    lowest, highest = torch.stack(extremes, 1)
    loss, weight, labelled, correct = torch.stack(sums).sum(0)
    return loss, grad, weight, labelled, correct, torch.stack([lowest.min(), highest.max()])
