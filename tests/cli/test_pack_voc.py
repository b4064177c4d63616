import tarfile

import numpy as np
import pytest
from PIL import Image

from mmseg_deeplabv3x.cli.pack_voc import main


@pytest.fixture
def split(tmp_path):
    path = tmp_path / 'VOC2012/ImageSets/Segmentation/test.txt'
    path.parent.mkdir(parents=True)
    path.write_text('a\n')
    return path


def test_an_archive_of_the_named_predictions(split, tmp_path, capsys):
    for path in (tmp_path / 'VOC2012/JPEGImages/a.jpg', tmp_path / 'ids/a.png'):
        path.parent.mkdir()
        Image.fromarray(np.full((2, 4), 3, np.uint8)).save(path)
    out = tmp_path / 'results.tgz'
    main([str(tmp_path / 'ids'), str(split), '-o', str(out)])
    assert capsys.readouterr().out.splitlines()[-1] == str(out)
    with tarfile.open(out) as archive:
        assert [name.rsplit('/', 1)[1] for name in archive.getnames()] == ['a.png']


def test_a_problem_ends_with_one_sentence(split, tmp_path):
    with pytest.raises(SystemExit, match=r'^pack_voc.py: .*predictions lacks 1 of the 1 images'):
        main([str(tmp_path / 'predictions'), str(split)])
