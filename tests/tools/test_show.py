from pathlib import Path

import pytest
from mmengine.config import Config
from show import main

ROOT = Path(__file__).parents[2]


def test_a_config_at_both_of_its_output_strides(capsys):
    main([str(ROOT / 'configs/deeplabv3x_r50_os8_voc.py'), '--size', '65', '97'])
    training, evaluation = capsys.readouterr().out.split('output_stride 8, evaluation:')
    assert 'output_stride 16, training:' in training
    assert 'block4 unit 2: stride 1, rate 4' in training
    assert 'block4 unit 2: stride 1, rate 8' in evaluation
    assert 'multiply-adds of convolutions at 65x97' in evaluation
    assert ' M parameters\n' in evaluation
    assert '\n  1.57 G multiply-adds' in training and '\n  4.59 G multiply-adds' in evaluation
    # backbone 23.51, ASPP 2048 * 256 * (1 + 3 * 9 + 1), projection 1280 * 256, 21 classes
    assert '\n39.05 M parameters\n' in evaluation
    assert 'GiB of tensors in a training step of 16 images of 65x97' in evaluation


def test_a_bare_name_will_do_and_a_wrong_one_is_told(capsys):
    main(['deeplabv3x_r18_os16_shapes', '--size', '33', '33'])
    assert 'output_stride 16, training and evaluation:' in capsys.readouterr().out
    with pytest.raises(SystemExit):
        main(['nowhere'])
    assert "no config file 'nowhere'" in capsys.readouterr().err


@pytest.mark.parametrize('name', ['mmseg.DeepLabV3', 'mmseg_deeplabv3x.models.DeepLabV3'])
def test_deeplabv3_is_known_by_every_name(name, tmp_path, capsys):
    cfg = Config.fromfile(ROOT / 'configs/deeplabv3x_r18_os16_shapes.py')
    cfg.model.type = name
    cfg.model.pop('output_stride', None)
    cfg.dump(tmp_path / 'named.py')
    main([str(tmp_path / 'named.py'), '--size', '33', '33'])
    assert 'output_stride 16, training and evaluation:' in capsys.readouterr().out


def test_a_misspelt_setting_is_told(tiny_config):
    config, option = tiny_config('show_spelling'), 'train_dataloder.batch_size=2'
    with pytest.raises(SystemExit, match="no 'train_dataloder'; 'train_dataloader' is prob"):
        main([config, '--cfg-options', option])


def test_a_config_that_trains_nothing_has_no_memory_of_a_training(tiny_config, capsys):
    main([tiny_config('show_no_training', {'optim_wrapper': None})])
    assert capsys.readouterr().out.rstrip().endswith('M parameters')
