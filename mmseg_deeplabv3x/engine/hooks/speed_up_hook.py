"""Speeds the network up before a test."""

from mmengine.hooks import Hook
from mmengine.model import is_model_wrapper
from mmengine.runner import Runner
from mmseg.registry import HOOKS

from ...models.freed_memory import keep_freed_memory
from ...models.segmentors.fast_prediction import is_on_cpu, speed_up
from ..checkpoints.loading import inner_model


@HOOKS.register_module()
class SpeedUpHook(Hook):
    """Calls the model's ``speed_up()`` once its weights are loaded, for ``tools/test.py --fast``.

    Predictions are the same up to rounding. On a CPU the process, and the workers that it forks,
    keep freed memory (:func:`.freed_memory.keep_freed_memory`). It acts before a test alone:
    validation during training goes on with a network that can be trained.

    Args:
        precision: As of :meth:`.FastPredictionMixin.speed_up`. Default: 'fp32'.
        runtime: What computes on a CPU, 'openvino' or 'torch'. Default: OpenVINO where it is
            installed and can convert the network, since it was measured to be the fastest.
    """

    def __init__(self, precision: str = 'fp32', runtime: str | None = None):
        self.precision, self.runtime = precision, runtime

    def before_test(self, runner: Runner) -> None:
        """Speed the model up.

        Raises:
            ValueError: If it has no ``speed_up``, or as of :func:`.speed_up`.
        """
        model = runner.model.module if is_model_wrapper(runner.model) else runner.model
        for part in (model, inner_model(model)):
            if not hasattr(part, 'speed_up'):
                raise ValueError(
                    f'--fast calls speed_up() of the model, and {type(part).__name__} has none: '
                    'use DeepLabV3, with --tta under RunningMeanTTAModel, or leave --fast out.'
                )
        speed_up(model, self.precision, self.runtime)
        if is_on_cpu(model):
            keep_freed_memory()
