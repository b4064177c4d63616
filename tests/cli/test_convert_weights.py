import pytest
import torch
from mmseg.models.backbones import ResNet

from mmseg_deeplabv3x.cli.convert_weights import main


@pytest.fixture
def torchvision_file(tmp_path):
    state = ResNet(18).state_dict() | {'fc.weight': torch.ones(2), 'fc.bias': torch.ones(2)}
    torch.save({'model': {f'module.{key}': value for key, value in state.items()}},
               tmp_path / 'resnet18.pth')  # fmt: skip
    return tmp_path / 'resnet18.pth'


def test_tells_what_a_file_is(torchvision_file, capsys):
    main([str(torchvision_file)])
    source, backbone, images = capsys.readouterr().out.splitlines()
    assert source == 'ResNet, 100 tensors; dropped, classifier of images: fc (2 tensors)'
    assert backbone == 'backbone: AtrousResNet(depth=18)'
    assert images.startswith('data_preprocessor: mean=[123.675,')
    assert [path.name for path in torchvision_file.parent.iterdir()] == ['resnet18.pth']


def test_backbone_is_written_as_a_stock_backbone_loads_it(torchvision_file, tmp_path, capsys):
    out = tmp_path / 'new' / 'ours.pth'
    main([str(torchvision_file), '-o', str(out)])
    state = torch.load(out, weights_only=True)['state_dict']
    ResNet(18).load_state_dict(state)
    assert capsys.readouterr().out.endswith(f'written: {out}\n')


def test_segmentor_is_written_whole(tmp_path, capsys):
    state = {f'backbone.{key}': value for key, value in ResNet(18).state_dict().items()}
    state |= {'classifier.4.bias': torch.arange(3.0)}
    torch.save(state, tmp_path / 'in.pth')
    main([str(tmp_path / 'in.pth'), '-o', str(tmp_path / 'out.pth')])
    written = torch.load(tmp_path / 'out.pth', weights_only=True)['state_dict']
    assert written['decode_head.conv_seg.bias'].tolist() == [0, 1, 2]
    assert 'backbone.conv1.weight' in written


@pytest.mark.parametrize('out', ['resnet18.pth', 'out.npz', 'out'])
def test_out_must_be_another_pth_file(out, torchvision_file, tmp_path):
    before = torchvision_file.read_bytes()
    with pytest.raises(SystemExit, match=r'--out must be another file, its name ending in \.pth'):
        main([str(torchvision_file), '-o', str(tmp_path / out)])
    assert torchvision_file.read_bytes() == before


def test_file_that_is_not_there(tmp_path):
    with pytest.raises(SystemExit, match=r'convert_weights\.py: There is no file of weights'):
        main([str(tmp_path / 'none.pth')])


def test_unknown_network_names_the_file(tmp_path):
    torch.save({'vit.qkv.weight': torch.ones(2)}, tmp_path / 'vit.pth')
    with pytest.raises(SystemExit, match=r'vit\.pth: no backbone is recognised'):
        main([str(tmp_path / 'vit.pth')])


def test_whole_model_is_refused(tmp_path):
    torch.save(torch.nn.Linear(1, 1), tmp_path / 'model.pth')
    with pytest.raises(SystemExit, match=r'model\.pth cannot be read: .*state_dict\(\)'):
        main([str(tmp_path / 'model.pth')])
