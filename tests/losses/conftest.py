"""A small head, and what it is trained on."""

import pytest
import torch
from mmengine.registry import init_default_scope
from mmengine.structures import PixelData
from mmseg.registry import MODELS
from mmseg.structures import SegDataSample


@pytest.fixture
def build():
    """Build a head; the same weights each time."""

    def build(**cfg):
        init_default_scope('mmseg')
        if cfg['type'] == 'ImagePoolASPPHead':
            cfg.setdefault('output_stride', 8)  # that of the logits in `batch`
        torch.manual_seed(0)
        return MODELS.build({**dict(in_channels=8, channels=8, num_classes=5), **cfg})

    return build


@pytest.fixture
def batch():
    """Logits, (2, 5, 9, 7), and samples with labels of 65x49, a quarter of them ignored."""
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(2, 5, 9, 7, generator=generator)
    labels = torch.randint(5, (2, 1, 65, 49), generator=generator)
    labels[torch.rand(labels.shape, generator=generator) < 0.25] = 255
    samples = [SegDataSample(gt_sem_seg=PixelData(data=label)) for label in labels]
    return logits, samples
