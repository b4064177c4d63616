"""A resumed run that is the unbroken run."""

from __future__ import annotations

from itertools import chain, islice, repeat

import torch
from mmengine.dataset import InfiniteSampler
from mmengine.dist import get_rank
from mmengine.hooks import Hook
from mmengine.runner import IterBasedTrainLoop, Runner
from mmseg.registry import HOOKS

from .seeding import seed_generators


@HOOKS.register_module()
class ExactResumeHook(Hook):
    """Makes what an iteration sees and draws depend on the seed and its number alone.

    - **Data**: a resumed run starts at the sample that comes next. Upstream, all batches since the
      first iteration are loaded, augmented and thrown away. Together with
      ``SeededInfiniteSampler`` the augmentation is that of the unbroken run as well.
    - **Random numbers** (dropout, for one): the generators of Python, NumPy and PyTorch, on the CPU
      and on this process's GPU, are seeded before each iteration by (seed, process, iteration). No
      state of a generator needs to be stored: any checkpoint will do, and it does not matter what
      a validation or the start of a loader drew in between.

    On the CPU the resumed run then has the same losses and weights, bit by bit.

    It acts with ``IterBasedTrainLoop`` and ``InfiniteSampler`` or what is derived from them; the
    data of others is advanced as upstream does.
    """

    priority = 'VERY_HIGH'  # before any hook that draws

    def before_train(self, runner: Runner) -> None:
        """Put the data where the resumed run goes on."""
        loop, loader = runner.train_loop, runner.train_dataloader
        sampler = loader.sampler
        infinite = isinstance(loop, IterBasedTrainLoop) and isinstance(sampler, InfiniteSampler)
        if loop.iter == 0 or not infinite:
            return
        seen = loop.iter * loader.batch_size
        sampler.indices = islice(sampler._indices_of_rank(), seen, None)
        # the loop throws away one item for each past iteration: not a batch, but a None
        loop.dataloader_iterator = chain(repeat(None, loop.iter), iter(loader))

    def before_train_iter(
        self, runner: Runner, batch_idx: int, data_batch: dict | None = None
    ) -> None:
        """Seed all generators."""
        # the last word keeps apart what SeededInfiniteSampler seeds by three
        seed = seed_generators((runner.seed, get_rank(), runner.iter, 1))
        if torch.cuda.is_available():
            torch.cuda.manual_seed(seed)
