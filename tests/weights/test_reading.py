import argparse
import json
import struct
import sys
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from mmengine.runner.checkpoint import CheckpointLoader

from mmseg_deeplabv3x.weights import read_weights, unwrap

STATE = {'conv1.weight': torch.arange(6.0).reshape(2, 3), 'bn1.bias': torch.ones(2)}


def same(left, right):
    return left.keys() == right.keys() and all(torch.equal(left[key], right[key]) for key in left)


def prefixed(prefix, state=STATE):
    return {prefix + key: value for key, value in state.items()}


@pytest.mark.parametrize(
    'content',
    [
        STATE,
        *({name: STATE} for name in (
            'state_dict', 'model', 'model_state', 'model_state_dict', 'model_ema', 'ema', 'teacher',
            'student', 'state_dict_ema', 'network',
        )),
        {'epoch': 3, 'model': {'state_dict': STATE}},
        {'state_dict': prefixed('module.')},
        {'model': prefixed('module._orig_mod.')},
        {'state_dict': prefixed('model.')},
        {'optimizer': {'state': {}}, 'args': argparse.Namespace(lr=0.1), 'model': STATE},
    ],
    ids=lambda content: next(iter(content)),
)  # fmt: skip
def test_every_wrapping_is_taken_off(content, tmp_path):
    torch.save(content, tmp_path / 'a.pth')
    assert same(read_weights(tmp_path / 'a.pth'), STATE)


@pytest.mark.parametrize(
    ('better', 'worse'),
    [('teacher', 'student'), ('model_ema', 'model'), ('state_dict_ema', 'state_dict')],
)
def test_moving_average_before_what_was_trained(better, worse):
    assert same(unwrap({worse: prefixed('worse.'), better: STATE}), STATE)


def test_the_network_that_a_training_of_mmengine_publishes():
    # mmengine's EMAHook puts the average into state_dict, and the rest beside it
    assert same(unwrap({'ema_state_dict': prefixed('module.'), 'state_dict': STATE}), STATE)


def test_model_that_is_only_a_part_of_the_keys_stays():
    state = STATE | {'model.fc.weight': torch.ones(1)}
    assert same(unwrap(state), state)


def test_npz(tmp_path):
    np.savez(tmp_path / 'a.npz', **{key: value.numpy() for key, value in STATE.items()})
    assert same(read_weights(tmp_path / 'a.npz'), STATE)


def test_text_in_npz_is_no_weight(tmp_path):
    np.savez(tmp_path / 'a.npz', names=np.array(['a', 'b']), a=np.ones(3))
    assert same(read_weights(tmp_path / 'a.npz'), {'a': torch.ones(3).double()})


DTYPES = [torch.float32, torch.float64, torch.float16, torch.bfloat16, torch.int64, torch.int32,
          torch.int16, torch.int8, torch.uint8, torch.bool]  # fmt: skip


def write_safetensors(path, state, names):
    header, data = {'__metadata__': {'format': 'pt'}}, b''
    for (key, tensor), name in zip(state.items(), names):
        content = tensor.contiguous().view(torch.uint8).numpy().tobytes() if tensor.numel() else b''
        header[key] = dict(
            dtype=name, shape=list(tensor.shape), data_offsets=[len(data), len(data) + len(content)]
        )
        data += content
    text = json.dumps(header).encode()
    path.write_bytes(struct.pack('<Q', len(text)) + text + data)


def test_safetensors_by_the_format(tmp_path):
    names = ['F32', 'F64', 'F16', 'BF16', 'I64', 'I32', 'I16', 'I8', 'U8', 'BOOL']
    state = {
        name: torch.tensor([[1, 0, 1], [0, 1, 1]]).to(dtype) for name, dtype in zip(names, DTYPES)
    }
    write_safetensors(tmp_path / 'a.safetensors', state, names)
    read = read_weights(tmp_path / 'a.safetensors')
    assert same(read, state)
    assert all(read[name].dtype == state[name].dtype for name in names)


def test_safetensors_of_the_library(tmp_path):
    library = pytest.importorskip('safetensors.torch', reason='needs safetensors (timm brings it)')
    state = {str(dtype): torch.randn(3, 2).to(dtype) for dtype in DTYPES}
    state |= {'empty': torch.empty(0, 4), 'one': torch.tensor(2.5)}
    library.save_file(state, tmp_path / 'a.safetensors')
    assert same(read_weights(tmp_path / 'a.safetensors'), state)


def test_missing_file():
    with pytest.raises(FileNotFoundError, match=r'no file of weights nowhere\.pth'):
        read_weights('nowhere.pth')


def test_whole_model_is_refused_in_one_sentence(tmp_path):
    torch.save(torch.nn.Conv2d(1, 1, 1), tmp_path / 'model.pth')
    with pytest.raises(
        ValueError, match=r'model\.pth cannot be read: .*Conv2d.*state_dict'
    ) as info:
        read_weights(tmp_path / 'model.pth')
    assert '\n' not in str(info.value)


@pytest.mark.parametrize('content', [{}, {'epoch': 3}, {'state_dict': {}}, [1, 2], torch.ones(2)])
def test_file_without_a_state_dict(content, tmp_path):
    torch.save(content, tmp_path / 'a.pth')
    with pytest.raises(ValueError, match=r'a\.pth cannot be read: expected a state dict'):
        read_weights(tmp_path / 'a.pth')


@pytest.mark.parametrize('name', ['a.pth', 'a.npz', 'a.safetensors', 'a.ckpt.index'])
@pytest.mark.parametrize('content', [b'', b'\0' * 8, b'<html>', b'\x08' + b'\0' * 7 + b'{"a":12}'])
def test_damaged_file_is_named(name, content, tmp_path):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ValueError, match=f'{name} cannot be read: .'):
        read_weights(tmp_path / name)


def test_objects_in_npz_are_not_unpickled(tmp_path):
    np.savez(tmp_path / 'a.npz', a=np.array([object()]))
    with pytest.raises(ValueError, match=r'a\.npz cannot be read'):
        read_weights(tmp_path / 'a.npz')


# ---- the Hugging Face Hub

HUB_STATE = {'conv1.weight': torch.ones(2)}


@pytest.fixture
def hub(monkeypatch, tmp_path):
    """A hub of one repository, org/net; gives its folder."""

    def hf_hub_download(repo_id, filename):
        if repo_id != 'org/net' or not (tmp_path / filename).is_file():
            raise OSError(f'404 for {repo_id}/{filename}\n\nmore of it')
        return str(tmp_path / filename)

    fake = SimpleNamespace(hf_hub_download=hf_hub_download)
    monkeypatch.setitem(sys.modules, 'huggingface_hub', fake)
    return tmp_path


def test_a_name_of_the_hub_stands_for_its_file(hub):
    torch.save(HUB_STATE, hub / 'pytorch_model.bin')
    assert torch.equal(read_weights('hf://org/net')['conv1.weight'], HUB_STATE['conv1.weight'])
    # what load_from and init_cfg go through
    found = CheckpointLoader.load_checkpoint('hf://org/net')
    assert found['state_dict'].keys() == HUB_STATE.keys()


def test_safetensors_first(hub):
    torch.save({'other': torch.ones(1)}, hub / 'pytorch_model.bin')
    (hub / 'model.safetensors').write_bytes(
        b'\x46\0\0\0\0\0\0\0{"conv1.weight":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}     '
        + HUB_STATE['conv1.weight'].numpy().tobytes()
    )
    assert read_weights('hf://org/net').keys() == HUB_STATE.keys()


def test_what_cannot_be_fetched_is_one_sentence(hub):
    with pytest.raises(ValueError, match=r'hf://org/no cannot be fetched .*404 for org/no[^\n]*$'):
        read_weights('hf://org/no')


def test_the_package_that_is_missing_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, 'huggingface_hub', None)
    with pytest.raises(ValueError, match='hf://org/net needs huggingface_hub'):
        read_weights('hf://org/net')
