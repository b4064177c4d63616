"""Speeds the network up before a test."""

from mmengine.hooks import Hook
from mmengine.model import is_model_wrapper
from mmengine.runner import Runner
from mmseg.registry import HOOKS

from ...models.freed_memory import keep_freed_memory


@HOOKS.register_module()
class SpeedUpHook(Hook):
    """Calls the model's ``speed_up()`` once its weights are loaded, for ``tools/test.py --fast``.

    Predictions are the same up to rounding. On a CPU the process, and the workers that it forks,
    keep freed memory (:func:`.freed_memory.keep_freed_memory`). It acts before a test alone:
    validation during training goes on with a network that can be trained.
    """

    def before_test(self, runner: Runner) -> None:
        """Speed the model up.

        Raises:
            ValueError: If it has no ``speed_up``.
        """
        model = runner.model.module if is_model_wrapper(runner.model) else runner.model
        if not hasattr(model, 'speed_up'):
            raise ValueError(
                f'--fast calls speed_up() of the model, and {type(model).__name__} has none: use '
                'DeepLabV3, with --tta under RunningMeanTTAModel, or leave --fast out.'
            )
        model.speed_up()
        if all(parameter.device.type == 'cpu' for parameter in model.parameters()):
            keep_freed_memory()
