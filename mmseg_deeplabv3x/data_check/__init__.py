"""Finds out whether a data set is fit to train on, before a run costs time."""

from .full import check_data
from .start import check_before_testing, check_before_training

__all__ = ['check_before_testing', 'check_before_training', 'check_data']
