from __future__ import annotations

import argparse

import torch

from mmseg_deeplabv3x.benchmarks import loss


def test_a_row_for_each_size_with_and_without_accuracy(monkeypatch):
    monkeypatch.setattr(loss, 'SIZES', [(1, 3, 5, 33), (2, 4, 3, 9)])
    parser = argparse.ArgumentParser()
    loss.add_arguments(parser)
    table = loss.run(parser.parse_args(['--rounds', '2'])).splitlines()
    assert len(table) == 2 + 4
    assert table[2].startswith('| 1x3x5² -> 33² | no |')
    assert table[5].startswith('| 2x4x3² -> 9² | yes |')
    assert len({row.count('|') for row in table}) == 1


def test_a_third_way_has_columns_too(monkeypatch):
    """As the Triton kernel on a GPU."""
    monkeypatch.setattr(loss, 'SIZES', [(1, 3, 5, 33)])
    ways = {'whole map': loss._whole, 'tiles': loss._tiles, 'third': loss._tiles}
    monkeypatch.setattr(loss, '_ways', lambda: ways)
    header, line, *rows = loss.run(argparse.Namespace(rounds=1)).splitlines()
    names = header.strip('| ').split(' | ')
    assert names[5:7] == ['third, ms', 'faster'] and names[-2:] == ['third, MiB', 'less']
    assert {row.count('|') for row in [line, *rows]} == {header.count('|')}
    last = rows[-1].strip('| ').split(' | ')
    assert last[-2:] == last[-4:-2]  # the third way is the second: the same memory


def test_both_ways_give_the_same_loss():
    torch.manual_seed(0)
    logits, labels = torch.randn(2, 3, 5, 5), torch.randint(3, (2, 17, 17))
    labels[0] = loss.IGNORED
    for with_accuracy in (False, True):
        whole, tiles = (way(logits, labels, with_accuracy) for way in (loss._whole, loss._tiles))
        assert torch.allclose(whole, tiles)
