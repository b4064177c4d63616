"""The logic of ``tools/paper.py``: the paper's rows as configs, runs and a comparison."""
