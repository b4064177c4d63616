"""Finds out whether a dataset is fit to train on, before a run costs time."""

from .report import check_data
from .start_check import check_before_testing, check_before_training
