from __future__ import annotations

import cv2
import numpy as np
import pytest

from mmseg_deeplabv3x.inference import DeepLabV3Predictor
from mmseg_deeplabv3x.inference.video import segment_video


@pytest.fixture(scope='module')
def predictor(trained):
    return DeepLabV3Predictor(*trained, device='cpu', fast_runtime='torch')


@pytest.fixture
def clip(tmp_path):
    """A video of 11 frames in which a bright square moves."""
    path = tmp_path / 'clip.avi'
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*'MJPG'), 10, (96, 72))
    for i in range(11):
        frame = np.zeros((72, 96, 3), np.uint8)
        frame[20:40, 6 * i : 6 * i + 20] = 255
        writer.write(frame)
    writer.release()
    return path


def frames(path):
    capture = cv2.VideoCapture(str(path))
    found = []
    while (read := capture.read())[0]:
        found.append(read[1])
    return found


def test_every_frame_is_drawn_in_its_order(predictor, clip, tmp_path):
    seen = []
    count = segment_video(predictor, clip, tmp_path / 'out.mp4', lambda *done: seen.append(done))
    assert count == 11 and seen == [(n, 11) for n in range(1, 12)]
    written = frames(tmp_path / 'out.mp4')
    assert len(written) == 11
    for source, picture in zip(frames(clip), written):
        expected = predictor(source, channel_order='bgr').overlay()[..., ::-1]
        # the coding is lossy: nearer to its own frame than to any other shape of it
        assert np.abs(picture.astype(int) - expected).mean() < 12
    assert sorted(path.name for path in tmp_path.iterdir()) == ['clip.avi', 'out.mp4']


def test_what_is_no_video_is_named_and_leaves_nothing(predictor, tmp_path):
    (tmp_path / 'no.mp4').write_bytes(b'nothing')
    with pytest.raises(ValueError, match=r'no.mp4 cannot be decoded'):
        segment_video(predictor, tmp_path / 'no.mp4', tmp_path / 'out.mp4')
    assert [path.name for path in tmp_path.iterdir()] == ['no.mp4']


@pytest.mark.parametrize('names', [('no\udce9.mp4', 'out.mp4'), ('no.mp4', 'o\udce9/out.mp4')])
def test_a_name_that_is_no_utf_8_is_refused(predictor, names):
    with pytest.raises(ValueError, match='udce9.* is not UTF-8: rename the video'):
        segment_video(predictor, *names)


def test_an_error_in_the_middle_leaves_nothing(clip, tmp_path):
    def fails(frame, channel_order):
        raise RuntimeError('out of memory')

    with pytest.raises(RuntimeError, match='out of memory'):
        segment_video(fails, clip, tmp_path / 'out.mp4')
    assert [path.name for path in tmp_path.iterdir()] == ['clip.avi']
