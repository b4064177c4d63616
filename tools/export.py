"""Write a model for other runtimes: ``python tools/export.py - CHECKPOINT --to onnx -o FILE``."""

from mmseg_deeplabv3x.cli.export import export_model

if __name__ == '__main__':
    export_model()
