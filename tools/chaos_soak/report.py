"""What the faults cost, in Markdown."""

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

from common.markdown_table import markdown_table


@dataclass
class Outcome:
    """What came of a fault.

    Attributes:
        fault: Its name, a row of the table.
        kill: Whether it was a ``kill -9``.
        survived: Whether the training went on as it should.
        iterations: How many were done and had to be done again; None where the process lived on.
        seconds: For those iterations and the next start, up to its first iteration or its own end.
    """

    fault: str
    kill: bool = False
    survived: bool = False
    iterations: int | None = None
    seconds: float | None = None


def report(
    command: str,
    outcomes: Sequence[Outcome],
    half_written: int,
    seconds: Sequence[float],
    verdict: str,
) -> str:
    """The whole report.

    Args:
        command: What was run.
        outcomes: All that was tried.
        half_written: How many kills left the file of a checkpoint half written.
        seconds: Of the undisturbed training and of the other, as far as they
            came to their end.
        verdict: How it ended.

    Returns:
        Markdown.
    """
    kills = sum(outcome.kill for outcome in outcomes)
    took = ', '.join(
        f'{name} {value:.0f} s' for name, value in zip(('undisturbed', 'with faults'), seconds)
    )
    return (
        f'`python {command}`: {len(outcomes)} faults. {kills} were kills, {half_written} of which '
        f'left a half-written file. Training took: {took}.\n\n{table(outcomes)}\n\n{verdict}\n'
    )


def verdict_on(different: Sequence[str]) -> str:
    """One sentence on what differs between the results.

    Args:
        different: Names, as of :func:`.compare.differences`.
    """
    if not different:
        return (
            'Weights, optimizer state, schedule and iteration are those of the undisturbed '
            'training, bit by bit: **yes**.'
        )
    return (
        'Weights, optimizer state, schedule and iteration are those of the undisturbed training, '
        f'bit by bit: **no**, {len(different)} differ, such as {", ".join(different[:5])}.'
    )


def table(outcomes: Sequence[Outcome]) -> str:
    """A row for each fault, and one for all kills.

    Args:
        outcomes: All that was tried.

    Returns:
        A table in Markdown.
    """
    rows = [
        _row(fault, [outcome for outcome in outcomes if outcome.fault == fault])
        for fault in sorted({outcome.fault for outcome in outcomes})
    ]
    rows.append(_row('all kills', [outcome for outcome in outcomes if outcome.kill]))
    lost = [f'{what} lost (median, worst)' for what in ('iterations', 'seconds')]
    return markdown_table(['fault', 'tried', 'survived', *lost], rows)


def _row(name: str, outcomes: Sequence[Outcome]) -> list[str]:
    survived = sum(outcome.survived for outcome in outcomes)
    known = [outcome for outcome in outcomes if outcome.iterations is not None]
    cells = [name, str(len(outcomes)), str(survived)]
    for attribute, digits in (('iterations', 0), ('seconds', 1)):
        values = [getattr(outcome, attribute) for outcome in known]
        cells.append(f'{median(values):.{digits}f}, {max(values):.{digits}f}' if values else '-')
    return cells
