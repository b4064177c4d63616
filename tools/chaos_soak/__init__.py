"""The logic of ``tools/chaos.py``: a training under seeded faults ends as the undisturbed one."""
