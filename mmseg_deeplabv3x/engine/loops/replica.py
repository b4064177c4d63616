"""A replica: pulls the newest weights, computes a gradient on a batch of its own, pushes it."""

import json
import os
import re
import socket
import sys
from collections import deque
from collections.abc import Callable, Iterator
from itertools import islice

import torch
import torch.distributed as dist
from mmengine.config import Config
from mmengine.dataset import InfiniteSampler
from torch import nn

from .flat import FlatState
from .link import Link, addresses

_PACKAGE = __name__.partition('.')[0]
# Where a machine keeps its files and how it reads them is its own business.
_OWN = re.compile(
    r'\.(data_root|checkpoint|pretrained|backend_args|num_workers|persistent_workers|prefetch_factor|'
    r'pin_memory|timeout|worker_init_fn)(\.|$)'
)


def settings_of(cfg: Config) -> dict[str, str]:
    """What all processes of a training must have in common: versions and settings, by name."""
    parts = {part: cfg.get(part) for part in ('model', 'train_dataloader', 'optim_wrapper')}
    parts['train_cfg.gradient_dtype'] = (cfg.get('train_cfg') or {}).get('gradient_dtype')
    settings = {'torch': torch.__version__, _PACKAGE: sys.modules[_PACKAGE].__version__}
    for part, value in parts.items():
        settings.update(_flat(part, value))
    return {name: str(value) for name, value in settings.items() if not _OWN.search(name)}


def differing_setting(own: dict[str, str], other: dict[str, str]) -> str:
    """One sentence on a setting that a replica has otherwise; empty if there is none."""
    for name in [*own, *other]:
        if own.get(name) != other.get(name):
            return f"its {name} is {other.get(name)}, the holder's is {own.get(name)}."
    return ''


def _flat(path: str, value) -> dict:
    if isinstance(value, (list, tuple)):
        value = dict(enumerate(value))
    if not isinstance(value, dict):
        return {path: value}
    return {k: v for key, inner in value.items() for k, v in _flat(f'{path}.{key}', inner).items()}


def join(store: dist.TCPStore, settings: dict) -> tuple[Link, dict]:
    """Ask the holder of a store to be let in: the link to it, and what it told.

    Raises:
        ValueError: If the holder turns this replica away, with its reason, or cannot be reached.
    """
    own, its = addresses(store.host, store.port)
    number = store.add('replicas', 1) - 1
    where = f'{socket.gethostname()}, process {os.getpid()}'
    store.set(f'join/{number}', json.dumps(dict(where=where, address=its, settings=settings)))
    told = json.loads(store.get(f'answer/{number}'))
    if told['refused']:
        raise ValueError(f'The holder turns this replica away: {told["refused"]}')
    try:
        return Link(store, f'link/{number}', 1, own), told
    except RuntimeError as error:
        raise ValueError(
            f'This replica, at {own}, and its holder, at {its}, do not reach each other; '
            f'GLOO_SOCKET_IFNAME names the network interface to use. PyTorch says: {error}'
        ) from error


def work(link: Link, model: nn.Module, gradient: Callable[[], dict], dtype: torch.dtype) -> None:
    """Serve the holder until it says that it is over.

    Args:
        link: To the holder.
        model: In training; gets the holder's weights and buffers before each batch.
        gradient: Leaves the gradient of one batch in the model; gives what the holder is told
            of it (``head`` of :class:`.holder.Replica`).
        dtype: In which the gradient travels.

    Raises:
        ConnectionLost: If the holder is gone.
    """
    state = FlatState(model)
    flat, buffers = state.empty()
    while link.receive_object():
        link.receive(flat, buffers)
        state.unpack(flat)
        state.unpack(buffers)
        head = gradient()
        head['missing'] = state.pack_gradients(flat)
        link.send_object(head)
        link.send(flat.to(dtype), state.pack(buffers))


def dealt_indices(
    store: dist.Store, start: int, left: list, sampler: InfiniteSampler, size: int, taken: deque
) -> Iterator[int]:
    """Samples of batches that a counter in the store deals out, each once among all replicas.

    Args:
        store: The holder's.
        start: Dealt out are all from this batch of the sampler's endless sequence on, after
        left: these before it, in order.
        sampler: Of the training.
        size: Of a batch.
        taken: Gets the numbers of the batches that are on their way from the loader.
    """
    indices, place = sampler._infinite_indices(), 0
    while True:
        turn = store.add('batches', 1) - 1
        late = turn - len(left)
        taken.append(left[turn] if late < 0 else start + late)
        skipped = taken[-1] * size - place
        yield from islice(indices, skipped, skipped + size)
        place += skipped + size
