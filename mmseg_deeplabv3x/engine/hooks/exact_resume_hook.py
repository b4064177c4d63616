"""A resumed run that is the unbroken run."""

from itertools import chain, islice, repeat

import torch
from mmengine.dataset import InfiniteSampler
from mmengine.dist import get_rank, get_world_size
from mmengine.hooks import EarlyStoppingHook, Hook
from mmengine.runner import IterBasedTrainLoop, Runner
from mmseg.registry import HOOKS
from torch.utils.data import DataLoader

from ...datasets.samplers.seeding import seed_generators


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

    - **Validation**: one that was due where the checkpoint was saved is run first, and an
      ``EarlyStoppingHook`` counts on: best checkpoint and end are those of the unbroken run.

    On another number of processes or with another batch size, the data goes on where it was, too:
    each image of a pass is seen once. Learning rate and schedule are as saved, as upstream has it.
    The log says what changes.

    It acts with ``IterBasedTrainLoop`` and ``InfiniteSampler`` or what is derived from them; the
    data of others is advanced as upstream does.
    """

    priority = 'VERY_HIGH'  # before any hook that draws

    def __init__(self):
        self._saved = {}
        self._start = self._seen = 0  # iterations and images before this run

    def after_load_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Take what the run that saved it tells of itself."""
        self._saved = (checkpoint.get('meta') or {}).get('exact_resume', {})

    def before_train(self, runner: Runner) -> None:
        """Put the data where the resumed run goes on, and tell what is not as it was."""
        loop, loader = runner.train_loop, runner.train_dataloader
        sampler = loader.sampler
        if loop.iter == 0:
            return
        for hook, state in zip(_early_stopping(runner), self._saved.get('early_stopping', ())):
            vars(hook).update(state)
        setting, saved = resume_conditions(loader), self._saved.get('setting', {})
        self._start = loop.iter
        self._seen = self._saved.get('seen', loop.iter * setting['images per iteration'])
        infinite = isinstance(loop, IterBasedTrainLoop) and isinstance(sampler, InfiniteSampler)
        changes = [f'{k} {saved[k]} -> {v}' for k, v in setting.items() if saved.get(k, v) != v]
        if changes:
            place = f', the data after the {self._seen} images seen so far' * infinite
            runner.logger.warning(
                f'Resume: {", ".join(changes)}. Learning rate and schedule go on as saved{place}; '
                'bit by bit, it is no longer the unbroken run.'
            )
        if infinite:
            indices, first = sampler._infinite_indices(), self._seen + sampler.rank
            sampler.indices = islice(indices, first, None, sampler.world_size)
            # the loop throws away one item for each past iteration: not a batch, but a None
            loop.dataloader_iterator = chain(repeat(None, loop.iter), iter(loader))

    def before_train_epoch(self, runner: Runner) -> None:
        """Run the validation that comes after the checkpoint."""
        loop = runner.train_loop
        if not self._start or not isinstance(loop, IterBasedTrainLoop) or not runner.val_loop:
            return
        loop._decide_current_val_interval()
        due = loop.iter % loop.val_interval == 0 or loop.iter == loop.max_iters
        if due and loop.iter >= loop.val_begin:
            runner.val_loop.run()

    def before_train_iter(self, runner: Runner, batch_idx: int, data_batch=None) -> None:
        """Seed all generators."""
        # the last word keeps apart what SeededInfiniteSampler seeds by three
        seed = seed_generators((runner.seed, get_rank(), runner.iter, 1))
        if torch.cuda.is_available():
            torch.cuda.manual_seed(seed)

    def before_save_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Tell a run that goes on from here what this one hangs on, and how many images it saw."""
        setting, meta = resume_conditions(runner.train_dataloader), checkpoint['meta']
        seen = self._seen + (meta['iter'] - self._start) * setting['images per iteration']
        stopping = [
            dict(wait_count=hook.wait_count, best_score=float(hook.best_score))
            for hook in _early_stopping(runner)
        ]
        meta['exact_resume'] = dict(setting=setting, seen=seen, early_stopping=stopping)


def _early_stopping(runner: Runner) -> list[EarlyStoppingHook]:
    return [hook for hook in runner.hooks if isinstance(hook, EarlyStoppingHook)]


def resume_conditions(loader: DataLoader) -> dict[str, int | str | None]:
    """What the exact course of a run hangs on beside its config, as the log names it."""
    return {
        'processes': get_world_size(),
        'images per iteration': get_world_size() * (loader.batch_size or 0),
        'seed of the data': getattr(loader.sampler, 'seed', None),
        'torch': str(torch.__version__),
    }
