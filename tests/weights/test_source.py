import pytest
import torch

from mmseg_deeplabv3x.weights import SOURCES
from mmseg_deeplabv3x.weights.source import UNKNOWN, Drop, Source, by_stage


def test_module_is_renamed_and_the_last_part_stays():
    source = Source('', {r'in.(\d)': r'backbone.\1'})
    assert source.rename(['in.1.weight', 'in.2.running_var']) == {
        'in.1.weight': 'backbone.1.weight',
        'in.2.running_var': 'backbone.2.running_var',
    }


def test_first_rule_that_matches_the_whole_module_counts():
    source = Source('', {'a': 'first', 'a|b': 'second'})
    assert source.rename(['a.weight', 'b.weight', 'ab.weight']) == {
        'a.weight': 'first.weight',
        'b.weight': 'second.weight',
        'ab.weight': UNKNOWN,
    }


def test_dot_of_a_pattern_is_a_dot():
    assert Source('', {'a.b': 'c'}).rename(['axb.weight']) == {'axb.weight': UNKNOWN}


def test_dropped_by_module_or_by_last_part():
    gone, slot = Drop('gone'), Drop('slot')
    source = Source('', {'a': gone, 'b': 'c'}, last={'Adam': slot, 'w': 'weight'})
    assert source.rename(['a/w', 'b/w', 'b/w/Adam']) == {
        'a/w': gone, 'b/w': 'c.weight', 'b/w/Adam': slot,
    }  # fmt: skip


def test_units_are_counted_anew():
    source = Source('', {r'unit(?P<unit>\d+)': 'UNIT'}, units=by_stage(1, 2))
    assert source.rename([f'unit{number}.weight' for number in range(4)]) == {
        'unit0.weight': '0.0.weight',
        'unit1.weight': '1.0.weight',
        'unit2.weight': '1.1.weight',
        'unit3.weight': UNKNOWN,
    }


def test_moving_average_is_taken_in_place_of_the_weight():
    source = Source('', {'[ab]': 'ours'}, average='/average')
    renamed = source.rename(['a/w', 'a/w/average', 'b/w'])
    assert renamed['a/w'].reason == 'its moving average is taken'
    assert (renamed['a/w/average'], renamed['b/w']) == ('ours.w', 'ours.w')


@pytest.mark.parametrize('source', SOURCES, ids=lambda source: source.name)
def test_every_rule_leads_to_a_part_of_the_segmentor(source):
    parts = ('backbone.', 'decode_head.', 'auxiliary_head.', r'\1')
    assert all(isinstance(ours, Drop) or ours.startswith(parts) for ours in source.rules.values())


@pytest.mark.parametrize('source', SOURCES, ids=lambda source: source.name)
def test_values_are_only_moved(source):
    for key, shape in {
        'backbone.stem.0.weight': (3, 3, 2, 4),
        'backbone.blocks.0.0.conv_dw.weight': (3, 3, 4, 1),
        'decode_head.bottleneck.conv.weight': (2, 10, 1, 1),
        'backbone.bn1.weight': (5,),
    }.items():
        tensor = torch.randn(shape)
        moved = source.value(key, tensor)
        assert torch.equal(moved.flatten().sort().values, tensor.flatten().sort().values)
