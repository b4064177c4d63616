import numpy as np
import pytest
from common.folder_confusion import folder_confusion, most_frequent_class_iou
from PIL import Image

from mmseg_deeplabv3x.evaluation.confusion import confusion_matrix


def test_the_same_answer_everywhere():
    labels = np.repeat([0, 1, 2], [60, 30, 10])
    matrix = confusion_matrix(labels, labels, 3)
    np.testing.assert_allclose(most_frequent_class_iou(matrix), [0.6, 0, 0])


def write(folder, name, ids):
    folder.mkdir(exist_ok=True)
    Image.fromarray(np.uint8(ids)).save(folder / name)


def test_folders_are_matched_by_name(tmp_path):
    truth, predictions = tmp_path / 'truth', tmp_path / 'predictions'
    write(truth, 'a.png', [[0, 1], [1, 255]])
    write(truth, 'b.png', [[1, 1]])
    write(truth, 'unused.png', [[0, 0]])
    write(predictions, 'a.png', [[0, 1], [0, 0]])
    write(predictions, 'b.png', [[1, 0]])
    np.testing.assert_array_equal(folder_confusion(predictions, truth, 2), [[1, 0], [2, 2]])


def test_folders_that_do_not_match_are_refused(tmp_path):
    truth, predictions = tmp_path / 'truth', tmp_path / 'predictions'
    predictions.mkdir()
    with pytest.raises(FileNotFoundError, match='predictions has no predictions'):
        folder_confusion(predictions, truth, 2)
    write(predictions, 'a.png', [[0, 1]])
    with pytest.raises(FileNotFoundError, match='there is no .*truth.a.png'):
        folder_confusion(predictions, truth, 2)
    write(truth, 'a.png', [[0], [1]])
    with pytest.raises(ValueError, match=r'a.png has \(1, 2\).*\(2, 1\)'):
        folder_confusion(predictions, truth, 2)
