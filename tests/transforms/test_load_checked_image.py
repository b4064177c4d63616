import numpy as np
import pytest
from mmcv.transforms import LoadImageFromFile
from PIL import Image

from mmseg_deeplabv3x.datasets.reading import BadSampleError
from mmseg_deeplabv3x.transforms import LoadCheckedImage


@pytest.mark.parametrize('mode', ['RGB', 'L'])
def test_loads_what_the_stock_transform_loads(tmp_path, mode):
    pixels = np.random.default_rng(0).integers(0, 256, (40, 60, 3), np.uint8)
    path = str(tmp_path / 'image.jpg')
    Image.fromarray(pixels).convert(mode).save(path)
    found = LoadCheckedImage()(dict(img_path=path))
    expected = LoadImageFromFile()(dict(img_path=path))
    assert np.array_equal(found.pop('img'), expected.pop('img'))
    assert found == expected


def test_an_error_names_the_file(tmp_path):
    with pytest.raises(BadSampleError, match=r'nowhere.jpg does not exist'):
        LoadCheckedImage()(dict(img_path=str(tmp_path / 'nowhere.jpg')))
