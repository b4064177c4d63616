"""tools/prepare_data.py and tools/pack_voc.py, as their users run them."""

from __future__ import annotations

import tarfile

import numpy as np
from PIL import Image


def test_prepare_then_pack(in_one_process, tmp_path):
    source = tmp_path / 'official/gtFine/val/city/city_000000_000000'
    image = tmp_path / 'official/leftImg8bit/val/city/city_000000_000000_leftImg8bit.png'
    for folder in (source.parent, image.parent):
        folder.mkdir(parents=True)
    Image.new('RGB', (4, 2)).save(image)
    Image.new('L', (4, 2), 26).save(f'{source}_gtFine_labelIds.png')

    split = tmp_path / 'VOC2012/ImageSets/Segmentation/test.txt'
    split.parent.mkdir(parents=True)
    split.write_text('a\n')
    (tmp_path / 'VOC2012/JPEGImages').mkdir()
    Image.new('RGB', (4, 2)).save(tmp_path / 'VOC2012/JPEGImages/a.jpg')
    (tmp_path / 'ids').mkdir()
    Image.new('L', (4, 2), 3).save(tmp_path / 'ids/a.png')

    out, archive = tmp_path / 'cityscapes', tmp_path / 'results.tgz'
    arguments = ['cityscapes', '--from', str(tmp_path / 'official'), '--root', str(out)]
    script = tmp_path / 'one_image.py'
    script.write_text(
        'from mmseg_deeplabv3x.prepare.cityscapes import COUNTS\nCOUNTS["val"] = 1  # not 500\n'
    )
    _, prepared, packed = in_one_process(
        [
            (script,),
            ('prepare_data.py', *arguments),
            ('pack_voc.py', str(tmp_path / 'ids'), str(split), '-o', str(archive)),
        ]
    )
    assert prepared.endswith(f'Ready: {out}: gtFine val 1\n')
    mask = out / 'gtFine/val/city/city_000000_000000_gtFine_labelTrainIds.png'
    assert (np.asarray(Image.open(mask)) == 13).all()
    assert packed.strip().endswith(str(archive))
    with tarfile.open(archive) as file:
        assert len(file.getnames()) == 1
