"""The rows of the paper's tables as data."""

from .rows import REFERENCES, ROWS, Row, find_rows
