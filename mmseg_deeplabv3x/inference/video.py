"""Videos: frames are decoded and drawn while the network works."""

import os
from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from tempfile import TemporaryDirectory

import cv2
import numpy as np

from ..files import written_aside
from .predictor import DeepLabV3Predictor

_WAITING = 4  # frames decoded, or waiting to be drawn


def segment_video(
    predictor: DeepLabV3Predictor,
    source: str | os.PathLike,
    out: str | os.PathLike,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> int:
    """Write a video under the colours of its classes, as MP4, and tell the number of frames.

    ``source`` is any that OpenCV decodes, ``out`` is written aside and renamed. ``progress`` is
    called with the frames done and their number, 0 where the file does not tell it.

    Raises:
        ValueError: If the video cannot be decoded, or not be encoded here, or a name is no UTF-8.
    """
    for path in map(os.fspath, (source, out)):
        if path != path.encode(errors='ignore').decode():  # OpenCV would crash
            raise ValueError(f'The name {path!r} is not UTF-8: rename the video.')
    capture = cv2.VideoCapture(os.fspath(source))
    try:
        if not capture.isOpened():
            raise ValueError(f'{source} cannot be decoded as a video.')
        sides = cv2.CAP_PROP_FRAME_WIDTH, cv2.CAP_PROP_FRAME_HEIGHT
        size = [int(capture.get(side)) for side in sides]
        rate = capture.get(cv2.CAP_PROP_FPS) or 25.0
        total = max(int(capture.get(cv2.CAP_PROP_FRAME_COUNT)), 0)
        # the container follows from the suffix, which a file written aside has not
        with written_aside(out) as aside, TemporaryDirectory(dir=aside.parent) as folder:
            hidden = os.path.join(folder, 'frames.mp4')
            writer = cv2.VideoWriter(hidden, cv2.VideoWriter_fourcc(*'mp4v'), rate, size)
            try:
                if not writer.isOpened():
                    raise ValueError(f'OpenCV cannot write MP4 here: {out}.')
                frames = _segment(predictor, capture, writer, lambda n: progress(n, total))
            finally:
                writer.release()
            if not frames:
                raise ValueError(f'{source} has no frame that can be decoded.')
            os.replace(hidden, aside)
        return frames
    finally:
        capture.release()


def _segment(predictor, capture, writer, progress) -> int:
    """Three threads: one decodes, this one predicts, one draws and encodes."""
    done = 0
    with ThreadPoolExecutor(1) as decoder, ThreadPoolExecutor(1) as encoder:
        coming = deque(decoder.submit(capture.read) for _ in range(_WAITING))
        drawn = deque()
        while (read := coming.popleft().result())[0]:
            coming.append(decoder.submit(capture.read))
            drawn.append(encoder.submit(_draw, predictor(read[1], channel_order='bgr'), writer))
            done += 1
            progress(done)
            if len(drawn) > _WAITING:
                drawn.popleft().result()
        for future in drawn:
            future.result()
    return done


def _draw(segmentation, writer) -> None:
    writer.write(np.ascontiguousarray(segmentation.overlay()[..., ::-1]))
