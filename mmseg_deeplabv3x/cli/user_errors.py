"""Errors in what the user gave to a tool: a sentence, without a traceback."""

import os
import re
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

from mmengine.hooks import Hook

from .config_errors import explain_start_error

_PACKAGE = __name__.partition('.')[0]


class FirstIteration(Hook):
    """Knows whether the first iteration of a training is done."""

    done = False

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None):
        """It is."""
        self.done = True


@contextmanager
def exit_on_user_error(tool: str) -> Iterator[FirstIteration]:
    """End the process with the sentence of an error that the user can mend.

    That is a ``ValueError`` or ``FileNotFoundError`` raised by code of ours: it names what is wrong
    and what would be right. So is whatever goes wrong while mmengine reads a config or builds
    something from it. All others are faults of a program and keep their traceback.
    ``PYTHONDEVMODE=1`` in the environment, Python's own development mode, shows that of any error.

    Args:
        tool: Name of the tool, which the sentence begins with.

    Yields:
        A hook for the runner of a training: once an iteration is done, all errors keep their
        traceback, since they may hang on all that was before.

    Raises:
        SystemExit: In place of such an error; the sentence goes to stderr, the status is 1.
    """
    first_iteration = FirstIteration()
    try:
        yield first_iteration
    except Exception as error:
        why = None if sys.flags.dev_mode or first_iteration.done else _sentence(error)
        if why is None:
            raise
        if os.environ.get('RANK', os.environ.get('SLURM_PROCID', '0')) != '0':
            time.sleep(10)  # what the first process meets too, it says alone: all are then ended
        sys.exit(f'{tool}: {why}')


def _sentence(error: Exception) -> str | None:
    """What is wrong; None if the error is not the user's."""
    place = error.__traceback__
    while place.tb_next:
        place = place.tb_next
    text, module = str(error), place.tb_frame.f_globals.get('__name__', '')
    if module == 'torch._utils' and text.startswith('Caught '):  # a worker's, as text
        module = _PACKAGE if f'/{_PACKAGE}/' in text.rpartition('File "')[2] else ''
        text = re.split(r'^\w+Error: ', text, flags=re.MULTILINE)[-1].strip()
    if isinstance(error, (ValueError, FileNotFoundError)) and module.split('.')[0] == _PACKAGE:
        return text
    return explain_start_error(error)
