"""The paper's tables as experiments: rows as data, their configs, runs and comparison.

Nothing else imports this package; ``tools/paper.py`` is its command line.
"""

from .rows import REFERENCES, ROWS, Row, find_rows

__all__ = ['REFERENCES', 'ROWS', 'Row', 'find_rows']
