"""The paper's tables, row by row: ``python tools/paper.py --help`` lists the commands."""

from paper_tables.cli import main

if __name__ == '__main__':
    main()
