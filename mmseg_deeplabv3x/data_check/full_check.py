"""Every file of every split."""

from typing import NamedTuple

import numpy as np
from mmengine.config import Config

from ..datasets.parallel import map_files
from .problem import Problem
from .sample import check_sample
from .splits import Split, load_splits, shared_images
from .whole_splits import check_labels


class Report(NamedTuple):
    """What was found.

    Attributes:
        splits: The splits of the config.
        pixels: Of each split, the pixels of each class in each image, (images, num_classes).
        problems: All that is wrong.
    """

    splits: list[Split]
    pixels: list[np.ndarray]
    problems: list[Problem]

    def rare_classes(self) -> list[str]:
        """Classes of the training images with less than half the pixels of the median class.

        Candidates for the ``hard_classes`` of ``BootstrapDataset``. Rare is not the same as hard:
        the IoU of each class after a first run tells better.
        """
        names, total = [], 0
        for split, pixels in zip(self.splits, self.pixels):
            if split.name.startswith('train') and len(pixels):
                names, total = split.metainfo['classes'], total + pixels.sum(axis=0)
        present = [(count, name) for count, name in zip(np.atleast_1d(total), names) if count]
        if not present:
            return []
        median = np.median([count for count, _ in present])
        return [name for count, name in sorted(present) if count < median / 2]


def check_data(cfg: Config) -> Report:
    """Read every image and mask of every split, in parallel, and show the progress.

    Found are files that are missing, empty, truncated, unreadable or absurdly large; masks
    of another size than their image, in colour, with ids that are no class, or all ignored; what
    loads, but not as it was meant, such as 12 bits in files of 16; classes without a pixel; and
    splits that are empty, have blank lines, doubled images, or images that are also trained on.

    Args:
        cfg: A runner's config.

    Returns:
        What was found.
    """
    splits = load_splits(cfg)
    tasks = [(split, info) for split in splits for info in split.infos]
    results = map_files(lambda task: check_sample(*task), tasks, 'Reading images and masks')
    problems = [problem for split in splits for problem in split.problems]
    problems += shared_images(splits, (sample.content for sample in results))
    problems += [problem for sample in results for problem in sample.problems]
    pixels, start, used = [], 0, {}
    for split in splits:
        found = results[start : start + len(split.infos)]
        pixels.append(np.array([sample.pixels for sample in found]))
        start += len(found)
        # the parts of a ConcatDataset, train[0] and train[1], complete each other
        used.setdefault(split.name.split('[')[0], []).extend((split, sample) for sample in found)
    for name, samples in used.items():
        if samples:
            counts = sum(sample.pixels for _, sample in samples)
            ignored = sum(sample.ignored for _, sample in samples)
            found = check_labels(name, samples[0][0].metainfo['classes'], counts, ignored)
            problems += [problem._replace(split=samples[0][0].name) for problem in found]
    return Report(splits, pixels, problems)
