from __future__ import annotations

import pytest
from torch.utils.data import DataLoader

from mmseg_deeplabv3x.engine import loader_workers


@pytest.mark.parametrize(
    'text, hint',
    [
        ('DataLoader worker (pid 12) is killed by signal: Killed. ', 'memory'),
        ('DataLoader worker (pid(s) 12, 13) exited unexpectedly', 'memory'),
        (
            'DataLoader worker (pid 12) is killed by signal: Bus error. It is possible that '
            "dataloader's workers are out of shared memory.",
            '/dev/shm',
        ),
        ('DataLoader timed out after 300 seconds', 'train_dataloader.timeout'),
    ],
)
def test_each_failure_has_its_reason(text, hint):
    message = loader_workers.explain_worker_failure(RuntimeError(text))
    assert message.startswith(f'Data loading failed: {text[:20]}')
    assert hint in message
    assert 'num_workers' in message
    assert '\n' not in message


@pytest.mark.parametrize(
    'error', [ConnectionResetError(104, 'Connection reset by peer'), EOFError()]
)
def test_a_worker_that_dies_while_it_sends_is_told_by_the_place(error, monkeypatch):
    loader = iter(DataLoader([0], num_workers=1))

    def get(timeout):
        raise error

    monkeypatch.setattr(loader._data_queue, 'get', get)
    with pytest.raises(type(error)) as caught:
        next(loader)
    message = loader_workers.explain_worker_failure(caught.value)
    assert message.startswith('Data loading failed: DataLoader worker (pid')
    assert repr(error) in message and 'memory' in message and '\n' not in message
    assert loader_workers.explain_worker_failure(type(error)()) is None, 'from elsewhere'


def test_other_errors_are_not_about_workers():
    assert loader_workers.explain_worker_failure(RuntimeError('CUDA out of memory')) is None
