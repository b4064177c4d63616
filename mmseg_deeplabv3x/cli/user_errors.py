"""Errors in what the user gave to a tool: a sentence, without a traceback."""

import os
import re
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

from mmengine.hooks import Hook

from .arguments import as_typed
from .config_errors import explain_first_iteration, explain_start_error

_PACKAGE = __name__.partition('.')[0]


class FirstIteration(Hook):
    """Knows whether the first iteration of a training has begun and is done."""

    begun = done = False
    priority = 'LOWEST'  # other hooks are part of the iteration

    def before_train(self, runner):
        """It begins."""
        self.begun = True

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None):
        """It is."""
        self.done = True


@contextmanager
def exit_on_user_error(tool: str) -> Iterator[FirstIteration]:
    """End the process, with status 1, with the sentence of an error that the user can mend.

    That is a ``ValueError`` or ``FileNotFoundError`` raised by code of ours: it names what is wrong
    and what would be right. So is whatever goes wrong while mmengine reads a config or builds
    something from it, and in code of the frameworks or ours in the first iteration of a training.
    All others are faults of a program and keep their traceback. An error that took the place of a
    Ctrl-C is one: mmengine turns whatever ends its formatting of a config into a ``SyntaxError``.
    ``PYTHONDEVMODE=1`` in the environment, Python's own development mode, shows that of any error.

    The ``tool`` is named first. Yielded is a hook for the runner of a training: once an iteration
    is done, all errors keep their traceback, since they may hang on all that was before.
    """
    first_iteration = FirstIteration()
    try:
        yield first_iteration
    except Exception as error:
        interrupt = _interrupt(error)
        if interrupt:
            raise interrupt from None
        told = not sys.flags.dev_mode and not first_iteration.done
        why = _sentence(error, first_iteration.begun) if told else None
        if why is None:
            raise
        if os.environ.get('RANK', os.environ.get('SLURM_PROCID', '0')) != '0':
            time.sleep(10)  # what the first process meets too, it says alone: all are then ended
        sys.exit(f'{tool}: {as_typed(tool, why)}')


def _interrupt(error: BaseException | None) -> KeyboardInterrupt | None:
    """The Ctrl-C that an error arose from or in the handling of."""
    while error and not isinstance(error, KeyboardInterrupt):
        error = error.__cause__ or error.__context__
    return error


def _sentence(error: Exception, begun: bool) -> str | None:
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
    return begun and explain_first_iteration(error) or explain_start_error(error)
