import numpy as np
import pytest

from mmseg_deeplabv3x.report.evaluation import Evaluation


@pytest.fixture
def evaluation():
    """Of three classes in two images: sofa is often taken for chair."""
    jpeg = np.frombuffer(b'\xff\xd8\xff\xd9', np.uint8)
    matrix = np.array([[90, 10, 0], [0, 80, 20], [0, 60, 40]])
    return Evaluation(
        classes=np.array(['<floor>', 'chair', 'sofa']),
        palette=np.array([[0, 0, 0], [1, 2, 3], [250, 0, 0]]),
        images=np.array(['a.jpg', 'b.jpg']),
        matrix=matrix,
        boundary=np.array([[1, 2, 3], [2, 4, 6], [3, 4, 5]]),
        calibration=np.array([[10.0] * 20, [5.0] * 20, np.linspace(0.25, 9.75, 20)]),
        image_iou=np.array([0.5, 0.25]),
        uncertainty=np.array([0.1, 0.2]),
        pair_image=np.array([[0, 0, 0], [0, 0, 1], [0, 1, 0]]),
        data_hash='0123456789ab',
        pictures={
            f'{number}/{kind}': jpeg
            for number in range(2)
            for kind in ('image', 'truth', 'prediction', 'errors')
        },
    )
