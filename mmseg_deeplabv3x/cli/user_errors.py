"""Errors in what the user gave to a tool: a sentence, without a traceback."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager

from .config_errors import explain_build_error

_PACKAGE = __name__.partition('.')[0]


@contextmanager
def exit_on_user_error(tool: str) -> Iterator[None]:
    """End the process with the sentence of an error that this package raised for the user.

    That is a ``ValueError`` or ``FileNotFoundError`` raised by code of ours: it names what is wrong
    and what would be right. So is an unknown module or argument in a config, which mmengine finds.
    All others, those that others raise through our code too, are faults of a program and keep
    their traceback. ``PYTHONDEVMODE=1`` in the environment, Python's own
    development mode, shows that of any error.

    Args:
        tool: Name of the tool, which the sentence begins with.

    Raises:
        SystemExit: In place of such an error; the sentence goes to stderr, the status is 1.
    """
    try:
        yield
    except (ValueError, FileNotFoundError) as error:
        if sys.flags.dev_mode or not _is_ours(error):
            raise
        sys.exit(f'{tool}: {error}')
    except (KeyError, TypeError) as error:
        why = explain_build_error(error)
        if sys.flags.dev_mode or why is None:
            raise
        sys.exit(f'{tool}: {why}')


def _is_ours(error: Exception) -> bool:
    place = error.__traceback__
    while place.tb_next:
        place = place.tb_next
    return place.tb_frame.f_globals.get('__name__', '').partition('.')[0] == _PACKAGE
