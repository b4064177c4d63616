"""What ``tools/infer.py --resume`` may go on with."""

import shutil

import pytest
import torch
from PIL import Image

from mmseg_deeplabv3x.cli.infer import infer


@pytest.fixture
def begun(trained, tmp_path, monkeypatch):
    """A command line whose results are there but for one image."""
    monkeypatch.chdir(tmp_path)
    for name in 'ab':
        Image.new('RGB', (48, 33)).save(f'{name}.png')
    line = [*trained, 'a.png', '-o', 'out', '--device', 'cpu']
    assert infer(line) == 0
    line.insert(3, 'b.png')
    return line


def test_the_same_model_goes_on_wherever_its_file_is(begun, tmp_path):
    begun[1] = shutil.copy(begun[1], str(tmp_path / 'moved.pth'))
    assert infer([*begun, '--resume', '--fast', '--fast-runtime', 'torch', '--batch', '2']) == 0
    assert (tmp_path / 'out/masks/b.png').is_file()


@pytest.mark.parametrize(
    'flags',
    ['--tta', '--output-stride 16', '--slide 33 20', '--precision bf16'],
)
def test_other_options_are_refused(begun, tmp_path, flags):
    flags = flags.split()
    name = flags[0].lstrip('-').replace('-', '_')
    with pytest.raises(SystemExit, match=f'in out were made with other settings: {name} was '):
        infer([*begun, '--resume', *flags])
    assert not (tmp_path / 'out/masks/b.png').exists()


def test_other_weights_and_another_config_are_refused(begun, tmp_path):
    other = torch.load(begun[1], weights_only=False)
    other['state_dict']['decode_head.conv_seg.bias'] += 1
    torch.save(other, tmp_path / 'iter_2.pth')
    with pytest.raises(SystemExit, match='other settings: checkpoint was [0-9a-f]{16}, now '):
        infer([begun[0], str(tmp_path / 'iter_2.pth'), *begun[2:], '--resume'])
    with pytest.raises(SystemExit, match='other settings: config was [0-9a-f]{16}, now of the ch'):
        infer(['-', *begun[1:], '--resume'])


def test_of_a_folder_with_results_of_two_models_nothing_goes_on(begun):
    line = [*begun[:2], 'b.png', *begun[4:]]
    assert infer([*line, '--tta']) == 0, 'as asked for: other images'
    with pytest.raises(SystemExit, match='tta was True, now False'):
        infer([*begun, '--resume'])


def test_results_without_a_record_are_taken_as_they_are(begun, tmp_path):
    (tmp_path / 'out/settings.json').unlink()
    assert infer([*begun, '--resume', '--tta']) == 0
    assert (tmp_path / 'out/settings.json').is_file()


@pytest.mark.parametrize('content', ['{', '[1]', '7'])
def test_a_record_of_somebody_else_is_named(begun, tmp_path, content):
    (tmp_path / 'out/settings.json').write_text(content)
    with pytest.raises(SystemExit, match='out/settings.json does not say what made'):
        infer([*begun, '--resume'])
