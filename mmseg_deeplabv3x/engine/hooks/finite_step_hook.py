"""No step is taken on gradients that are not finite."""

import torch
from mmengine.hooks import Hook
from mmengine.runner import Runner
from mmseg.registry import HOOKS


@HOOKS.register_module()
class FiniteStepHook(Hook):
    """Skip steps whose loss or gradients are not finite, and give up after several in a row.

    A skipped step leaves weights, momentum and BN statistics as they were. Gradients are what
    decides: a loss that is NaN or infinite makes them so, and several processes, which have the
    same gradients, decide alike. To look at them makes the host wait for the GPU once an iteration,
    which the framework does for its log anyway.

    With a loss scale (``AmpOptimWrapper``), steps that are skipped to lower the scale do not count;
    below a scale of 1 they do, since then the scale is no reason any more.

    Args:
        max_in_a_row: Give up after so many. Default: 10: one bad image is one step, and ten
            batches in a row mean that the weights or the learning rate are the reason.

    Raises:
        ValueError: If ``max_in_a_row`` is no whole number of at least 1.
    """

    def __init__(self, max_in_a_row: int = 10):
        if not isinstance(max_in_a_row, int) or max_in_a_row < 1:
            raise ValueError(
                f'max_in_a_row must be a whole number of at least 1, got {max_in_a_row!r}.'
            )
        self.max_in_a_row = max_in_a_row

    def before_train(self, runner: Runner) -> None:
        """Look at the gradients before each step from now on."""
        self._in_a_row = self._in_all = 0
        self._finite = None
        self._buffers = [b for b in runner.model.buffers() if b.is_floating_point()]
        self._kept = [buffer.clone() for buffer in self._buffers]
        self._handle = runner.optim_wrapper.optimizer.register_step_pre_hook(self._before_step)

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None) -> None:
        """Count and report a skipped step; raise ``FloatingPointError`` if it is one too many."""
        wrapper = runner.optim_wrapper
        finite, self._finite = self._finite, None
        if finite is None and wrapper.should_update():  # the loss scaler skipped the step
            self._restore()
            finite = False
        scaler = getattr(wrapper, 'loss_scaler', None)
        if finite is None or not finite and scaler is not None and scaler.get_scale() >= 1:
            return  # gradients are being accumulated, or the loss scale is on its way down
        if finite:
            self._in_a_row = 0
            return
        self._in_a_row += 1
        self._in_all += 1
        images = ', '.join(str(sample.get('img_path')) for sample in data_batch['data_samples'])
        replica = f'{data_batch["replica"]}; ' if 'replica' in data_batch else ''
        what = (
            f'at iteration {runner.iter + 1} the loss, {outputs["loss"].item():g}, or its '
            f'gradients are not finite; {replica}images: {images}.'
        )
        count, most = self._in_a_row, self.max_in_a_row
        if count == most:
            good = runner.message_hub.get_info('last_ckpt') or 'none so far'
            raise FloatingPointError(
                f'{count} steps in a row were skipped: {what} Lower the learning rate, or look at '
                f'these images with tools/check_data.py. The last checkpoint: {good}.'
            )
        # an error, since the logger mutes warnings of all processes but the first
        runner.logger.error(
            f'Step skipped, {count} in a row, {self._in_all} in all; {most} in a row end the '
            f'training: {what}'
        )

    def before_save_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Refuse weights that are not finite: a step of finite gradients can overflow, too."""
        for name, value in checkpoint['state_dict'].items():
            if not torch.isfinite(value).all():
                when = f'after iteration {checkpoint["meta"]["iter"]}'
                raise FloatingPointError(
                    f'{name} is not finite {when}, so nothing is saved: lower the learning rate '
                    'and go on from the last good checkpoint.'
                )

    def after_train(self, runner: Runner) -> None:
        """Leave the optimizer alone again."""
        self._handle.remove()

    @torch.no_grad()
    def _before_step(self, optimizer: torch.optim.Optimizer, args, kwargs) -> None:
        parameters = (p for group in optimizer.param_groups for p in group['params'])
        norms = torch._foreach_norm([p.grad for p in parameters if p.grad is not None])
        self._finite = bool(torch.isfinite(torch.stack(norms)).all())
        if self._finite:
            torch._foreach_copy_(self._kept, self._buffers)
        else:
            self._restore()
            optimizer.zero_grad(set_to_none=True)  # those without one are passed over

    def _restore(self) -> None:
        torch._foreach_copy_(self._buffers, self._kept)
