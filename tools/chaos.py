"""Kill a training, damage its files, fill its disk: does it end as if nothing had happened?"""

from pathlib import Path

from chaos_soak.cli import main

if __name__ == '__main__':
    main(Path(__file__).resolve().parents[1])
