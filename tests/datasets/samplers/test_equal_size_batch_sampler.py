import json
import os

import pytest
import torch
from mmengine.config import Config
from mmengine.dataset import BaseDataset, DefaultSampler, InfiniteSampler
from mmengine.runner import Runner
from PIL import Image
from torch.utils.data import SequentialSampler

from mmseg_deeplabv3x.datasets import EqualSizeBatchSampler
from mmseg_deeplabv3x.evaluation import ConfusionIoUMetric

SMALL, LARGE = (8, 6), (10, 6)
TURNED = 6  # EXIF: a quarter turn


class Images(BaseDataset):
    """Given image files."""

    def __init__(self, paths):
        self.paths = [str(path) for path in paths]
        super().__init__(serialize_data=False)

    def load_data_list(self):
        return [dict(img_path=path) for path in self.paths]


@pytest.fixture
def images(tmp_path):
    """Writer of images of given sizes (width, height), turned by EXIF where a third number asks."""

    def write(*sizes):
        paths = []
        for number, (width, height, *turned) in enumerate(sizes):
            exif = Image.Exif()
            if turned:
                exif[0x0112] = turned[0]
            paths.append(tmp_path / f'{number}.jpg')
            Image.new('RGB', (width, height)).save(paths[-1], exif=exif)
        return Images(paths)

    return write


def batches(dataset, batch_size=2, shuffle=False):
    sampler = DefaultSampler(dataset, shuffle=shuffle, seed=0)
    return EqualSizeBatchSampler(sampler, batch_size)


def test_images_of_one_size_come_together(images):
    sampler = batches(images(SMALL, LARGE, SMALL, SMALL, LARGE, LARGE))
    assert list(sampler) == [[0, 2], [3], [1, 4], [5]]
    assert len(sampler) == 4
    assert list(sampler) == list(sampler), 'the same order each time'


def test_with_one_image_a_batch_the_order_is_the_samplers(images):
    assert list(batches(images(SMALL, LARGE, SMALL), batch_size=1)) == [[0], [1], [2]]


def test_a_shuffled_sampler_keeps_its_passes(images):
    sampler = batches(images(*[SMALL, LARGE] * 8), batch_size=3, shuffle=True)
    first = list(sampler)
    sampler.sampler.set_epoch(1)  # as DistSamplerSeedHook does
    second = list(sampler)
    assert first != second
    for found in (first, second):
        assert sorted(sum(found, [])) == list(range(16))
        assert all(len({index % 2 for index in batch}) == 1 for batch in found)


def test_an_image_that_is_turned_on_loading_has_another_size(images):
    dataset = images(SMALL, (*SMALL, TURNED), SMALL, (*SMALL, TURNED))
    assert list(batches(dataset)) == [[0, 2], [1, 3]]


def test_what_cannot_be_read_is_left_to_the_loader(images, tmp_path):
    dataset = images(SMALL, SMALL)
    (tmp_path / 'no.jpg').write_bytes(b'none')
    os.mkfifo(tmp_path / 'pipe.jpg')
    strange = [tmp_path / name for name in ('no.jpg', 'missing.jpg', 'pipe.jpg')]
    dataset = Images([*strange, *dataset.paths])
    assert list(batches(dataset)) == [[0], [1], [2], [3, 4]]


def test_no_header_is_read_twice(images):
    dataset = images(SMALL, LARGE, SMALL)
    sampler = batches(dataset)
    assert len(sampler) == 2
    for path in dataset.paths:  # which would then be read as one without a size
        os.remove(path)
    assert list(sampler) == [[1], [0, 2]]


@pytest.mark.parametrize(
    'kind, batch_size, message',
    [
        (DefaultSampler, 0, 'batch_size must be at least 1, but got 0'),
        (InfiniteSampler, 2, 'InfiniteSampler never ends'),
        (SequentialSampler, 2, 'SequentialSampler has none'),
    ],
)
def test_arguments_are_checked(images, kind, batch_size, message):
    with pytest.raises(ValueError, match=message):
        EqualSizeBatchSampler(kind(images(SMALL)), batch_size)


def test_a_data_set_without_files():
    with pytest.raises(ValueError, match='list tells no img_path of image 0'):
        list(batches([1, 2]))


SIZES = [SMALL, SMALL, LARGE, LARGE, LARGE, LARGE, SMALL]  # 7 for 2: the second process repeats


def label_maps(index):
    """Labels and predictions of an image, which no other image has."""
    generator = torch.Generator().manual_seed(index)
    width, height = SIZES[index]
    return [torch.randint(3, (1, height, width), generator=generator) for _ in range(2)]


def evaluate(dataset, batch_sampler):
    metric = ConfusionIoUMetric()
    metric.dataset_meta = dict(classes=['a', 'b', 'c'])
    for batch in batch_sampler:
        names = ('gt_sem_seg', 'pred_sem_seg')
        metric.process({}, [
            dict(zip(names, (dict(data=ids) for ids in label_maps(i))),
                 img_path=dataset.paths[i])
            for i in batch
        ])  # fmt: skip
    return metric.evaluate(len(dataset))


def _rank(rank, root, dataset):
    torch.distributed.init_process_group(
        'gloo', init_method=f'file://{root}/store', rank=rank, world_size=2
    )
    sampler = batches(dataset)
    scores = evaluate(dataset, sampler)
    (root / f'{rank}.json').write_text(json.dumps([list(sampler), scores]))
    torch.distributed.destroy_process_group()


def test_two_processes_count_each_image_once(images, tmp_path):
    dataset = images(*SIZES)
    torch.multiprocessing.start_processes(
        _rank, args=(tmp_path, dataset), nprocs=2, start_method='fork'
    )
    found = [json.loads((tmp_path / f'{rank}.json').read_text()) for rank in range(2)]
    # the second process has image 0 for a second time, and has it last
    assert [indices for indices, _ in found] == [[[2, 4], [0, 6]], [[3, 5], [1, 0]]]
    expected = evaluate(dataset, [[i] for i in range(len(SIZES))])
    assert [scores for _, scores in found] == [expected] * 2


@pytest.fixture
def several_sizes(shapes_root, tmp_path):
    """Shapes in three sizes, 4, 2 and 1 images of each."""
    crops = [(96, 72), (40, 50), (96, 72), (96, 72), (50, 40), (96, 72), (40, 50)]
    root = tmp_path / 'several_sizes'
    for folder in ('JPEGImages', 'SegmentationClass'):
        (root / folder).mkdir(parents=True)
        for source, crop in zip(sorted((shapes_root / folder).iterdir()), crops):
            with Image.open(source) as picture:
                picture.crop((0, 0, *crop)).save(root / folder / source.name)
    return root


def test_in_a_run(tiny_config, several_sizes, tmp_path):
    """In batches and one by one, the scores are the same."""
    batched = dict(batch_size=3, batch_sampler=dict(type='EqualSizeBatchSampler'))
    scores, sizes = [], []
    for name, loader in (('single', {}), ('batched', batched)):
        options = {'data_root': several_sizes, 'ann_file': ''}
        changes = {f'test_dataloader.dataset.{key}': str(value) for key, value in options.items()}
        changes.update((f'test_dataloader.{key}', value) for key, value in loader.items())
        changes['randomness'] = dict(seed=0)
        cfg = Config.fromfile(tiny_config(f'equal_size_{name}', changes))
        cfg.work_dir = str(tmp_path / name)
        runner = Runner.from_cfg(cfg)
        scores.append(runner.test())
        sizes.append([len(batch['inputs']) for batch in runner.test_dataloader])
    assert sizes == [[1] * 7, [3, 1, 1, 2]]
    assert scores[0] == scores[1] and scores[0]['aAcc'] > 0
