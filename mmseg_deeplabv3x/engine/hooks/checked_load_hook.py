"""Checkpoints that do not fit are refused when they are loaded."""

from functools import partial

from mmengine.hooks import Hook
from mmengine.runner import Runner
from torch import nn

from ...models.backbones import AtrousBackbone
from ...models.published_weights import PublishedWeightsMixin
from ..checkpoints.loading import complete, inner_model


class CheckedLoadHook(Hook):
    """For the commands: compares what is loaded with the model and the data, whosever they are.

    Upstream, an evaluation goes on with random weights in place of those that do not fit. Here that
    is an error; in a training it is one line, and an error where the backbone does not fit.

    Args:
        training: Whether the runner trains; else it tests.
        other_classes: Whether the names of the classes may differ from the checkpoint's.
            Default: False.
    """

    priority = 'VERY_HIGH'  # other hooks, EMAHook for one, load what is left of the checkpoint

    def __init__(self, training: bool, other_classes: bool = False):
        self.training, self.other_classes = training, other_classes

    def before_run(self, runner: Runner) -> None:
        """Look at what each ``init_cfg`` will load; our own modules do so themselves."""
        model = inner_model(runner.model)
        if {'dataset_meta', 'file'} <= vars(model).keys():  # an exported file: nothing is loaded
            self._other_classes(runner, model, vars(model), model.file)
        for part in runner.model.modules() if isinstance(runner.model, nn.Module) else ():
            part = part.network if isinstance(part, AtrousBackbone) else part
            source = pretrained_source(getattr(part, 'init_cfg', None))
            if source and not isinstance(part, PublishedWeightsMixin):
                part.register_load_state_dict_pre_hook(partial(_before_load, source=source))

    def after_load_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Look at what the run starts from, is resumed from or evaluates."""
        model, source = inner_model(runner.model), runner._load_from
        others = self._other_classes(runner, model, checkpoint.get('meta') or {}, source)
        state = checkpoint.setdefault('state_dict', dict(checkpoint))
        if others:  # the old classifier would be taken where it has the shape
            for key in [key for key in state if 'conv_seg.' in key]:
                del state[key]
        purpose = 'start' if self.training else 'evaluation'
        complete(model, state, source, 'resume' if runner._resume else purpose)

    def _other_classes(self, runner: Runner, model: nn.Module, meta: dict, source: str) -> bool:
        """Whether a new classifier learns other classes; refuses others that are not asked for."""
        loader = runner.train_dataloader if self.training else runner.test_dataloader
        now = (getattr(loader.dataset, 'metainfo', None) or {}).get('classes')
        saved = (meta.get('dataset_meta') or {}).get('classes') or meta.get('CLASSES')
        anew = now and saved and len(now) != len(saved) or getattr(model, 'new_classifier', False)
        anew = anew and self.training and not runner._resume
        if not now or not saved or list(now) == list(saved) or anew or self.other_classes:
            return bool(anew and list(now) != list(saved))
        differ = [f'{i} is {a!r}, not {b!r}' for i, (a, b) in enumerate(zip(saved, now)) if a != b]
        differ = differ[:3] or [f'it has {len(saved)}, not {len(now)}']
        raise ValueError(
            f"The classes of {source} are not the data's: {', '.join(differ)}. Bring those of the "
            "config into the checkpoint's order; --other-classes takes them as they are"
            + '; to train on other classes, set model.new_classifier=True.'
            * hasattr(model, 'new_classifier')
        )


def pretrained_source(init_cfg: dict | list | None) -> str | None:
    """The file that an ``init_cfg`` of mmengine names."""
    entries = init_cfg if isinstance(init_cfg, (list, tuple)) else [init_cfg or {}]
    return next((entry['checkpoint'] for entry in entries if entry.get('checkpoint')), None)


def _before_load(module: nn.Module, state_dict: dict, prefix: str, *args, source: str) -> None:
    if not prefix:  # else it is a part of what is loaded
        complete(module, state_dict, source)
