"""What setup.cfg cannot say: the wheel holds the configs and tools.

They lie under ``mmseg_deeplabv3x/.mim``, as those of mmseg do, where ``mim`` looks for them.
"""

import shutil
from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py

ROOT = Path(__file__).parent


class BuildWithConfigs(build_py):
    """Copies configs, tools and the index of models beside the modules."""

    def run(self):
        """Build, then copy."""
        super().run()
        if self.editable_mode:  # the checkout is used where it lies
            return
        mim = Path(self.build_lib, 'mmseg_deeplabv3x', '.mim')
        shutil.rmtree(mim, ignore_errors=True)
        for name in ('configs', 'tools'):
            ignore = shutil.ignore_patterns('__pycache__')
            shutil.copytree(ROOT / name, mim / name, ignore=ignore)
        shutil.copy(ROOT / 'model-index.yml', mim)


setup(cmdclass=dict(build_py=BuildWithConfigs))
