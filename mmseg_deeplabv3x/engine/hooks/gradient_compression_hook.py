"""Half the gradient traffic between processes."""

import torch
import torch.distributed as dist
from mmengine.hooks import Hook
from mmengine.runner import Runner
from mmseg.registry import HOOKS
from torch.distributed.algorithms.ddp_comm_hooks.default_hooks import bf16_compress_hook
from torch.nn.parallel import DistributedDataParallel


@HOOKS.register_module()
class GradientCompressionHook(Hook):
    """Lets several processes exchange gradients in bfloat16: 2 bytes a parameter in place of 4.

    Gradients, weights and optimizer stay what they are; only what travels is rounded, and summed in
    bfloat16 (8 significant bits: 0.4 % a rounding). It is PyTorch's ``bf16_compress_hook``, for
    models in ``MMDistributedDataParallel``. From the command line of any config:
    ``--cfg-options default_hooks.gradient_compression.type=GradientCompressionHook``.
    """

    def before_train(self, runner: Runner) -> None:
        """Register it; gloo of older PyTorch cannot sum bfloat16 (pytorch/pytorch#111131)."""
        model = runner.model
        if not isinstance(model, DistributedDataParallel):
            raise ValueError(
                'GradientCompressionHook compresses what DistributedDataParallel exchanges, but '
                f'the model is a {type(model).__name__}: start several processes with '
                'tools/dist_train.sh, or leave the hook out.'
            )
        backend = dist.get_backend(model.process_group)
        try:
            number = torch.ones(1, dtype=torch.bfloat16, device=model.device)
            dist.all_reduce(number, group=model.process_group)
        except RuntimeError as error:
            raise ValueError(
                f'GradientCompressionHook needs a backend that sums bfloat16, but {backend} of '
                f'PyTorch {torch.__version__} does not: leave the hook out. ({error})'
            ) from error

        # DDP refuses PyTorch's hook, by its name, where there is no NCCL; gloo sums bfloat16, too
        def compress(group, bucket):
            return bf16_compress_hook(group, bucket)

        model.register_comm_hook(model.process_group, compress)
