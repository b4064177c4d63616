"""Finds out whether a dataset is fit to train on, before a run costs time."""

from .full_check import check_data
from .start_check import check_before_testing, check_before_training

__all__ = ['check_before_testing', 'check_before_training', 'check_data']
