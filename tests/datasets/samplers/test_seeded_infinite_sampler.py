import copy
import pickle
import random
from itertools import islice

import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.dataset import BaseDataset, InfiniteSampler, RepeatDataset
from mmengine.registry import DefaultScope
from mmengine.runner import Runner
from torch.utils.data import DataLoader

from mmseg_deeplabv3x.datasets import SeededInfiniteSampler

SIZE = 5


class Draws(BaseDataset):
    """Each sample is its index and three random numbers."""

    def __init__(self):
        super().__init__(serialize_data=False)  # which would collect garbage, for a second

    def load_data_list(self):
        return [{} for _ in range(SIZE)]

    def prepare_data(self, index):
        return index, random.random(), np.random.random(), torch.rand(()).item()


def samples(count, num_workers=0, dataset=None, **arguments):
    """The first samples of a loader, (count, 4)."""
    dataset = Draws() if dataset is None else dataset
    sampler = SeededInfiniteSampler(dataset, **dict(dict(seed=1), **arguments))
    loader = DataLoader(
        dataset, batch_size=2, sampler=sampler, num_workers=num_workers, collate_fn=np.array
    )
    return np.concatenate(list(islice(loader, -(-count // 2))))[:count]


@pytest.fixture
def as_rank(monkeypatch):
    def rank_of(rank, world_size):
        monkeypatch.setattr('mmengine.dataset.sampler.get_dist_info', lambda: (rank, world_size))

    return rank_of


@pytest.mark.parametrize('shuffle', [True, False])
@pytest.mark.parametrize('rank', [0, 2])
def test_order_is_the_frameworks(shuffle, rank, as_rank):
    as_rank(rank, 3)
    ours, theirs = (
        list(islice(kind(Draws(), shuffle=shuffle, seed=4), 40))
        for kind in (SeededInfiniteSampler, InfiniteSampler)
    )
    assert ours == theirs


@pytest.mark.parametrize('num_workers', [1, 4])
def test_any_number_of_workers_makes_the_same_samples(num_workers):
    assert np.array_equal(samples(20, num_workers), samples(20))


def test_what_was_drawn_before_does_not_matter():
    expected = samples(6)
    random.random(), np.random.random(7), torch.rand(9)
    assert np.array_equal(samples(6), expected)


def test_random_numbers_differ_between_samples_passes_and_seeds():
    found = np.concatenate([samples(4 * SIZE), samples(4 * SIZE, seed=2)])
    for column in found.T[1:]:
        assert len(np.unique(column)) == len(found)


def test_random_numbers_belong_to_pass_and_index_not_to_the_place_in_the_order():
    shuffled, in_order = samples(3 * SIZE), samples(3 * SIZE, shuffle=False)
    for first in range(0, 3 * SIZE, SIZE):
        a, b = (sorted(map(tuple, rows[first : first + SIZE])) for rows in (shuffled, in_order))
        assert a == b


def test_processes_share_out_the_samples_of_one(as_rank):
    together = samples(12)
    for rank in range(3):
        as_rank(rank, 3)
        assert np.array_equal(samples(4), together[rank::3])


def test_a_run_may_start_in_its_middle():
    dataset = Draws()
    sampler = SeededInfiniteSampler(dataset, seed=1)
    sampler.indices = islice(sampler.indices, 8, None)
    loader = DataLoader(dataset, batch_size=2, sampler=sampler, collate_fn=np.array)
    assert np.array_equal(next(iter(loader)), samples(10)[8:])


def test_an_image_that_appears_several_times_in_a_pass_differs_each_time():
    found = samples(6 * SIZE, dataset=RepeatDataset(Draws(), times=3))
    assert np.bincount(found[:, 0].astype(int)).tolist() == [6] * SIZE
    assert len(np.unique(found[:, 2])) == len(found)


def test_without_workers_the_models_random_numbers_are_its_own():
    def draw():
        return random.random(), np.random.random(), torch.rand(()).item()

    dataset = Draws()
    indices = list(islice(SeededInfiniteSampler(dataset, seed=1), 4))
    found = []
    for fetch in (lambda: None, lambda: dataset.__getitems__(indices)):
        for seed in (random.seed, np.random.seed, torch.manual_seed):
            seed(0)
        fetch()
        found.append(draw())
    assert found[0] == found[1]


def test_random_state_returns_after_an_error_too():
    class Broken(Draws):
        def prepare_data(self, index):
            raise OSError('broken')

    np.random.seed(0)
    before = np.random.get_state()[1].copy()
    with pytest.raises(OSError, match='broken'):
        samples(2, dataset=Broken())
    assert np.array_equal(np.random.get_state()[1], before)


def test_other_ways_to_the_data_stay_as_they_are():
    dataset = Draws()
    sampler = SeededInfiniteSampler(dataset, seed=1)
    np.random.seed(0)
    assert dataset[3][2] == np.random.RandomState(0).random_sample()
    plain = DataLoader(dataset, batch_size=SIZE, collate_fn=np.array)
    assert next(iter(plain))[:, 0].tolist() == [0, 1, 2, 3, 4]
    unbatched = DataLoader(dataset, batch_size=None, sampler=sampler, collate_fn=np.array)
    assert next(iter(unbatched)).shape == (4,)


def test_another_loader_of_the_dataset_draws_as_if_there_were_no_sampler():
    drawn = []
    for prepare in (lambda dataset: None, lambda dataset: samples(4, dataset=dataset)):
        dataset = Draws()
        prepare(dataset)
        for seed in (random.seed, np.random.seed, torch.manual_seed):
            seed(0)
        loader = DataLoader(dataset, batch_size=2, collate_fn=np.array, generator=torch.Generator())
        drawn.append(np.concatenate(list(loader)))
    assert np.array_equal(drawn[0], drawn[1])
    for column in drawn[1].T:
        assert len(np.unique(column)) == SIZE


def test_two_samplers_of_one_dataset_know_nothing_of_each_other():
    dataset = Draws()
    first, second = (
        DataLoader(
            dataset,
            batch_size=2,
            sampler=SeededInfiniteSampler(dataset, seed=seed),
            collate_fn=np.array,
        )
        for seed in (1, 2)
    )
    assert np.array_equal(next(iter(first)), samples(2))
    assert np.array_equal(next(iter(second)), samples(2, seed=2))


class Batched(Draws):
    """Tells of each sample that it came by the dataset's own way to a batch."""

    def __getitems__(self, indices):
        return [(*self[index], 'batched') for index in indices]


@pytest.mark.parametrize(
    'transport', [lambda d: d, copy.deepcopy, lambda d: pickle.loads(pickle.dumps(d))]
)
def test_the_datasets_own_way_to_a_batch_is_taken(transport):
    dataset = Batched()
    indices = list(islice(SeededInfiniteSampler(dataset, seed=1), 2))
    dataset = transport(dataset)
    found = dataset.__getitems__(indices)
    assert [sample[-1] for sample in found] == ['batched'] * 2
    assert np.array_equal(np.array([sample[:-1] for sample in found]), samples(2))
    assert [sample[-1] for sample in dataset.__getitems__([0, 1])] == ['batched'] * 2


def test_dataset_and_indices_can_be_sent_to_a_worker():
    dataset = Draws()
    index = next(iter(SeededInfiniteSampler(dataset, seed=1)))
    received, again = pickle.loads(pickle.dumps((dataset, index)))
    assert received.__getitems__([again]) == dataset.__getitems__([index])


def test_a_runners_loader_of_a_bootstrapped_data_set(tiny_config):
    cfg = Config.fromfile(tiny_config('seeded'))
    loader = cfg.train_dataloader
    loader.sampler.type = 'SeededInfiniteSampler'
    loader.dataset.pipeline.insert(2, dict(type='PhotoMetricDistortion'))
    loader.dataset = dict(
        type='BootstrapDataset', times=2, hard_classes=[1, 2, 3], dataset=loader.dataset
    )
    loader.collate_fn = dict(type='default_collate')
    batches = []
    with DefaultScope.overwrite_default_scope('mmseg'):
        for num_workers in (0, 2):
            loader.num_workers = num_workers
            batches.append(list(islice(Runner.build_dataloader(loader, seed=3), 8)))
    for one, other in zip(*batches):
        assert torch.equal(one['inputs'], other['inputs'])
    assert not torch.equal(batches[0][0]['inputs'], batches[0][1]['inputs'])
