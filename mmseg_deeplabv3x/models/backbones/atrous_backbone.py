"""Any CNN at any output_stride."""

from collections.abc import Sequence

from mmengine.model import BaseModule
from mmseg.registry import MODELS
from torch import Tensor

from ... import atrous
from ..published_weights import PublishedWeightsMixin, naming_file
from .exactness import PlainMaps
from .strided_layers import FINEST, find_strides, replace_layers, set_multi_grid


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

    Parameters, buffers and children are the wrapped network's own, so the keys of the state dict
    are too, without a prefix, and its weights load unchanged. ``out_indices``, ``frozen_stages``,
    ``norm_eval``, ``with_cp``, ``init_cfg`` stand in its config and work as ever.

    Args:
        backbone: Config of the network: mmseg's ``MobileNetV2``, ``ResNeXt``, ``ResNeSt``, ...,
            or ``dict(type='TIMMBackbone', model_name=..., features_only=True)`` for any of timm.
        output_stride: 8, 16 or 32: input resolution over that of the last map. Default: 16,
            which the paper trains at.
        multi_grid: Unit rates of the last stage, one for each of its units. Default: None, all 1.

    Raises:
        ValueError: For an illegal output_stride, one above the network's own, a multi_grid
            that does not fit the last stage, or a network that would not be exact; it names the
            layer.
    """

    def __init__(
        self,
        backbone: dict,
        output_stride: int = 16,
        multi_grid: Sequence[int] | None = None,
    ):
        super().__init__()
        network = MODELS.build(backbone)
        # its init_cfg loads into it, past us
        network.register_load_state_dict_pre_hook(self._fit_network)
        self.__dict__['network'] = network  # no child: its children are ours
        for own in ('_parameters', '_buffers', '_non_persistent_buffers_set', '_modules'):
            self.__dict__[own] = network.__dict__[own]
        self._wrapped = backbone.get('model_name', backbone['type'])
        channels = backbone.get('in_channels', 3)
        try:
            strides, self.coarsest = find_strides(network, channels)
            if multi_grid is not None:
                set_multi_grid(network, strides, multi_grid)
            self.strided_layers = []
            if self.coarsest > FINEST:
                plain = PlainMaps(network, channels)
                self.strided_layers = replace_layers(network, strides)
                self._apply_output_stride(FINEST)
                plain.compare(network, self.coarsest)
        except Exception as error:
            reason = str(error).rstrip('.') or repr(error)
            raise ValueError(
                f'AtrousBackbone cannot set the output_stride of {self._wrapped}: {reason}.'
            ) from error
        self.set_output_stride(output_stride)

    def _fit_network(self, network, state_dict, prefix, *args) -> None:
        if not prefix:
            self.fit_weights(state_dict)

    def set_output_stride(self, output_stride: int) -> None:
        """Change the output_stride of this live model; weights and BN statistics stay.

        Raises:
            ValueError: If it is no power of two from 8 to the network's own output_stride.
        """
        atrous.check_output_stride(output_stride)
        if output_stride > self.coarsest:
            raise ValueError(
                f'{self._wrapped} is built at output_stride {self.coarsest}, the most it can have, '
                f'but got {output_stride}.'
            )
        self._apply_output_stride(output_stride)
        self.output_stride = output_stride

    def _apply_output_stride(self, output_stride: int) -> None:
        for layer in self.strided_layers:
            layer.set_output_stride(self.network, output_stride)

    def init_weights(self) -> None:
        """Initialise as the wrapped network's ``init_cfg`` says."""
        # mmengine keeps here which parameters are initialised, for all parts of a model
        if hasattr(self, '_params_init_info'):
            self.network._params_init_info = self._params_init_info
        with naming_file(self.network.init_cfg):
            self.network.init_weights()
        self.network.__dict__.pop('_params_init_info', None)

    def train(self, mode: bool = True) -> 'AtrousBackbone':
        """Set training or evaluation mode; what the wrapped network freezes stays frozen."""
        self.training = mode
        self.network.train(mode)
        return self

    def forward(self, x: Tensor) -> Tensor | Sequence[Tensor]:
        """Return the wrapped network's maps of images, (N, 3, H, W)."""
        return self.network(x)
