import numpy as np
import pytest
from mmcv.transforms import LoadImageFromFile
from PIL import Image

from mmseg_deeplabv3x.datasets.reading import BadSampleError
from mmseg_deeplabv3x.transforms import LoadCheckedImage, load_checked_image


@pytest.mark.parametrize('mode', ['RGB', 'L'])
def test_loads_what_the_stock_transform_loads(tmp_path, mode):
    pixels = np.random.default_rng(0).integers(0, 256, (40, 60, 3), np.uint8)
    path = str(tmp_path / 'image.jpg')
    Image.fromarray(pixels).convert(mode).save(path)
    found = LoadCheckedImage()(dict(img_path=path))
    expected = LoadImageFromFile()(dict(img_path=path))
    assert np.array_equal(found.pop('img'), expected.pop('img'))
    assert found == expected


@pytest.mark.parametrize(
    'kind', ['jpg', 'rgba.png', '16.png', 'gray.tif', 'float.tif', 'bands.tif']
)
@pytest.mark.parametrize('arguments', [
    {},
    dict(to_float32=True),
    dict(color_type='unchanged'),
    dict(color_type='grayscale'),
    dict(imdecode_backend='pillow'),
    dict(imdecode_backend='tifffile'),
], ids=str)  # fmt: skip
def test_arguments_of_the_stock_transform(tmp_path, kind, arguments):
    """Ours gives what the stock one gives, or a sentence where that gives an error."""
    if 'tifffile' in arguments.values():
        pytest.importorskip('tifffile')
    rng, path = np.random.default_rng(0), str(tmp_path / f'image.{kind}')
    colours = rng.integers(0, 256, (20, 30, 4), np.uint8)
    if kind == 'bands.tif':
        tifffile = pytest.importorskip('tifffile')
        pixels = rng.integers(0, 256, (20, 30, 7), np.uint8)
        tifffile.imwrite(path, pixels, photometric='minisblack', planarconfig='contig')
    else:
        pixels = {
            'jpg': colours[..., :3],
            '16.png': rng.integers(0, 65536, (20, 30), np.uint16),
            'gray.tif': colours[..., 0],
            'float.tif': rng.random((20, 30), np.float32),
        }.get(kind, colours)
        Image.fromarray(pixels).save(path)
    try:
        expected = LoadImageFromFile(**arguments)(dict(img_path=path))
    except Exception:
        with pytest.raises(BadSampleError, match=path):
            LoadCheckedImage(**arguments)(dict(img_path=path))
        return
    found = LoadCheckedImage(**arguments)(dict(img_path=path))
    assert found['img'].dtype == expected['img'].dtype
    assert np.array_equal(found.pop('img'), expected.pop('img'))
    assert found == expected


def test_alpha_is_left_out_unless_asked_for(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 256, (20, 30, 4), np.uint8)
    path = str(tmp_path / 'image.png')
    Image.fromarray(pixels).save(path)
    image = LoadCheckedImage()(dict(img_path=path))['img']
    assert np.array_equal(image, pixels[..., 2::-1])
    image = LoadCheckedImage(color_type='unchanged')(dict(img_path=path))['img']
    assert np.array_equal(image, pixels[..., [2, 1, 0, 3]])


def test_ignore_empty_passes_over_a_bad_file(tmp_path):
    assert LoadCheckedImage(ignore_empty=True)(dict(img_path=str(tmp_path / 'no.jpg'))) is None


def test_the_old_form_of_the_file_backend_names_the_class_that_takes_it():
    with pytest.raises(ValueError, match='file_client_args.* is for LoadImageFromFile'):
        LoadCheckedImage(file_client_args=dict(backend='disk'))


def test_tifffile_must_be_installed(monkeypatch):
    monkeypatch.setattr(load_checked_image, 'find_spec', lambda name: None)
    with pytest.raises(ValueError, match='pip install tifffile'):
        LoadCheckedImage(imdecode_backend='tifffile')


def test_an_error_names_the_file(tmp_path):
    with pytest.raises(BadSampleError, match=r'nowhere.jpg does not exist'):
        LoadCheckedImage()(dict(img_path=str(tmp_path / 'nowhere.jpg')))
