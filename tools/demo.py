"""From nothing to pictures in some minutes; ``make demo`` runs it."""

from pathlib import Path

from mmseg_deeplabv3x.demo import main

if __name__ == '__main__':
    main(Path(__file__).resolve().parents[1])
