"""Training without waiting: the paper's asynchronous replicas (Table 11)."""

import copy
import os
import sys
from collections import deque
from functools import partial

import torch
from mmengine.config import ConfigDict
from mmengine.dataset import InfiniteSampler
from mmengine.dist import get_world_size
from mmengine.hooks import EMAHook, Hook
from mmengine.optim import OptimWrapper
from mmengine.runner import IterBasedTrainLoop, Runner
from mmseg.registry import LOOPS
from torch import nn

from ...datasets.samplers.seeding import seed_generators
from ..hooks import StopSignalHook
from .flat import FlatState, RunningStatistics
from .holder import Account, Holder, Replica, ReplicaProcesses
from .link import ConnectionLost, connect
from .replica import dealt_indices, differing_setting, join, settings_of, work

HOLDER = 'ASYNC_HOLDER'  # in the environment of a replica: where its holder is
# a loader without workers takes none of these
_OF_WORKERS = ('persistent_workers', 'prefetch_factor', 'timeout', 'worker_init_fn', 'num_workers')
_CHOICES = dict(
    stale=('drop', 'wait'),
    running_statistics=('shared', 'mean', 'first'),
    gradient_dtype=('float32', 'bfloat16'),
)


@LOOPS.register_module()
class AsyncReplicaLoop(IterBasedTrainLoop):
    """Replicas compute gradients against one holder of the weights, and never wait for each other.

    Each pulls the newest weights, computes the gradient of a batch of its own and pushes it; the
    holder takes a step as soon as a gradient arrives. An iteration is such a global step:
    schedules and hooks, which run on the holder, count them, as the paper's 30,000. See
    docs/async.md for faults, the order of the data, and when it is worth it.

    This process becomes the holder and starts the replicas with its own command line. More may
    join from anywhere, and any may die. With one replica the weights on a CPU are those of
    ``IterBasedTrainLoop`` with ``ExactResumeHook``, bit by bit.

    Args:
        runner: Not distributed; with an ``OptimWrapper`` or ``AutocastOptimWrapper``.
        dataloader: Its config; the sampler is ``SeededInfiniteSampler`` or ``InfiniteSampler``.
        max_iters: Global steps.
        replicas: Processes to start on this machine. Default: 1. With 0, all join from elsewhere.
        port: Where replicas join, from a trusted network only, as with torchrun. Default: 0, a
            free one, which the log names.
        max_staleness: The most steps that others may have taken between pull and push. Default:
            None, no bound, as in the paper.
        stale: 'drop' a gradient that is older, or let gradients 'wait' whose step would make
            another's too old (Ho et al., Stale Synchronous Parallel, 2013). Default: 'drop'.
        running_statistics: As of :class:`.flat.RunningStatistics`. Default: 'shared': with R
            replicas, own ones see 1/R of the batches, too few at the paper's BN decay.
        gradient_dtype: 'float32', or 'bfloat16' for half the traffic. Default: 'float32'.
        lr_by_staleness: Whether to divide the learning rate of a step by its staleness, where that
            is above 1 (Zhang et al., Staleness-aware Async-SGD, 2016). Default: False.
        **kwargs: As of ``IterBasedTrainLoop``.

    Raises:
        ValueError: If something of this does not hold.
    """

    def __init__(
        self,
        runner: Runner,
        dataloader: dict,
        max_iters: int,
        replicas: int = 1,
        port: int = 0,
        max_staleness: int | None = None,
        stale: str = 'drop',
        running_statistics: str = 'shared',
        gradient_dtype: str = 'float32',
        lr_by_staleness: bool = False,
        **kwargs,
    ):
        for name, value in zip(_CHOICES, (stale, running_statistics, gradient_dtype)):
            if value not in _CHOICES[name]:
                allowed = ' or '.join(map(repr, _CHOICES[name]))
                raise ValueError(f'train_cfg.{name} must be {allowed}, but is {value!r}.')
        least = max(0, replicas - 1) if stale == 'wait' else 0
        if max_staleness is not None and max_staleness < least:
            raise ValueError(
                f'train_cfg.max_staleness must be at least {least} for {replicas} replicas and '
                f'stale={stale!r}, but is {max_staleness}.'
            )
        if get_world_size() > 1:
            raise ValueError(
                'AsyncReplicaLoop starts its processes itself: use tools/async_train.sh.'
            )
        # of the holder, which loads no data; a replica builds its own
        alone = {key: value for key, value in dataloader.items() if key not in _OF_WORKERS}
        super().__init__(runner, dict(alone, num_workers=0), max_iters, **kwargs)
        sampler = type(self.dataloader.sampler)
        if not issubclass(sampler, InfiniteSampler):
            raise ValueError(
                'AsyncReplicaLoop deals out batches without an end: train_dataloader.sampler must '
                f'be SeededInfiniteSampler or InfiniteSampler, but is {sampler.__name__}.'
            )
        self._loader_cfg = ConfigDict(dataloader, dataset=self.dataloader.dataset)
        self._count, self._port, self._dtype = replicas, port, getattr(torch, gradient_dtype)
        self._max_staleness, self._waits = max_staleness, stale == 'wait'
        self._statistics = RunningStatistics(running_statistics)
        self._lr_by_staleness = lr_by_staleness
        self._account = None
        self._arrived = []  # replicas whose gradients are there; that of the oldest weights first
        self._model = self._steps = None  # those in training, while a copy is validated
        runner.register_hook(_LoopHook(self), 'VERY_LOW')  # before the stop signal's

    def run(self) -> nn.Module:
        """Be a replica if the environment names a holder, else the holder."""
        wrapper = self.runner.optim_wrapper
        if not isinstance(wrapper, OptimWrapper) or hasattr(wrapper, 'loss_scaler'):
            raise ValueError(
                'AsyncReplicaLoop takes OptimWrapper or, for mixed precision, '
                f'AutocastOptimWrapper, but optim_wrapper is {type(wrapper).__name__}.'
            )
        if wrapper._accumulative_counts != 1:
            raise ValueError(
                'AsyncReplicaLoop takes a step for each gradient: optim_wrapper.'
                f'accumulative_counts must be 1, but is {wrapper._accumulative_counts}.'
            )
        if HOLDER in os.environ:
            self._replicate(os.environ[HOLDER])
        else:
            self._hold()
        return self.runner.model

    def _replicate(self, address: str) -> None:
        # whole lines: the replicas of a machine may end at the same time, with one terminal
        if hasattr(sys.stderr, 'reconfigure'):  # unless another stream took its place
            sys.stderr.reconfigure(line_buffering=True, write_through=False)
        store = connect(address)
        try:
            self._compute(store)
        except (ConnectionLost, torch.distributed.DistError) as error:
            raise SystemExit(
                f'A replica ends, since its holder at {address} is gone. The training goes on when '
                'it is started again with --resume.'
            ) from error

    def _compute(self, store: torch.distributed.Store) -> None:
        model, taken = self.runner.model, deque()
        link, told = join(store, settings_of(self.runner.cfg))
        seed, wrapper = told['seed'], self.runner.optim_wrapper
        wrapper.update_params = torch.Tensor.backward  # the gradient alone, no step
        loader = self.runner.build_dataloader(self._loader_cfg, seed=seed)
        loader.sampler.indices = dealt_indices(
            store, told['start'], told['left'], loader.sampler, loader.batch_size, taken
        )
        batches = iter(loader)

        def gradient():
            data, number = next(batches), taken.popleft()
            torch_seed = seed_generators((seed, 0, number, 1))  # as ExactResumeHook does
            if torch.cuda.is_available():
                torch.cuda.manual_seed(torch_seed)
            outputs = model.train_step(data, wrapper)
            outputs = {name: value.item() for name, value in outputs.items()}
            images = [str(sample.get('img_path')) for sample in data['data_samples']]
            return dict(batch=number, images=images, outputs=outputs)

        model.train()
        work(link, model, gradient, self._dtype)

    def _hold(self) -> None:
        runner = self.runner
        # before hooks: one may validate and save
        account = self._account = self._account or Account(self._iter)
        runner.call_hook('before_train')
        runner.call_hook('before_train_epoch')
        self._state = FlatState(runner.model)
        seed, left = self.dataloader.sampler.seed, sorted(account.left)
        welcome = dict(seed=seed, start=account.start, left=left)
        refuses = partial(differing_setting, settings_of(runner.cfg))
        self._holder = Holder(self._port, self._state, self._dtype, welcome, refuses, runner.logger)
        runner.logger.info(f'Replicas may join at port {self._holder.port} of this machine.')
        where = {HOLDER: f'localhost:{self._holder.port}'}
        self._processes = ReplicaProcesses(self._count, where, runner.logger)
        try:
            while self._iter < self._max_iters and not self.stop_training:
                self._iterate()
                self._validate_if_due()
            runner.logger.info(account.summary())
        finally:
            self._holder.close()
            self._processes.end()
            self._holder.part()
        runner.call_hook('after_train_epoch')
        runner.call_hook('after_train')

    def _validation_is_due(self) -> bool:
        due = self._iter % self.val_interval == 0 or self._iter == self._max_iters
        return due and self._iter >= self.val_begin

    def _iterate(self) -> None:
        """One global step."""
        runner = self.runner
        # now already, so that data_time has no waiting for gradients in it
        runner.call_hook('before_train_iter', batch_idx=self._iter)
        runner.model.train()
        while not (replica := self._next_gradient(1.0)):
            self._processes.check(len(self._holder.replicas))
            self._stop_if_told()
        self._arrived.remove(replica)
        self._account.done(replica.head['batch'])
        outputs = self._step(replica)
        self._send_weights(replica, self._iter + 1)  # before hooks, which may take long
        images = replica.head['images']
        batch = dict(inputs=images, data_samples=[dict(img_path=image) for image in images])
        batch['replica'] = replica.name
        runner.call_hook(
            'after_train_iter', batch_idx=self._iter, data_batch=batch, outputs=outputs
        )
        self._iter += 1
        self._decide_current_val_interval()

    def _step(self, replica: Replica) -> dict[str, torch.Tensor]:
        wrapper, state, age = self.runner.optim_wrapper, self._state, self._iter - replica.version
        buffers = state.pack(state.empty()[1])
        merged = self._statistics.merge(replica.number, buffers, replica.pulled, replica.buffers)
        state.unpack(merged)
        state.unpack_gradients(replica.flat, replica.head['missing'])
        groups = wrapper.optimizer.param_groups
        rates = [group['lr'] for group in groups]
        for group in groups if self._lr_by_staleness else ():
            group['lr'] /= max(1, age)
        wrapper.step()
        wrapper.zero_grad()
        for group, rate in zip(groups, rates):
            group['lr'] = rate
        self._account.steps[age] += 1
        outputs = dict(replica.head['outputs'], staleness=age)
        return {name: torch.tensor(value) for name, value in outputs.items()}

    def _send_weights(self, replica: Replica, version: int) -> None:
        self._state.pack(replica.flat)
        self._state.pack(replica.buffers)
        replica.buffers.copy_(self._statistics.of(replica.number, replica.buffers))
        replica.pulled = replica.buffers.clone()
        self._holder.answer(replica, version)

    def _next_gradient(self, seconds: float) -> Replica | None:
        """The replica whose gradient to take now; None if nothing happens for so long."""
        while not (ready := self._ready()):
            happened = self._holder.next_event(seconds)
            if not happened:
                break
            event, replica = happened
            if event == 'gradient':
                self._arrived.append(replica)
                self._arrived.sort(key=lambda other: other.version)
            elif event == 'joined':
                self._send_weights(replica, self._iter)
            else:
                self._statistics.forget(replica.number)
        return ready

    def _ready(self) -> Replica | None:
        """The oldest gradient that may be taken; those that are too old are dropped."""
        bound = self._max_staleness
        while bound is not None and self._arrived:
            replica, age = self._arrived[0], self._iter - self._arrived[0].version
            if age <= bound:
                break
            del self._arrived[0]
            self._account.done(replica.head['batch'])
            self._account.dropped += 1
            dropped = f'a gradient {age} steps old is dropped, {self._account.dropped} in all.'
            self.runner.logger.warning(f'{replica.name}: {dropped}')
            self._send_weights(replica, self._iter)
        if bound is not None and self._waits:
            busy = [r for r in self._holder.replicas.values() if r.since and not r.hung]
            if any(self._iter + 1 - replica.version > bound for replica in busy):
                return None
        return self._arrived[0] if self._arrived else None

    def _stop_if_told(self) -> None:
        for hook in self.runner.hooks:
            if isinstance(hook, StopSignalHook):
                hook.stop_if_told(self.runner, self._iter)

    def _validate_if_due(self) -> None:
        """Validate; again, if meanwhile the steps came to where the next validation is due."""
        validated, loop = None, self.runner.val_loop
        while loop is not None and self._validation_is_due() and self._iter != validated:
            validated = self._iter
            self._validate()
            if self.stop_training:
                break

    def _validate(self) -> None:
        """Validate a copy of the model, while the replicas go on with the model itself."""
        runner = self.runner
        if any(isinstance(hook, EMAHook) for hook in runner.hooks):  # it swaps the model's weights
            return runner.val_loop.run()
        self._model, self._steps = runner.model, self._iter
        runner.model = copy.deepcopy(runner.model)
        runner.val_loop.run()
        runner.model, self._iter = self._model, self._steps
        self._model = None

    def _go_on(self) -> None:
        """Take the steps whose gradients are there, up to where the next validation is due."""
        validated = self.runner.model, self._iter
        self.runner.model, self._iter = self._model, self._steps
        while (self._iter == validated[1] or not self._validation_is_due()) and (
            self._iter < self._max_iters and self._next_gradient(0.0)
        ):
            self._iterate()
        self._stop_if_told()
        self._steps = self._iter
        self.runner.model, self._iter = validated


class _LoopHook(Hook):
    """What the loop has to do in the turn of the hooks."""

    def __init__(self, loop: AsyncReplicaLoop):
        self.loop = loop

    def after_val_iter(self, runner, batch_idx, data_batch=None, outputs=None) -> None:
        if self.loop._model is not None:
            self.loop._go_on()

    def before_save_checkpoint(self, runner, checkpoint) -> None:
        size = self.loop.dataloader.batch_size
        checkpoint['meta']['async_replicas'] = dict(self.loop._account.state(), batch_size=size)

    def after_load_checkpoint(self, runner, checkpoint) -> None:
        if runner._resume:
            size, meta = self.loop.dataloader.batch_size, checkpoint.get('meta', {})
            self.loop._account = Account.saved_in(meta, size, runner.logger)
