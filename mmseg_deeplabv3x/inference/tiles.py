"""Cuts an image that is too large for the memory into overlapping tiles."""

from collections.abc import Iterator


def tiles(
    height: int, width: int, crop: int, stride: int
) -> Iterator[tuple[tuple[slice, slice], tuple[slice, slice]]]:
    """Tiles that cover an image, and the part of each that is kept.

    Each pixel is kept from the tile in which it lies farthest from the border, where the network
    sees most of its surroundings. So the result of a tile can be written and forgotten, and memory
    does not grow with image or classes. (mmseg's ``mode='slide'`` averages the logits of all tiles
    over a pixel, and holds them for the whole image.)

    Args:
        height: Of the image, in pixels.
        width: Of the image.
        crop: Side of a tile, cut at the image's size.
        stride: Distance of neighbouring tiles, at most ``crop``.

    Yields:
        Rows and columns of a tile in the image, and of the kept part in the image.

    Raises:
        ValueError: If ``stride`` is not from 1 to ``crop``.
    """
    if not 1 <= stride <= crop:
        raise ValueError(
            f'The stride of tiles must be from 1 to their size {crop}, but got {stride}.'
        )
    for rows, kept_rows in _spans(height, crop, stride):
        for columns, kept_columns in _spans(width, crop, stride):
            yield (rows, columns), (kept_rows, kept_columns)


def _spans(size: int, crop: int, stride: int) -> list[tuple[slice, slice]]:
    crop = min(crop, size)
    starts = [*range(0, size - crop, stride), size - crop]
    # between two tiles, the middle of what both cover
    borders = [0, *((b + a + crop) // 2 for a, b in zip(starts, starts[1:])), size]
    return [
        (slice(start, start + crop), slice(first, last))
        for start, first, last in zip(starts, borders, borders[1:])
    ]
