"""Published weights: state dicts of other projects under the keys of our models.

A source is a table of patterns (one source a file); which one a file is from is told from its keys,
and every key is either renamed or named as dropped, with the reason.
"""

from .loading import SOURCES, Report, convert, describe, fit
from .reading import read_weights, unwrap

__all__ = ['SOURCES', 'Report', 'convert', 'describe', 'fit', 'read_weights', 'unwrap']
