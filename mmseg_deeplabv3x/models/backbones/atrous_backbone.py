"""Any CNN at any output_stride."""

import copy
import warnings
from collections.abc import Sequence

from mmengine.model import BaseModule
from mmseg.registry import MODELS
from torch import Tensor

from ... import atrous
from ..layers.surgery import call_activations_of_sync_bn
from ..published_weights import PublishedWeightsMixin, naming_file
from .exactness import check_exact
from .strided_layers import FINEST, find_strides, has_same_padding, replace_layers, set_multi_grid


@MODELS.register_module()
class AtrousBackbone(PublishedWeightsMixin, BaseModule):
    """Any CNN, with the last strides turned into atrous rates (paper, sections 3.1 and 3.2).

    The map at a smaller output_stride, subsampled, is the plain network's, and at the network's own
    it is the plain one bit by bit. That is proved when the network is built: one forward pass on
    shapes finds the stride of each convolution and pooling, two on a small random image compare
    every layer at 8 with the plain one.

    At output_stride s a layer's rate is its own times max(1, stride of its input / s), and its
    stride min(s, stride of its output) / min(s, stride of its input). Poolings take a rate too:
    what the plain one pads or does not count is neither seen nor counted between.

    Statistics over a whole map (squeeze and excitation, split attention, GroupNorm) see more
    positions of a denser map: there the maps are equal only as far as two samplings of one map
    have the same mean. With random weights, at 225x257, they differed by 1e-4 (GhostNet) to 0.1
    (SE-ResNet-50) of the largest value, and without likeness in EfficientNetV2, whose many gates
    amplify it. All else is exact there too.

    TensorFlow's padding ``'same'`` (timm's ``tf_`` networks, mmseg's ``MobileNetV3``) puts a window
    at a stride half a position off where a side is even. Where the stride is removed the window is
    always centred, which is the plain network on sides 32 k + 1; on others the plain one itself
    is another by its size. Train such a network with crops of output_stride * k + 1, as our
    configs do, since at the strides that are left it still depends on the size.

    Parameters, buffers and children are the wrapped network's own, so the keys of the state dict
    are too, without a prefix, and its weights load unchanged. ``out_indices``, ``frozen_stages``,
    ``norm_eval``, ``with_cp``, ``init_cfg`` stand in its config and work as ever. A network of timm
    has ``backbone.timm_model.set_grad_checkpointing()`` in place of ``with_cp``; with either, BN's
    statistics count a batch twice, unlike :class:`AtrousResNet`'s.

    Args:
        backbone: Config of the network: mmseg's ``MobileNetV2``, ``ResNeXt``, ``ResNeSt``, ...,
            or ``dict(type='TIMMBackbone', model_name=..., features_only=True)`` for any of timm.
        output_stride: 8, 16 or 32: input resolution over that of the last map. Default: 16,
            which the paper trains at.
        multi_grid: Unit rates of the last stage, one for each of its units. Default: None, all 1.
        contract_dilation: Whether a convolution whose stride was removed keeps the rate in force
            before it, which is exact. False gives it the rate behind it, for weights that were
            trained so: torchvision's ``deeplabv3_mobilenet_v3_large``. Poolings keep the rate
            before. Default: True.

    Raises:
        ValueError: For an illegal output_stride, one above the network's own, a multi_grid that
            does not fit the last stage, or a network that would not be exact; it names the layer.
    """

    def __init__(
        self,
        backbone: dict,
        output_stride: int = 16,
        multi_grid: Sequence[int] | None = None,
        contract_dilation: bool = True,
    ):
        super().__init__()
        network = MODELS.build(backbone)
        self.__dict__['network'] = network  # no child: its children are ours
        for own in ('_parameters', '_buffers', '_non_persistent_buffers_set', '_modules'):
            self.__dict__[own] = network.__dict__[own]
        self._wrapped = backbone.get('model_name', backbone['type'])
        channels = backbone.get('in_channels', 3)
        self._warns = has_same_padding(network)
        try:
            strides, self.coarsest = find_strides(network, channels)
            if multi_grid is not None:
                set_multi_grid(network, strides, multi_grid)
            self.strided_layers = []
            if self.coarsest > FINEST:
                plain = copy.deepcopy(network)
                self.strided_layers = replace_layers(network, strides)
                for layer in self.strided_layers:
                    layer.set_output_stride(network, FINEST)
                check_exact(plain, network, channels, self.coarsest)
        except Exception as error:
            reason = str(error).rstrip('.') or repr(error)
            raise ValueError(
                f'AtrousBackbone cannot set the output_stride of {self._wrapped}: {reason}.'
            ) from error
        # its init_cfg loads into it, past us
        network.register_load_state_dict_pre_hook(self._fit_network)
        self.contract_dilation = contract_dilation
        self.set_output_stride(output_stride)

    def _fit_network(self, network, state_dict, prefix, *args) -> None:
        if not prefix:
            self.fit_weights(state_dict)

    def set_output_stride(self, output_stride: int) -> None:
        """Change the output_stride of this live model; weights and BN statistics stay."""
        atrous.check_output_stride(output_stride)
        if output_stride > self.coarsest:
            raise ValueError(
                f'{self._wrapped} is built at output_stride {self.coarsest}, the most it can have, '
                f'but got {output_stride}.'
            )
        for layer in self.strided_layers:
            layer.set_output_stride(self.network, output_stride, self.contract_dilation)
        self.output_stride = output_stride

    def init_weights(self) -> None:
        """Initialise as the wrapped network's ``init_cfg`` says."""
        # mmengine keeps here which parameters are initialised, for all parts of a model
        if hasattr(self, '_params_init_info'):
            self.network._params_init_info = self._params_init_info
        with naming_file(self.network.init_cfg):
            self.network.init_weights()
        self.network.__dict__.pop('_params_init_info', None)

    def train(self, mode: bool = True) -> 'AtrousBackbone':
        """Set training or evaluation mode; what the wrapped network freezes stays frozen.

        The runner comes here after it has converted BN to SyncBN, which leaves timm's activations
        uncalled: now they are called again.
        """
        call_activations_of_sync_bn(self.network)
        self.training = mode
        self.network.train(mode)
        return self

    def forward(self, x: Tensor) -> Tensor | Sequence[Tensor]:
        """Return the wrapped network's maps of images, (N, 3, H, W)."""
        if self.training and self._warns and any(n % self.output_stride != 1 for n in x.shape[2:]):
            self._warns = False
            warnings.warn(
                f"{self._wrapped} pads as TensorFlow's 'same': trained with images of "
                f'{tuple(x.shape[2:])}, its maps lie elsewhere than those of the sides '
                f'{self.output_stride} k + 1, which DeepLabV3 evaluates at. Use such a crop.',
                stacklevel=2,
            )
        return self.network(x)
