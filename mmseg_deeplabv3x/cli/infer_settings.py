"""What made the results in a folder of ``tools/infer.py``: ``--resume`` mixes no two models."""

import argparse
import hashlib
import json
from pathlib import Path

from mmengine.config import Config

from ..files import write_file


def keep_settings(args: argparse.Namespace) -> None:
    """Note in ``OUT/settings.json`` what results hang on, beside what is there already.

    What changes rounding only, as ``--fast`` does, is left out. Results of an earlier version,
    without such a file, are taken as they are.

    Raises:
        ValueError: If ``--resume`` would go on with results of something else.
    """
    path, now = args.out / 'settings.json', _settings(args)
    try:
        kept = [dict(was) for was in json.loads(path.read_text())] if path.is_file() else []
    except (ValueError, TypeError) as error:
        raise ValueError(
            f'{path} does not say what made the results there ({error}): move it away, or name '
            'another folder with -o.'
        ) from error
    for was in kept if args.resume else ():
        differ = [f'{k} was {was.get(k)}, now {v}' for k, v in now.items() if was.get(k) != v]
        if differ:
            raise ValueError(
                f'--resume: results in {args.out} were made with other settings: '
                f'{"; ".join(differ)}. Give the same ones, or name another folder with -o.'
            )
    if now not in kept:
        write_file(path, json.dumps([*kept, now], indent=1))


def _settings(args: argparse.Namespace) -> dict[str, str]:
    config = Config.fromfile(args.config).pretty_text.encode() if args.config else b''
    settings = dict(
        checkpoint=_content(args.checkpoint),
        config=hashlib.sha256(config).hexdigest()[:16] if config else 'of the checkpoint',
    )
    names = ('tta', 'output_stride', 'slide', 'precision')
    return settings | {name: str(getattr(args, name)) for name in names}


def _content(checkpoint: str) -> str:
    """The same for the same bytes, wherever they are."""
    path = Path(checkpoint)
    if not path.is_file():  # an address
        return checkpoint
    content = hashlib.sha256()
    for file in (path, path.with_suffix('.bin')) if path.suffix == '.xml' else (path,):
        content.update(file.read_bytes())  # file_digest needs Python 3.11
    return content.hexdigest()[:16]
