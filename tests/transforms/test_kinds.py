from __future__ import annotations

import mmcv.transforms
import mmseg.datasets.transforms
import pytest
from mmcv.transforms import Resize
from mmseg.registry import TRANSFORMS

from mmseg_deeplabv3x.transforms import LoadCheckedAnnotations, LoadCheckedImage
from mmseg_deeplabv3x.transforms.kinds import (
    IMAGE_LOADERS,
    LABEL_LOADERS,
    builds_one_of,
    replace_steps,
)


@pytest.mark.parametrize(
    'kind',
    [
        'LoadAnnotations',
        'mmseg.LoadAnnotations',
        'mmcv.LoadAnnotations',
        'LoadCheckedAnnotations',
        'LoadBiomedicalAnnotation',
        mmcv.transforms.LoadAnnotations,
        mmseg.datasets.transforms.LoadAnnotations,
        LoadCheckedAnnotations,
    ],
)
def test_what_loads_labels_is_known_by_any_name(kind):
    assert builds_one_of(dict(type=kind), LABEL_LOADERS)


def test_a_subclass_of_the_users_own_counts():
    @TRANSFORMS.register_module()
    class MyLabels(mmseg.datasets.transforms.LoadAnnotations):
        pass

    try:
        assert builds_one_of(dict(type='MyLabels'), LABEL_LOADERS)
        assert builds_one_of(dict(type=MyLabels), LABEL_LOADERS)
    finally:
        TRANSFORMS.module_dict.pop('MyLabels')


@pytest.mark.parametrize('kind', ['LoadImageFromFile', 'PackSegInputs', 'NobodysTransform', Resize])
def test_others_are_not(kind):
    assert not builds_one_of(dict(type=kind), LABEL_LOADERS)


@pytest.mark.parametrize(
    'kind',
    ['LoadImageFromFile', 'mmcv.LoadImageFromFile', LoadCheckedImage, 'LoadImageFromNDArray'],
)
def test_what_loads_images_is_known_by_its_class(kind):
    assert builds_one_of(dict(type=kind), IMAGE_LOADERS)
    assert not builds_one_of(dict(type='PackSegInputs'), IMAGE_LOADERS)


def test_steps_are_replaced_wherever_they_are():
    """Within lists of steps, and within transforms that hold several or, as mmcv's, one."""
    pipeline = [
        dict(type='A'),
        dict(type='Several', transforms=[[dict(type='A'), dict(type='B')], [dict(type='C')]]),
        dict(type='RandomApply', transforms=dict(type='A'), prob=0.5),
    ]

    def replace(step):
        return None if step['type'] == 'C' else dict(type=step['type'].lower())

    assert replace_steps(pipeline, replace) == [
        dict(type='a'),
        dict(type='Several', transforms=[[dict(type='a'), dict(type='b')]]),
        dict(type='RandomApply', transforms=[dict(type='a')], prob=0.5),
    ]
