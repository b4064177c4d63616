"""Random numbers that follow from a few integers."""

import random
from collections.abc import Sequence

import numpy as np
import torch


def seed_generators(entropy: Sequence[int]) -> int:
    """Seed the generators of Python, NumPy and PyTorch (CPU); returns PyTorch's seed, for a GPU's.

    ``entropy`` are integers from 0. Neighbouring ones lead to unrelated numbers.
    """
    words = np.random.SeedSequence(entropy).generate_state(4)
    np.random.seed(words)
    random.seed(words.tobytes())
    seed = int(words[0]) << 31 | int(words[1])
    # not torch.manual_seed, which goes through all GPUs
    torch.default_generator.manual_seed(seed)
    return seed
