"""``tools/report.py``: a page about a finished training."""

import argparse
import importlib.util
import sys
from collections.abc import Sequence
from pathlib import Path

import torch

from ..files import write_file
from ..report.evaluation import Evaluation, evaluate
from ..report.run import Run, read_runs
from .arguments import as_typed, examples
from .messages import install_messages
from .user_errors import exit_on_user_error


def main(argv: Sequence[str] | None = None) -> None:
    """Write the report of one or several trainings.

    Args:
        argv: The arguments. Default: those of the process.
    """
    parser = argparse.ArgumentParser(
        description='Write WORK_DIR/report.html, one page that works without a network: curves, '
        'scores of each class, what is confused, and pictures that show it.',
        **examples('work_dirs/my', 'work_dirs/seed0 work_dirs/seed1 work_dirs/seed2'),
    )
    parser.add_argument('work_dir', help='work dir of a training')
    parser.add_argument('others', nargs='*', help='work dirs to show beside it')
    parser.add_argument('--device', help='to evaluate on (default: a GPU, else the CPU)')
    args = parser.parse_args(argv)
    install_messages()
    with exit_on_user_error(parser.prog):
        print(f'Report: {write_report([args.work_dir, *args.others], args.device)}')


def write_report(work_dirs: Sequence[str], device: str | None = None) -> Path:
    """Evaluate what is to be evaluated, and write the page into the first work dir.

    Args:
        work_dirs: Of trainings.
        device: To evaluate on, as of PyTorch. Default: a GPU, else the CPU.

    Returns:
        The file.

    Raises:
        FileNotFoundError: If a folder is not there, or no training has logged into it.
        ValueError: If plotly is not installed.
    """
    check_plotly()
    from ..report.page import page

    device = device or ('cuda' if torch.cuda.is_available() else 'cpu')
    runs, notes = read_runs(work_dirs), []
    found = [_evaluation(run, device, notes) for run in runs]
    print(*notes, sep='\n', end='\n' * bool(notes))
    file = runs[0].work_dir / 'report.html'
    write_file(file, page(runs, found, notes))
    return file


def check_plotly() -> None:
    """Say what is missing before the work, not after it.

    Raises:
        ValueError: If plotly is not installed.
    """
    if importlib.util.find_spec('plotly') is None:
        raise ValueError('A report is drawn by plotly, which is missing: `pip install plotly`.')


def _evaluation(run: Run, device: str, notes: list[str]) -> Evaluation | None:
    if run.checkpoint is None:
        notes.append(f'{run.name} has no checkpoint: no pictures, only what its log says.')
        return None
    try:
        return evaluate(run.checkpoint, device)
    except (FileNotFoundError, ValueError) as error:  # no data, or a checkpoint that is refused
        why = as_typed(sys.argv[0], str(error))
        notes.append(f'{run.name} is shown without pictures: {why}')
        return None
