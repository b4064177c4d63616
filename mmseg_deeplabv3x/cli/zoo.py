"""mmseg's published DeepLabV3 by a short name: a first mask without a training."""

import os
import re

import torch
from mmengine.config import Config
from mmengine.hub import get_config

# Backbone and dataset -> mmseg's own config, whose record names the weights and their hash.
ZOO = {
    'r50-voc': 'deeplabv3/deeplabv3_r50-d8_4xb4-40k_voc12aug-512x512.py',
    'r101-voc': 'deeplabv3/deeplabv3_r101-d8_4xb4-40k_voc12aug-512x512.py',
    'r101-cityscapes': 'deeplabv3/deeplabv3_r101-d8_4xb2-80k_cityscapes-512x1024.py',
    'r101-ade20k': 'deeplabv3/deeplabv3_r101-d8_4xb4-160k_ade20k-512x512.py',
}


def from_zoo(name: str) -> tuple[Config, str]:
    """The config of a published model, a key of ``ZOO``, and its weights; downloaded once.

    The bytes of the weights have the hash in the file's name.
    """
    config = get_config(f'mmseg::{ZOO[name]}', pretrained=True)
    url = config.model_path
    path = os.path.join(torch.hub.get_dir(), 'checkpoints', os.path.basename(url))
    if not os.path.isfile(path):
        os.makedirs(os.path.dirname(path), exist_ok=True)
        (hash_prefix,) = re.findall(r'-([0-9a-f]{8})\.pth$', path)
        try:
            # written aside, compared with the hash, renamed
            torch.hub.download_url_to_file(url, path, hash_prefix)
        except OSError as error:
            raise FileNotFoundError(
                f'{url} cannot be downloaded ({error}): download it to {path}.'
            ) from error
        except RuntimeError as error:  # of the hash
            raise ValueError(f'{url} is not what its name says: {error}.') from error
    return config, path
