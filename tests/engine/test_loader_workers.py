from __future__ import annotations

import pytest

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


def test_other_errors_are_not_about_workers():
    assert loader_workers.explain_worker_failure(RuntimeError('CUDA out of memory')) is None
