"""The configs and tools that come with the package: in its wheel, or in its checkout."""

from pathlib import Path


def shipped(name: str) -> Path:
    """The folder ``configs`` or ``tools``."""
    package = Path(__file__).resolve().parents[1]
    folder = package / '.mim'  # as in mmseg's wheel: setup.py
    return (folder if folder.is_dir() else package.parent) / name


def shipped_config(name: str) -> Path:
    """The file of a config that is named as in ``deeplabv3x_r101_os8_voc``; it may not be there."""
    return shipped('configs') / f'{name.removesuffix(".py")}.py'
