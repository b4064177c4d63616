"""Asynchronous replicas in a simulated cluster: real transfers and steps, slept computing."""

import argparse
import heapq
import json
import logging
import time
from itertools import count
from statistics import fmean, median

import numpy as np
import torch
from common.markdown_table import markdown_table
from torch import multiprocessing, nn

from mmseg_deeplabv3x.engine.loops.flat import FlatState
from mmseg_deeplabv3x.engine.loops.holder import Account, Holder
from mmseg_deeplabv3x.engine.loops.link import connect
from mmseg_deeplabv3x.engine.loops.replica import join, work
from mmseg_deeplabv3x.files import write_file
from mmseg_deeplabv3x.progress import track

# Table 11's relative times.
PAPER = {1: 1.0, 2: 0.5, 4: 0.25, 8: 0.13, 16: 0.06, 32: 0.03}
# A straggler's batch takes so many times as long, each tenth one does.
STRAGGLER, SHARE = 5.0, 0.1


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of the subcommand."""
    parser.add_argument('--replicas', type=int, nargs='+', default=[1, 2, 4, 8], help='measured')
    parser.add_argument('--model', type=int, nargs='+', default=[16, 32], help='modelled only')
    parser.add_argument('--parameters', type=float, default=58e6, help='58e6: ResNet-101')
    parser.add_argument('--seconds', type=float, default=2.0, help='mean computing of a batch')
    parser.add_argument('--steps', type=int, default=24, help='global steps of each run')
    parser.add_argument('--seed', type=int, default=0)
    parser.add_argument('--json', metavar='FILE', help='also write every number')


def run(args: argparse.Namespace) -> str:
    """Time global steps with and without stragglers, and model what does not fit this machine.

    A replica's computing is a sleep: gamma-distributed with a spread of 10 %; with stragglers,
    each tenth batch takes five times as long. All else is real: a holder, a process for each
    replica, the weights and gradients between them, SGD with momentum on the holder. The first
    pulls are not timed.

    The model is an event simulation of the same draws with two numbers fitted on the measured runs
    of one replica: the transfers of a round, which run side by side, and the holder's own work on a
    gradient, which does not. Synchronous training is modelled as the slowest draw of each step, and
    no time at all for its exchange: more than it can reach.

    Args:
        args: As declared by :func:`add_arguments`.

    Returns:
        A Markdown table. Times are relative to one replica's.
    """
    rows, kept = [], []
    for straggling in (False, True):
        draws = _draws(args, straggling)
        measured = {}
        for number in track(args.replicas, f'Replicas, stragglers: {straggling}'):
            measured[number] = _measure(args, number, draws)
        first = measured.get(1) or _measure(args, 1, draws)
        computing = fmean(draws[0][: args.steps])
        own = first['holder']
        transfer = max(0.0, first['seconds'] / args.steps - computing - own)
        base = first['seconds']
        for number in [*args.replicas, *args.model]:
            seconds, ages = _model(args, number, draws, transfer, own)
            # without an exchange, a step of all takes as long as the slowest draw of it
            waits = np.mean(np.max(draws[:number], axis=0)) * args.steps / number
            alone = fmean(draws[0]) * args.steps
            found = measured.get(number)
            record = dict(stragglers=straggling, replicas=number, measured=found)
            kept.append(dict(record, modelled=seconds, ages=ages, transfer=transfer, own=own))
            rows.append(
                [
                    f'{number}{", stragglers" * straggling}',
                    f'{found["seconds"]:.1f}' if found else '',
                    f'{found["seconds"] / base:.2f}' if found else '',
                    f'{seconds / base:.2f}',
                    f'{PAPER[number]:.2f}' if number in PAPER else '',
                    f'{waits / alone:.2f}',
                    f'{fmean(found["ages"]):.1f}, {max(found["ages"])}' if found else '',
                    f'{fmean(ages):.1f}, {max(ages)}',
                    f'{100 * found["holder"] * args.steps / found["seconds"]:.0f}' if found else '',
                ]
            )
    if args.json:
        write_file(args.json, json.dumps(kept, indent=1) + '\n')
    titles = ['replicas', 's', 'relative', 'modelled', 'paper', 'synchronous, at best']
    titles += ['staleness: mean, most', 'modelled staleness', 'holder busy, %']
    head = (
        f'{args.parameters / 1e6:g} M parameters, {args.steps} global steps, {args.seconds:g} s a '
        f'batch, torch {torch.__version__}; one round without computing: {transfer * 1e3:.0f} ms '
        f'transfers and {own * 1e3:.0f} ms holder'
    )
    return f'{head}\n\n{markdown_table(titles, rows)}'


def _draws(args: argparse.Namespace, straggling: bool) -> list[list[float]]:
    """Seconds of each batch of each replica."""
    rng = np.random.default_rng(args.seed)
    shape = max(args.replicas + args.model), args.steps + 1
    draws = rng.gamma(100, args.seconds / 100, shape)
    if straggling:
        draws *= np.where(rng.random(shape) < SHARE, STRAGGLER, 1.0)
    return draws.tolist()


def _measure(args: argparse.Namespace, number: int, draws: list[list[float]]) -> dict:
    """Seconds of the steps, of the holder's own work on one, and each step's staleness."""
    torch.set_num_threads(1)
    model = nn.Linear(1000, int(args.parameters / 1000), bias=False)
    optimizer = torch.optim.SGD(model.parameters(), lr=1e-3, momentum=0.9)
    state = FlatState(model)
    logger = logging.getLogger(__name__)
    logger.setLevel(logging.ERROR)
    holder = Holder(0, state, torch.float32, {}, lambda settings: '', logger)
    processes = multiprocessing.start_processes(
        _replica,
        args=(holder.port, args.parameters, draws),
        nprocs=number,
        join=False,
        start_method='spawn',
    )
    waiting = []
    while len(waiting) < number:  # all begin at once
        event = holder.next_event(1.0)
        waiting += [event[1]] if event else []
    for replica in waiting:
        state.pack(replica.flat)
        holder.answer(replica, 0)
    account, own, step, start = Account(0), [], 0, time.perf_counter()
    while step < args.steps:
        event = holder.next_event(1.0)
        if not event:
            continue
        began, replica = time.perf_counter(), event[1]
        state.unpack_gradients(replica.flat, ())
        optimizer.step()
        optimizer.zero_grad()
        account.steps[step - replica.version] += 1
        step += 1
        state.pack(replica.flat)
        holder.answer(replica, step)
        own.append(time.perf_counter() - began)
    seconds = time.perf_counter() - start
    holder.close()
    processes.join()
    holder.part()
    return dict(seconds=seconds, holder=median(own), ages=list(account.steps.elements()))


def _replica(index: int, port: int, parameters: float, draws: list[list[float]]) -> None:
    torch.set_num_threads(1)
    model = nn.Linear(1000, int(parameters / 1000), bias=False)
    gradient = torch.zeros_like(model.weight)
    link, _ = join(connect(f'localhost:{port}'), {})
    turns = count()

    def compute():
        mine = draws[index]
        time.sleep(mine[next(turns) % len(mine)])
        model.weight.grad = gradient
        return dict(batch=0, images=[], outputs={})

    work(link, model, compute, torch.float32)


def _model(
    args: argparse.Namespace, number: int, draws: list[list[float]], transfer: float, own: float
) -> tuple[float, list[int]]:
    """Seconds and staleness of the same run as events: transfers side by side, steps in turn."""
    arrivals = [(draws[i][0] + transfer, i, 1, 0) for i in range(number)]
    heapq.heapify(arrivals)
    free, ages = 0.0, []
    for step in range(args.steps):
        arrived, replica, turn, version = heapq.heappop(arrivals)
        ages.append(step - version)
        free = max(free, arrived) + own
        after = free + draws[replica][turn % len(draws[replica])] + transfer
        heapq.heappush(arrivals, (after, replica, turn + 1, step + 1))
    return free, ages
