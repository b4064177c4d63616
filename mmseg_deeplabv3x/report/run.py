"""What a training left in its work dir."""

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

_LINE = re.compile(r'^  (\w+) +(\S.*)$', re.MULTILINE)  # of the screen at the start of a training
_FACT = re.compile(r'^ +(PyTorch|MMEngine|Python|seed): (.+)$', re.MULTILINE)
_TIME = re.compile(r'^(\d{4}/\d\d/\d\d \d\d:\d\d:\d\d) - mmengine', re.MULTILINE)


@dataclass(frozen=True)
class Run:
    """A training."""

    name: str  # to call it by
    work_dir: Path
    checkpoint: Path | None  # the newest of the best, else the newest
    scalars: dict[str, tuple[list[int], list[float]]]  # iterations and values of 'loss', 'lr', ...
    setup: dict[str, str]  # what its log said at the start: config, data, model, device, ...


def read_runs(work_dirs: Sequence[str]) -> list[Run]:
    """Read work dirs; the runs have the names of the folders, or their paths if some are the same.

    Raises:
        FileNotFoundError: If a folder is not there, or no training has logged into it.
    """
    names = [Path(work_dir).resolve().name for work_dir in work_dirs]
    if len(set(names)) < len(names):
        names = work_dirs
    return [_read_run(*pair) for pair in zip(names, map(Path, work_dirs))]


def _read_run(name: str, work_dir: Path) -> Run:
    logs = sorted(work_dir.glob('*/vis_data/scalars.json'))
    if not logs:
        raise FileNotFoundError(
            f'{work_dir} is no work dir of a training: it has no <time>/vis_data/scalars.json.'
        )
    series: dict[str, dict[int, float]] = {}
    for log in logs:
        started = False
        for line in log.read_text().splitlines():
            try:
                values = json.loads(line)
            except ValueError:  # the last line of a killed training
                continue
            step = values.pop('step', None) or values.get('iter')
            if step is None:
                continue
            if 'loss' in values and not started:  # resumed or begun anew: what came later is void
                started = True
                series = {k: {s: v for s, v in x.items() if s < step} for k, x in series.items()}
            for scalar, value in values.items():
                if isinstance(value, (int, float)):
                    series.setdefault(scalar, {})[step] = value
    scalars = {
        k: tuple(map(list, zip(*sorted(points.items())))) for k, points in series.items() if points
    }
    setup, time = {}, timedelta()
    for log in sorted(work_dir.glob('*/*.log')):
        text = log.read_text(errors='replace')
        found = dict(_LINE.findall(text[text.find('\n  Config ') :].partition('\n\n')[0]))
        if 'Schedule' not in found:  # an evaluation, or what never began
            continue
        times = [datetime.strptime(at, '%Y/%m/%d %H:%M:%S') for at in _TIME.findall(text)]
        time += times[-1] - times[0]
        setup = dict(found, **dict(_FACT.findall(text)), Time=str(time))
    checkpoints = [*work_dir.glob('best_*.pth')] or [*work_dir.glob('*.pth')]
    newest = max(checkpoints, key=lambda path: path.stat().st_mtime, default=None)
    return Run(name, work_dir, newest, scalars, setup)
