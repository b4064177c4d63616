"""What no single file shows."""

import os.path as osp
from collections.abc import Iterable
from functools import cache

from ..datasets.lists import first_few
from .problem import Problem
from .sample import Sample
from .splits import Split


def shared_images(splits: list[Split], contents: Iterable = ()) -> list[Problem]:
    """A problem for each image of an evaluation that is also trained on.

    ``contents`` are, of all images of all splits, what only images of the same content have in
    common; None for those that are not known. Without it paths alone are compared.
    """
    trained, problems, contents = {}, [], iter(contents)
    real_folder = cache(osp.realpath)  # a file is one look, its folders one for all
    for split in splits:
        for info in split.infos:
            image = info['img_path']
            folder, file = osp.split(image)
            path = osp.join(real_folder(folder), file)
            keys = osp.realpath(path) if osp.islink(path) else path, next(contents, None)
            where, other = next((trained[key] for key in keys if key in trained), (None, None))
            if split.name.startswith('train'):
                trained.update((key, (split.name, image)) for key in keys if key)
            elif where:
                renamed = f' as {other}' if other != image else ''
                message = f'{image} is in {split.name} and also in {where}{renamed}.'
                problems.append(Problem(split.name, 'shared', image, message, info))
    return problems


def check_labels(read: Iterable[tuple[Split, Sample]], complete: bool = True) -> list[Problem]:
    """Find masks that together cannot teach, or score, all classes; ``complete``: these are all.

    The parts of a ``ConcatDataset``, train[0] and train[1], complete each other: there is at most
    one problem for the splits that are used together.
    """
    together, problems = {}, []
    for split, sample in read:
        together.setdefault(split.name.split('[')[0], []).append((split, sample))
    for name, samples in together.items():
        first = samples[0][0]
        pixels = sum(sample.pixels for _, sample in samples)
        ignored = sum(sample.ignored for _, sample in samples)
        found = [*zip(first.metainfo['classes'], pixels)]
        present, absent = [c for c, n in found if n], [c for c, n in found if not n]
        if not present and ignored:
            kind = 'nothing labelled'
            message = f'All pixels of all masks of {name} that were read are ignored.'
        elif len(present) == 1 and absent:
            kind = 'one class'
            beside = ', and pixels that are ignored: where these should be a class, change their id'
            message = (
                f'The masks of {name} that were read hold one class alone, {present[0]}'
                f'{beside if ignored else ""}. All predictions of {present[0]} would be right.'
            )
        elif present and absent and complete:
            kind = 'absent class'
            message = f'No mask of {name} has a pixel of {first_few(absent)}.'
        else:
            continue
        problems.append(Problem(first.name, kind, name, message))
    return problems
