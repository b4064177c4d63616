"""What a checkpoint gets right and wrong on the validation data, kept beside it."""

import hashlib
import io
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path

import cv2
import numpy as np
import torch
from mmengine.dataset import pseudo_collate
from mmengine.registry import DefaultScope
from mmengine.runner import Runner
from PIL import Image
from torch import Tensor

from ..data_check import check_before_testing
from ..evaluation.boundary_iou import boundary_areas
from ..evaluation.confusion import class_areas, class_iou, class_scores, confusion_matrix
from ..files import written_aside
from ..inference.loading import Loaded, load
from ..progress import track

BINS = 20  # of the confidence, in the calibration curve
SIDE = 480  # of a picture at most, in pixels: some 40 KB each
BEST, WORST, UNCERTAIN, PAIRS = 3, 6, 3, 5  # pictures of each kind
IGNORED, WRONG = (255, 255, 255), (230, 40, 40)
NO_CLASS = 65535


@dataclass(frozen=True)
class Evaluation:
    """Counts over all images. C classes, N images."""

    classes: np.ndarray  # names, (C,)
    palette: np.ndarray  # their colours in the pictures, (C, 3)
    images: np.ndarray  # names of the files, (N,)
    matrix: np.ndarray  # pixels, ground truth down, prediction across, (C, C)
    boundary: np.ndarray  # as of ``boundary_areas``, (3, C)
    # pixels, right pixels and the sum of the confidences (the probability of the predicted class)
    # of each of equal ranges of the confidence, (3, BINS)
    calibration: np.ndarray
    # mean over the classes of the image or its prediction, (N,); nan where all is ignored
    image_iou: np.ndarray
    uncertainty: np.ndarray  # mean of one minus the confidence, (N,)
    # the image with the most pixels of a class that were taken for another, (C, C)
    pair_image: np.ndarray
    data_hash: str  # of the names and sizes of the files
    # 'NUMBER/KIND' -> JPEG, uint8; kinds: 'image', 'truth', 'prediction', 'errors'
    pictures: dict[str, np.ndarray]

    @property
    def iou(self) -> np.ndarray:
        """IoU of each class, (C,)."""
        return class_iou(self.matrix)

    @property
    def boundary_iou(self) -> np.ndarray:
        """Boundary IoU of each class, (C,)."""
        return class_scores(self.boundary)['IoU']

    @property
    def calibration_error(self) -> float:
        """Expected calibration error: mean distance of confidence and accuracy over the pixels."""
        count, right, confidence = self.calibration
        return float(abs(right - confidence).sum() / max(count.sum(), 1))

    def pairs(self) -> list[tuple[int, int]]:
        """The most confused pairs (label, prediction), by the share of the label's pixels."""
        shares = self.matrix / np.maximum(self.matrix.sum(1, keepdims=True), 1)
        np.fill_diagonal(shares, 0)
        pairs = [divmod(int(i), len(shares)) for i in np.argsort(-shares, axis=None)[:PAIRS]]
        return [pair for pair in pairs if shares[pair] > 0]

    def chosen(self) -> dict[str, list[int]]:
        """Images worth a look, by the reason."""
        order = np.argsort(self.image_iou)[: np.isfinite(self.image_iou).sum()].tolist()  # nan last
        return dict(
            worst=order[:WORST],
            best=order[: -BEST - 1 : -1],
            uncertain=np.argsort(-self.uncertainty)[:UNCERTAIN].tolist(),
            pairs=[int(self.pair_image[pair]) for pair in self.pairs()],
        )


def evaluate(checkpoint: Path, device: str) -> Evaluation:
    """Evaluate a checkpoint on the validation data of the config in it, or take what is kept.

    The result lies in ``report/`` beside the checkpoint, under its name, and is made again where
    the checkpoint is newer.

    Raises:
        FileNotFoundError: If the data is not there.
        ValueError: If the checkpoint holds no config, or the config no validation, or something
            else is wrong with the data.
    """
    kept = checkpoint.parent / 'report' / f'{checkpoint.stem}.npz'
    if kept.exists() and kept.stat().st_mtime >= checkpoint.stat().st_mtime:
        with suppress(TypeError):  # an older version kept less
            return _read(kept)
    loaded = load(None, str(checkpoint), device)
    config = loaded.config
    loader = config.get('val_dataloader') or config.get('test_dataloader')
    if not loader:
        raise ValueError(f'{checkpoint}: its config has neither val_ nor test_dataloader.')
    config.test_dataloader = loader
    check_before_testing(config)  # mmseg's datasets fail in ways of their own
    # in the dataset's order: an image is found again by its number
    order = dict(batch_size=1, sampler=dict(type='DefaultSampler', shuffle=False))
    with DefaultScope.overwrite_default_scope(config.get('default_scope') or 'mmseg'):
        loader = Runner.build_dataloader(dict(loader, **order), seed=0)
    found = _count(loaded, loader)
    _draw(found, loaded, loader.dataset)
    values = asdict(found)
    with written_aside(kept) as aside, aside.open('wb') as file:
        np.savez_compressed(file, **values.pop('pictures'), **values)
    return found


def _read(file: Path) -> Evaluation:
    with np.load(file) as content:
        pictures = {
            name.removeprefix('picture '): content[name] for name in content.files if '/' in name
        }
        values = {name: content[name] for name in content.files if '/' not in name}
    return Evaluation(**{**values, 'data_hash': str(values['data_hash']), 'pictures': pictures})


def _count(loaded: Loaded, loader) -> Evaluation:
    size = len(loaded.classes)
    matrix, boundary = np.zeros((size, size), np.int64), np.zeros((3, size), np.int64)
    most, pair_image = np.zeros((2, size, size), np.int64)
    calibration = np.zeros((3, BINS))
    images, ious, uncertainties, files = [], [], [], hashlib.sha256()
    for number, batch in enumerate(track(loader, 'Evaluating for the report')):
        sample, labels, classes, confidence = _predict(loaded, batch)
        valid = labels < size
        own = confusion_matrix(labels[valid], classes[valid], size)
        matrix += own
        boundary += boundary_areas(labels, classes, size)
        pair_image[own > most] = number
        most = np.maximum(most, own)
        place = np.minimum((confidence[valid] * BINS).astype(int), BINS - 1)
        for row, weights in zip(calibration, (None, (classes == labels)[valid], confidence[valid])):
            row += np.bincount(place, weights, BINS)
        present = class_areas(own)[1:].any(0)
        ious.append(class_iou(own)[present].mean() if present.any() else np.nan)
        uncertainties.append(1 - confidence[valid].mean() if valid.any() else 0.0)
        images.append(sample.metainfo.get('img_path', str(number)))
        for path in (images[-1], sample.metainfo.get('seg_map_path', '')):
            length = Path(path).stat().st_size if Path(path).is_file() else 0
            files.update(f'{Path(path).name} {length}\n'.encode())
    return Evaluation(
        *map(np.array, (loaded.classes, loaded.palette, images, matrix, boundary)),
        *map(np.array, (calibration, ious, uncertainties)),
        pair_image,
        files.hexdigest()[:12],
        pictures={},
    )


@torch.inference_mode()
def _predict(loaded: Loaded, batch: dict):
    """A sample, its labels, and class and confidence of each pixel, each (H, W)."""
    [sample] = loaded.model.test_step(batch)
    if 'gt_sem_seg' not in sample:
        raise ValueError(f'{sample.metainfo.get("img_path")} has no mask to evaluate with.')
    scores = sample.seg_logits.data.float()
    # of one channel, mmseg has taken the sigmoid already
    scores = scores.softmax(0) if len(scores) > 1 else torch.cat([1 - scores, scores])
    classes = sample.pred_sem_seg.data.long()  # of one channel, by the head's threshold
    confidence = scores.gather(0, classes)[0]
    head = loaded.model.decode_head
    head = head[-1] if isinstance(head, torch.nn.ModuleList) else head
    labels = sample.gt_sem_seg.data[0].cpu().numpy().astype(np.uint16)
    labels[labels == head.ignore_index] = NO_CLASS
    return sample, labels, classes[0].cpu().numpy().astype(np.uint16), confidence.cpu().numpy()


def _draw(found: Evaluation, loaded: Loaded, dataset) -> None:
    numbers = sorted({number for chosen in found.chosen().values() for number in chosen})
    for number in track(numbers, 'Drawing for the report'):
        batch = pseudo_collate([dataset[number]])
        image = _shown(batch['inputs'][0])
        _, labels, classes, _ = _predict(loaded, batch)
        image = cv2.resize(image, labels.shape[::-1], interpolation=cv2.INTER_AREA)
        gray = image.mean(2, keepdims=True).astype(np.uint8).repeat(3, 2) // 2 + 64
        ignored, wrong = labels >= len(loaded.classes), classes != labels
        gray[wrong], gray[ignored] = WRONG, IGNORED
        overlays = (_overlay(image, ids, loaded.palette) for ids in (labels, classes))
        kinds = ('image', 'truth', 'prediction', 'errors')
        for kind, picture in zip(kinds, (image, *overlays, gray)):
            found.pictures[f'{number}/{kind}'] = _jpeg(picture)


def _shown(inputs: Tensor) -> np.ndarray:
    """What the network gets, as uint8 RGB; of other than bytes, the range of its values."""
    image = inputs.float()
    image = image[[0, 0, 0]] if len(image) < 3 else image[[2, 1, 0]]  # mmseg loads BGR
    if inputs.dtype != torch.uint8:
        image = (image - image.min()) / (image.max() - image.min()).clamp(min=1e-6) * 255
    return image.byte().permute(1, 2, 0).contiguous().numpy()


def _overlay(image: np.ndarray, ids: np.ndarray, palette: list) -> np.ndarray:
    colours = np.full((NO_CLASS + 1, 3), 255, np.uint8)
    colours[: len(palette)] = palette
    return cv2.addWeighted(image, 0.4, colours[ids], 0.6, 0)


def _jpeg(picture: np.ndarray) -> np.ndarray:
    picture = Image.fromarray(picture)
    picture.thumbnail((SIDE, SIDE))
    buffer = io.BytesIO()
    picture.save(buffer, 'jpeg', quality=85)
    return np.frombuffer(buffer.getvalue(), np.uint8)
