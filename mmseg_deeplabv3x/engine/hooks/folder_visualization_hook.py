"""Pictures of predictions under the folders of their images."""

import os.path as osp

import mmcv
from mmengine import fileio
from mmengine.runner import Runner
from mmseg.engine.hooks import SegVisualizationHook
from mmseg.registry import HOOKS

from ...datasets.lists import common_folder


@HOOKS.register_module()
class FolderVisualizationHook(SegVisualizationHook):
    """mmseg's ``SegVisualizationHook``, whose pictures do not overwrite each other.

    Upstream, ``x/1.png`` and ``y/1.png`` are both drawn into ``test_1.png``. Here a picture is in
    the folder of its image, below the one that all images have in common. The backend must make
    folders, as ``SafeLocalVisBackend`` does.

    Args:
        **kwargs: As of mmseg's ``SegVisualizationHook``.
    """

    def _after_iter(self, runner: Runner, batch_idx, data_batch, outputs, mode='val') -> None:
        drawn = self.draw and self.every_n_inner_iters(batch_idx, self.interval)
        if not drawn or mode == 'train':
            return
        if batch_idx < self.interval:  # the first that is drawn
            dataset = getattr(runner, f'{mode}_dataloader').dataset
            images = (dataset.get_data_info(i)['img_path'] for i in range(len(dataset)))
            self._common = common_folder(images)
        for output in outputs:
            path = output.img_path
            content = fileio.get(path, backend_args=self.backend_args)
            folder, file = osp.split(osp.relpath(osp.abspath(path), self._common))
            self._visualizer.add_datasample(
                osp.join(folder, f'{mode}_{file}'),
                mmcv.imfrombytes(content, channel_order='rgb'),
                data_sample=output,
                show=self.show,
                wait_time=self.wait_time,
                step=runner.iter,
            )
