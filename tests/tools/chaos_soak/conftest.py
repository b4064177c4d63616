"""A stand-in for ``tools/train.py`` that starts in no time, for those who bring it down."""

from __future__ import annotations

import sys

import pytest
import torch
from chaos_soak.checkpoints import Checkpoints
from chaos_soak.fault_injection import FaultInjection
from chaos_soak.training_process import TrainingProcess

# FAULT says what it does wrong. Its checkpoints are copies of result.pth beside tools/.
TRAIN = """
import os, signal, sys, time
from pathlib import Path

words, fault = sys.argv[1:], os.environ.get('FAULT')
work_dir = Path(words[words.index('--work-dir') + 1])
work_dir.mkdir(exist_ok=True)
options = dict(word.split('=') for word in words if '=' in word)
length, last = int(options['train_cfg.max_iters']), work_dir / 'last_checkpoint'
resume = '--resume' in words
checkout = Path(__file__).parents[1]
content = (checkout / 'result.pth').read_bytes()
if resume and fault == 'other weights':
    content = (checkout / 'other.pth').read_bytes()
stop = []
signal.signal(signal.SIGTERM, lambda *_: stop.append(1))

def number(path):
    return int(path.stem[5:])

def intact():
    found = [path for path in work_dir.glob('iter_*.pth') if path.read_bytes() == content]
    return sorted(found, key=number)

def save(i):
    aside = work_dir / f'.iter_{i}.pth.{os.getpid()}.tmp'
    try:
        with open(aside, 'wb') as file:
            for part in (content[:5000], content[5000:]):
                file.write(part)
                file.flush()
                time.sleep(0.08)
        aside.rename(work_dir / f'iter_{i}.pth')
        last.write_text(f'iter_{i}.pth')
    except OSError:
        aside.unlink()
        if fault != 'silent on a full disk':
            print('A checkpoint could not be written')
    for path in intact()[:-2]:
        if fault != 'keeps all':
            path.unlink()

for path in work_dir.glob('.*.tmp'):
    path.unlink()
time.sleep(0.1)
done = number(intact()[-1]) if resume and fault != 'starts afresh' and intact() else 0
for i in range(done + 1, length + 1):
    time.sleep(0.01)
    print(f'Iter(train) [{i:>3}/{length}]  eta: 0:00:01  loss: 1.0', flush=True)
    while fault == 'saves nothing at SIGTERM' and i == 25 and not stop:
        time.sleep(0.01)  # else a slow machine lets it save at 30
    if fault == 'fails' and i == 15:
        sys.exit('something broke')
    if stop and fault != 'saves nothing at SIGTERM':
        save(i)
    elif i % 10 == 0:
        save(i)
    if stop:
        sys.exit(143)
"""


def checkpoint(weight=1.0, iteration=60):
    """What a training saves, as far as it is looked at."""
    return dict(
        meta=dict(iter=iteration),
        message_hub={},
        state_dict=dict(weight=torch.full((3000,), weight)),
        optimizer=dict(state={0: dict(momentum_buffer=torch.ones(3000))}),
        param_schedulers=[dict(last_step=59)],
    )


@pytest.fixture
def checkout(tmp_path):
    """A checkout whose tools/train.py is the stand-in."""
    folder = tmp_path / 'checkout'
    (folder / 'tools').mkdir(parents=True)
    (folder / 'tools/train.py').write_text(TRAIN)
    torch.save(checkpoint(), folder / 'result.pth')
    torch.save(checkpoint(weight=2.0), folder / 'other.pth')
    return folder


@pytest.fixture
def start(checkout, tmp_path):
    """``start('--resume')`` starts the stand-in for 90 iterations in ``tmp_path / 'run'``."""

    def start(*flags):
        train = [sys.executable, checkout / 'tools/train.py', *flags]
        line = [*train, '--work-dir', tmp_path / 'run', 'train_cfg.max_iters=90']
        return TrainingProcess(line, tmp_path / 'run.log')

    return start


@pytest.fixture
def soak(start, checkout, tmp_path):
    """The same with --resume, beside an undisturbed run that kept two checkpoints."""
    undisturbed = tmp_path / 'undisturbed'
    undisturbed.mkdir()
    for name in ('iter_80.pth', 'iter_90.pth'):
        (undisturbed / name).write_bytes((checkout / 'result.pth').read_bytes())
    return FaultInjection(
        lambda: start('--resume'), Checkpoints(tmp_path / 'run'), undisturbed / 'iter_90.pth'
    )
