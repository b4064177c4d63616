import mmseg_deeplabv3x  # noqa: F401  (before any test imports mmseg: it makes mmseg importable)
