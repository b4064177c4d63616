"""How to get the data that a config asks for."""

CITYSCAPES = (
    'log in at https://www.cityscapes-dataset.com and download leftImg8bit_trainvaltest.zip and '
    'gtFine_trainvaltest.zip (for the coarse masks also leftImg8bit_trainextra.zip and '
    'gtCoarse.zip)'
)
_HOW_TO_GET = {
    'PascalVOCDataset': '`python tools/prepare_data.py voc --root {root}` makes it (`sbd` in place '
    "of `voc` makes train_aug and its masks, `coco` makes COCO in VOC's classes)",
    'CityscapesDataset': f'{CITYSCAPES}, then `python tools/prepare_data.py cityscapes '
    '--root {root} --from ARCHIVES` makes it',
    'CamVidDataset': '`python tools/prepare_data.py camvid --root {root}` makes it',
    'ShapesDataset': '`python tools/make_shapes.py --root {root}` makes it',
}


def missing_data(dataset: str, path: str, root: str) -> str:
    """Say what a dataset misses and, of those that the configs use, how to get it.

    Args:
        dataset: Its type, such as 'PascalVOCDataset'.
        path: What is missing: the root, the list of images or a folder.
        root: The data root.

    Returns:
        A sentence without its full stop.
    """
    hint = _HOW_TO_GET.get(dataset, '').format(root=root)
    return f'{dataset} finds no {path}' + (f': {hint}' if hint else '')
