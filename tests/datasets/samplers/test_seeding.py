import random

import numpy as np
import torch

from mmseg_deeplabv3x.datasets.samplers.seeding import seed_generators


def draw():
    return random.random(), np.random.random(), torch.rand(()).item()


def test_numbers_follow_from_the_integers_and_nothing_else():
    drawn = {}
    for entropy in [(0, 0), (0, 1), (1, 0), (0, 0)]:
        seed = seed_generators(entropy)
        numbers = (seed, *draw())
        assert drawn.setdefault(entropy, numbers) == numbers
    for column in zip(*drawn.values()):
        assert len(set(column)) == 3
