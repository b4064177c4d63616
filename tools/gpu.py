"""All that waits for a GPU, in calls of some minutes: tests, benchmarks, one training, the table.

``make gpu`` calls it; call it again until it says that all is done. Each part writes its JSON into
work_dirs/gpu/ and is passed over once that is there; the training goes on from its checkpoint.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import torch
from benchmarks.interleaved import device

from mmseg_deeplabv3x.files import write_file

CHECKOUT = Path(__file__).parents[1]
DOCS = CHECKOUT / 'docs/benchmarks.md'
MARKS = '<!-- make gpu: begin -->', '<!-- make gpu: end -->'
_GRACE_SECONDS = 60  # for a child to save what it has


class Part(NamedTuple):
    """One program to run.

    Attributes:
        title: What it does, for people.
        argv: Its command line after the interpreter; ``{json}`` and ``{folder}`` are filled in.
    """

    title: str
    argv: Sequence[str]


def parts(rehearse: bool) -> dict[str, Part]:
    """What is to be done, by name, in turn; the shortest first.

    Args:
        rehearse: At a size that a CPU does in minutes.
    """

    def benchmark(subject, *argv):
        return Part(f'benchmark.py {subject}', ['tools/benchmark.py', subject, *argv])

    to_json = ['--json', '{json}']
    train = ['--depth', '101', '--crop', '513', '--batch-size', '16', '--rounds', '10', '--compile']
    model = ['--depth', '101', '--rounds', '20']
    loader, evaluate = ['--workers', '0', '4', '8'], []
    schedule = ['train_cfg.max_iters=4000', 'train_cfg.val_interval=1000']
    schedule += ['model.backbone.base_channels=64', 'model.decode_head.in_channels=512']
    if rehearse:
        train = ['--depth', '18', '--crop', '33', '--rounds', '1']
        model = ['--depth', '18', '--size', '65', '--rounds', '1', '--no-compile']
        loader = ['--workers', '0', '--batches', '2', '--rounds', '1']
        evaluate = ['--images', '5', '--rounds', '1']
        schedule = ['train_cfg.max_iters=2', 'train_cfg.val_interval=2']
        schedule += ['train_dataloader.num_workers=0', 'model.backbone.base_channels=8']
        schedule += ['model.decode_head.in_channels=64']
    config = 'configs/deeplabv3x_r18_os16_shapes.py'
    rounds = ['--rounds', '1'] if rehearse else []
    return dict(
        tests=Part('Tests', ['-m', 'pytest', '-q', 'tests/test_gpu.py', 'tests/test_fake_cuda.py']),
        loss=benchmark('loss', *to_json, *rounds),
        train=benchmark('train', *train, '--output-stride', '16', '--amp', *to_json),
        predict_16=benchmark('model', *model, '--output-stride', '16', *to_json),
        predict_8=benchmark('model', *model, '--output-stride', '8', *to_json),
        loader=benchmark('loader', *loader, *to_json),
        data=Part('make_shapes.py', ['tools/make_shapes.py']),
        evaluate=benchmark('evaluate', '--config', config, *evaluate, *to_json),
        training=Part(
            'A training on Shapes, ResNet-18 at full width',
            ['tools/train.py', config, '--amp', '--resume', '--work-dir', '{folder}/training']
            + ['--cfg-options', *schedule],
        ),
    )


def main(argv: Sequence[str] | None = None) -> int:
    """Run parts until the time is up, and write down what is there.

    Args:
        argv: The arguments. Default: those of the process.

    Returns:
        Exit status: 0 if nothing failed, though parts may be left.
    """
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--minutes', type=float, default=9, help='of this call (default: 9)')
    parser.add_argument(
        '--rehearse',
        action='store_true',
        help='on a CPU at small size, into work_dirs/gpu_rehearsal/; docs stay as they are',
    )
    args = parser.parse_args(argv)
    os.chdir(CHECKOUT)
    if not args.rehearse and not torch.cuda.is_available():
        sys.exit('gpu.py: PyTorch sees no GPU here; on a CPU there is make gpu REHEARSE=1.')
    folder = Path('work_dirs/gpu_rehearsal' if args.rehearse else 'work_dirs/gpu')
    folder.mkdir(parents=True, exist_ok=True)
    todo = parts(args.rehearse)
    failed = run_parts(todo, folder, args.minutes)
    docs = DOCS
    if args.rehearse:
        docs = folder / DOCS.name
        shutil.copy(DOCS, docs)
    left = write_results(todo, folder, docs)
    print(f'{len(todo) - len(left)} of {len(todo)} parts are done: {folder}/gpu.json, {docs}')
    if left:
        print(f'Left: {", ".join(left)}. Call it again.')
    return 1 if failed else 0


def run_parts(todo: dict[str, Part], folder: Path, minutes: float) -> list[str]:
    """Run what is not there yet, until the time is up.

    A part for which the time was too short starts anew in the next call, the training excepted,
    which goes on. What needs more than a whole call is written down as failed.

    Args:
        todo: By name.
        folder: Of the results.
        minutes: Until a part is stopped and the others are left.

    Returns:
        Names of those that failed.
    """
    deadline, failed, first = time.monotonic() + 60 * minutes, [], True
    for name, part in todo.items():
        file, own = folder / f'{name}.json', folder / f'{name}.own.json'
        if file.exists():
            continue
        print(f'{part.title}: {name}', flush=True)
        argv = [word.format(json=own, folder=folder) for word in part.argv]
        start = time.monotonic()
        status, output = _run(argv, deadline)
        (folder / f'{name}.txt').write_text(output)
        record = dict(command=' '.join(argv), device=device(), torch=torch.__version__)
        record.update(status=status, seconds=time.monotonic() - start)
        if status is None:
            if not first or name == 'training':
                break
            record['status'] = f'stopped after {minutes:g} minutes'
        if status != 0:
            failed.append(name)
            print(f'{name} failed, see {folder}/{name}.txt:\n{output[-600:]}', file=sys.stderr)
        if status in (0, None):
            record['output'] = output
            record['numbers'] = json.loads(own.read_text()) if own.exists() else None
            write_file(file, json.dumps(record, indent=1) + '\n')
        first = False
    return failed


def write_results(todo: dict[str, Part], folder: Path, docs: Path) -> list[str]:
    """Put the results of all parts into ``gpu.json``, and their tables into a page of the docs.

    Args:
        todo: By name.
        folder: Of the results.
        docs: The page; what stands between its marks is replaced.

    Returns:
        Names of the parts that are not there.

    Raises:
        ValueError: If the page has no marks.
    """
    files = {name: folder / f'{name}.json' for name in todo}
    results = {name: json.loads(f.read_text()) for name, f in files.items() if f.exists()}
    write_file(folder / 'gpu.json', json.dumps(results, indent=1) + '\n')
    text = docs.read_text()
    before, begin, rest = text.partition(MARKS[0])
    _, end, after = rest.partition(MARKS[1])
    if not begin or not end:
        raise ValueError(f'{docs} has no lines {" and ".join(MARKS)}.')
    sections = [
        f'    python {result["command"]}\n\n{_shown(result)}'
        for result in results.values()
        if 'output' in result
    ]
    write_file(docs, '\n\n'.join([before + begin, *sections, end + after]))
    return [name for name in todo if name not in results]


def _shown(result):
    if result['status'] != 0:
        return str(result['status'])
    lines = result['output'].strip().splitlines()
    if 'benchmark.py' in result['command']:
        return '\n'.join(lines)
    return '\n'.join(f'    {line[:200]}' for line in lines[-16:])


def _run(argv, deadline):
    """Exit status, None if the time was up, and what was printed; a bar of progress is seen."""
    command = [sys.executable, *argv]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as child:
        try:
            output, _ = child.communicate(timeout=max(deadline - time.monotonic(), 1))
            return child.returncode, output
        except subprocess.TimeoutExpired:
            child.terminate()  # what saves, saves
        try:
            return None, child.communicate(timeout=_GRACE_SECONDS)[0]
        except subprocess.TimeoutExpired:
            child.kill()
            return None, child.communicate()[0]


if __name__ == '__main__':
    sys.exit(main())
