"""From a download to a dataset that the configs can use: ``tools/prepare_data.py``.

Importing the package does not import this: training needs none of it.
"""
