"""The paper's learning rate."""

from mmengine.optim import PolyLR
from mmseg.registry import PARAM_SCHEDULERS


@PARAM_SCHEDULERS.register_module()
class DeepLabPolyLR(PolyLR):
    """``base * (1 - iter / max_iter) ** 0.9`` at every iteration (paper, section 4.1).

    The stock ``PolyLR`` with ``end=N`` comes to its end after N - 1 steps: it is a little low all
    along, and its last iteration, N - 1, trains with ``eta_min``. This one divides by N, so that
    its last iteration still learns.

    Each value is computed from the first one, not from the one before, so that rounding errors do
    not add up. Where another schedule changes the rate too, a warm-up that overlaps say, both
    multiply, as stock schedules do.

    Args:
        optimizer: Optimizer, wrapped or not.
        by_epoch: False counts iterations, as the paper does. Under a runner it must stand
            in the config: where it is missing, the runner takes the number of *epochs* for ``end``.
        power: Exponent. Default: 0.9, the paper's.
        **kwargs: As of mmengine's ``PolyLR``. ``end`` is max_iter; the runner fills a missing one
            with ``train_cfg.max_iters``. With ``begin`` (after a warm-up) the curve starts there:
            ``base * (1 - (iter - begin) / (end - begin)) ** power``.

    Raises:
        ValueError: If ``by_epoch`` is missing, or another argument is no number or out of range.
    """

    def __init__(self, optimizer, by_epoch: bool | None = None, power: float = 0.9, **kwargs):
        if by_epoch is None:
            raise ValueError(
                'DeepLabPolyLR needs by_epoch=False in its config (True for a schedule in epochs): '
                'where it is missing, the runner takes the number of epochs for `end`.'
            )
        for name, value in (('power', power), ('eta_min', kwargs.get('eta_min', 0.0))):
            if not isinstance(value, (int, float)) or not 0 <= value < 100:
                raise ValueError(f'{name} must be a number from 0 to below 100, but got {value!r}.')
        for name in ('begin', 'end'):
            if not isinstance(kwargs.get(name, 0), int):
                raise ValueError(f'{name} must be a whole number, but got {kwargs[name]!r}.')
        super().__init__(optimizer, power=power, by_epoch=by_epoch, **kwargs)

    def load_state_dict(self, state_dict: dict) -> None:
        """Go on where ``state_dict`` was; ``end`` stays the configured one.

        So a run that is resumed with more iterations follows the longer curve from there on. The
        stock schedulers take the old ``end`` with the state, and then hold the last value.
        """
        end = self.end
        super().load_state_dict(state_dict)
        if self.last_step >= 0:
            self._follow_others(self.last_step)
        self.end = end
        if self.begin <= self._global_step < self.end:
            self.last_step = self._global_step - self.begin
            for group, value in zip(self.optimizer.param_groups, self._values()):
                group[self.param_name] = value
            self._last_value = self._values()

    def _get_value(self):
        self._follow_others(self.last_step - 1)
        return self._values()

    def _follow_others(self, step):
        """Find where the curve starts that has, at the last step, the value that is there now."""
        now = [group[self.param_name] for group in self.optimizer.param_groups]
        if step < 0:
            self._starts = self._last_value = [None] * len(now)
        self._starts = [
            start if value == last else (value - self.eta_min) / self._curve(max(step, 0))
            for start, last, value in zip(self._starts, self._last_value, now)
        ]

    def _curve(self, step):
        return (1 - step / (self.end - self.begin)) ** self.power

    def _values(self):
        return [self.eta_min + start * self._curve(self.last_step) for start in self._starts]
