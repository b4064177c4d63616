"""How to get the data that a config asks for."""

CITYSCAPES = (
    'log in at https://www.cityscapes-dataset.com and download leftImg8bit_trainvaltest.zip and '
    'gtFine_trainvaltest.zip (for the coarse masks also leftImg8bit_trainextra.zip and '
    'gtCoarse.zip)'
)
ADE20K = 'http://data.csail.mit.edu/places/ADEchallenge/ADEChallengeData2016.zip'
_HOW_TO_GET = {
    'PascalVOCDataset': '`python tools/prepare_data.py voc --root {root}` makes it (`sbd` in place '
    "of `voc` makes train_aug and its masks, `coco` makes COCO in VOC's classes)",
    'CityscapesDataset': f'{CITYSCAPES}, then `python tools/prepare_data.py cityscapes '
    '--root {root} --from ARCHIVES` makes it',
    'ADE20KDataset': f'unpack {ADE20K} there',
    'CamVidDataset': '`python tools/prepare_data.py camvid --root {root}` makes it',
    'ShapesDataset': '`python tools/make_shapes.py --root {root}` makes it',
}


def missing_data(dataset: str, path: str, root: str) -> str:
    """Say, without a full stop, what a dataset misses and, if configs use it, how to get it."""
    hint = _HOW_TO_GET.get(dataset, '').format(root=root)
    return f'{dataset} finds no {path}' + (f': {hint}' if hint else '')
