"""What the package takes for granted of mmengine, which promises none of it: see setup.cfg.

Each is found in the source, so that a release that renames one fails here, by name, and not in the
middle of a training.
"""

from __future__ import annotations

import importlib
import inspect

import pytest

# Where it is -> (names that must appear there, who relies on them).
INSIDES = {
    'mmengine.runner.checkpoint.CheckpointLoader': ('_schemes', 'compat, resume, cli/messages'),
    'mmengine.runner.checkpoint._load_checkpoint': (
        'CheckpointLoader.load_checkpoint',
        'resume: what was read is handed over by a loader',
    ),
    'mmengine.runner.runner.Runner.load_or_resume': (
        'self._resume self._load_from',
        'SafeCheckpointHook chooses the checkpoint in before_run',
    ),
    'mmengine.runner.runner.Runner.resume': ("'meta' message_hub", 'resume.read_checkpoint'),
    'mmengine.runner.loops.IterBasedTrainLoop': (
        'self.dataloader_iterator self._iter',
        'ExactResumeHook puts the data where the run goes on',
    ),
    'mmengine.dataset.sampler.InfiniteSampler': (
        'self._infinite_indices self.indices self.rank self.world_size',
        'ExactResumeHook',
    ),
    'mmengine.hooks.CheckpointHook': (
        '_save_checkpoint_with_step _save_best_checkpoint self.file_backend.remove self.last_ckpt '
        'self.keep_ckpt_ids self.best_ckpt_path self.best_ckpt_path_dict self.file_client_args',
        'SafeCheckpointHook, save_checkpoint_on_exit',
    ),
    'mmengine.logging.HistoryBuffer': ('_log_history _count_history', 'checkpoint_objects'),
    'mmengine.dataset.BaseDataset': ('_serialize_data self.data_list', 'cli/messages'),
    'mmengine.evaluator.metric': ('print_log( prefix is not set in metric class', 'cli/messages'),
    'mmengine.fileio.file_client': ('print_log( FileClient', 'cli/messages'),
    'mmengine.runner.loops': ('print_log(', 'cli/messages'),
}


@pytest.mark.parametrize('place', INSIDES)
def test_what_is_relied_on_is_there(place):
    names, who = INSIDES[place]
    source = inspect.getsource(found(place))
    missing = [name for name in names.split() if name not in source]
    assert not missing, f'{place} has no {missing} any more: {who}'


def found(place):
    """A module, or a class or function in one."""
    try:
        return importlib.import_module(place)
    except ModuleNotFoundError:
        parent, _, name = place.rpartition('.')
        return getattr(found(parent), name)
