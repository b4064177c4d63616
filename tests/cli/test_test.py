from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import pytest
from mmengine.config import Config

from mmseg_deeplabv3x.cli import test as cli_test


def test_show_dir_draws_every_image_into_that_folder(config, checkpoint, evaluation_config):
    cfg = evaluation_config(config, checkpoint, '--show-dir', 'pictures')
    hook = cfg.default_hooks.visualization
    assert (hook.type, hook.draw, hook.interval, hook.show) == (
        'FolderVisualizationHook',
        True,
        1,
        False,
    )
    others, local = cfg.visualizer.vis_backends
    assert others.type == 'TensorboardVisBackend'
    assert local == dict(type='SafeLocalVisBackend', img_save_dir=os.path.abspath('pictures'))


def test_show_dir_leaves_no_other_folder_to_draw_into(config, checkpoint, write, evaluation_config):
    ours = Config.fromfile(config)
    ours.visualizer.vis_backends = [dict(type='SafeLocalVisBackend')]
    cfg = evaluation_config(write('ours.py', **ours), checkpoint, '--show-dir', 'pictures')
    (only,) = cfg.visualizer.vis_backends
    assert only.img_save_dir == os.path.abspath('pictures')


def test_show_opens_windows(config, checkpoint, evaluation_config):
    cfg = evaluation_config(config, checkpoint, '--show', '--wait-time', '0.5')
    hook = cfg.default_hooks.visualization
    assert (hook.draw, hook.interval, hook.show, hook.wait_time) == (True, 1, True, 0.5)


def test_show_dir_needs_no_hook_in_the_config(tmp_path, checkpoint, write, evaluation_config):
    cfg = evaluation_config(
        write(tmp_path / 'bare.py', model={}), checkpoint, '--show-dir', 'pictures'
    )
    assert cfg.default_hooks.visualization.type == 'FolderVisualizationHook'
    assert cfg.visualizer.type == 'SegLocalVisualizer'


def test_out_reaches_every_metric(tmp_path, config, checkpoint, write, evaluation_config):
    cfg = evaluation_config(config, checkpoint, '--out', 'masks')
    writer = dict(type='ConfusionIoUMetric', format_only=True, output_dir='masks')
    assert cfg.test_evaluator == [dict(type='IoUMetric'), writer]
    two = write(tmp_path / 'two.py', test_evaluator=[dict(type='IoUMetric'), dict(type='Other')])
    _, other, last = evaluation_config(two, checkpoint, '--out', 'masks').test_evaluator
    assert other == dict(type='Other', output_dir='masks', keep_results=True) and last == writer


class Reached(Exception):
    pass


def reached(args):
    raise Reached


@pytest.mark.parametrize('flag', ['--out', '--show-dir'])
def test_predictions_are_not_mixed_with_those_of_another_test(
    config, checkpoint, tmp_path, monkeypatch, flag
):
    monkeypatch.setattr(cli_test, 'test_config', reached)
    out = tmp_path / 'out'
    line = [config, checkpoint, flag, str(out)]
    (out / 'x').mkdir(parents=True)
    with pytest.raises(Reached):
        cli_test.test(line)
    (out / 'x/1.png').touch()
    with pytest.raises(SystemExit) as end:
        cli_test.test(line)
    said = end.value.code
    assert f'{flag}: {out}/x/1.png is there already: remove {out}, or name another' in said
    with pytest.raises(SystemExit) as end:
        cli_test.test([*line[:-1], config])
    assert f'{flag} takes a folder, but {config} is a file.' in end.value.code
    monkeypatch.setenv('SLURM_RESTART_COUNT', '1')  # its own, of before the restart
    with pytest.raises(Reached):
        cli_test.test(line)


def test_fast_adds_the_hook_that_speeds_the_model_up(config, checkpoint, write, evaluation_config):
    ours = dict(type='SpeedUpHook', precision='fp32', runtime=None)
    own = dict(type='ThroughputHook')
    assert 'custom_hooks' not in evaluation_config(config, checkpoint)
    assert evaluation_config(config, checkpoint, '--fast').custom_hooks == [ours]
    hooked = write(Path(config).with_name('hooked.py'), model={}, custom_hooks=[own])
    assert evaluation_config(hooked, checkpoint).custom_hooks == [own]
    assert evaluation_config(hooked, checkpoint, '--fast').custom_hooks == [own, ours]
    flags = ['--fast', '--precision', 'bf16', '--fast-runtime', 'torch']
    (hook,) = evaluation_config(config, checkpoint, *flags).custom_hooks
    assert hook == dict(ours, precision='bf16', runtime='torch')


def test_precision_without_fast_is_refused(config, checkpoint, capsys):
    with pytest.raises(SystemExit):
        cli_test.test([config, checkpoint, '--precision', 'bf16'])
    assert 'add --fast' in capsys.readouterr().err


def test_fast_of_a_model_with_an_average_gives_the_plain_scores(tiny_config, trained, tmp_path):
    average = {'custom_hooks': [dict(type='EMAHook')]}
    written = []
    for flags in ([], ['--fast']):
        config = tiny_config(f'averaged{len(flags)}', average)
        work_dir = tmp_path / f'run{len(flags)}'
        cli_test.test([config, trained[1], '--work-dir', str(work_dir), *flags])
        (path,) = work_dir.glob('*/*.json')
        written.append(json.loads(path.read_text())['mIoU'])
    assert written[0] == pytest.approx(written[1], abs=0.1)


def test_tta_wraps_the_model(tmp_path, config, checkpoint, evaluation_config):
    extra = "tta_model = dict(type='SegTTAModel')\ntta_pipeline = ['augmented']\n"
    path = tmp_path / 'augmented.py'
    path.write_text(Path(config).read_text() + extra)
    cfg = evaluation_config(str(path), checkpoint, '--tta')
    assert cfg.model == dict(type='SegTTAModel', module=dict(type='EncoderDecoder'))
    assert cfg.test_dataloader.dataset.pipeline == ['augmented']


def test_the_views_are_those_of_the_command_line(tmp_path, checkpoint, write, evaluation_config):
    resize = dict(type='Resize', scale_factor=2.0, keep_ratio=True)
    flips = [dict(type='RandomFlip', prob=prob, direction='horizontal') for prob in (0.0, 1.0)]
    config = write(
        tmp_path / 'augmented.py',
        model=dict(type='DeepLabV3', output_stride=16),
        test_dataloader=dict(dataset=dict(pipeline=[])),
        tta_pipeline=[dict(type='TestTimeAug', transforms=[[resize], flips])],
    )

    def evaluated(*argv):
        cfg = evaluation_config(config, checkpoint, '--tta', *argv)
        (augment,) = cfg.test_dataloader.dataset.pipeline
        scales, flips = augment.transforms
        return [s['scale_factor'] for s in scales], [f['prob'] for f in flips]

    assert evaluated() == ([2.0], [0.0, 1.0])
    assert evaluated('--scales', '0.5', '1') == ([0.5, 1.0], [0.0, 1.0])
    assert evaluated('--no-flip') == ([2.0], [0.0])
    cfg = evaluation_config(config, checkpoint, '--tta', '--output-stride', '8')
    assert cfg.model.module.output_stride == dict(train=16, test=8)


@pytest.mark.parametrize('flags', [['--scales', '1.0'], ['--no-flip']])
def test_views_need_tta(config, checkpoint, flags, capsys):
    with pytest.raises(SystemExit):
        cli_test.test([config, checkpoint, *flags])
    assert '--scales and --no-flip choose the views of --tta: add --tta' in capsys.readouterr().err


def test_mmengines_logger_becomes_one_that_shows_the_time_per_image(
    tmp_path, checkpoint, write, evaluation_config
):
    def logger(**cfg):
        path = write(tmp_path / 'logging.py', model={}, **cfg)
        return evaluation_config(path, checkpoint).get('default_hooks', {}).get('logger')

    def of_config(logger):
        return dict(default_hooks=dict(timer=dict(type='IterTimerHook'), logger=logger))

    ours = dict(type='ProgressLoggerHook')
    assert logger() == ours
    assert logger(**of_config(dict(type='LoggerHook', interval=3))) == dict(ours, interval=3)
    assert logger(**of_config(dict(type='Other'))) == dict(type='Other')
    assert logger(**of_config(None)) is None


def test_a_link_out_of_the_data_root_is_not_evaluated_where_that_is_forbidden(
    tiny_config, shapes_root, tmp_path
):
    data = tmp_path / 'data'
    shutil.copytree(shapes_root, data)
    image = data / 'JPEGImages/val_00000.jpg'
    os.rename(image, tmp_path / image.name)
    image.symlink_to(tmp_path / image.name)
    roots = {f'{part}_dataloader.dataset.data_root': str(data) for part in ('val', 'test')}
    config = tiny_config('link', dict(roots, allow_outside_links=False))
    weights = tmp_path / 'w.pth'
    weights.write_bytes(b'')
    with pytest.raises(SystemExit, match=f'{image} leads to {tmp_path}/{image.name}, outside of'):
        cli_test.test([config, str(weights), '--work-dir', str(tmp_path)])


def test_an_evaluation_leaves_nothing_in_the_work_dir_but_pictures(trained, tiny_config, tmp_path):
    work_dir = tmp_path / 'training'
    # a config for each run: mmengine's logger goes by its name and the second
    configs = [tiny_config(f'evaluated{i}', dict(work_dir=str(work_dir))) for i in range(3)]
    work_dir.mkdir()
    (work_dir / 'evaluated0.py').write_text('# of the training')
    cli_test.test([configs[0], trained[1]])
    assert [path.name for path in work_dir.iterdir()] == ['evaluated0.py']
    assert (work_dir / 'evaluated0.py').read_text() == '# of the training'

    kept = ['--work-dir', str(tmp_path / 'kept'), '--cfg-options', 'visualizer.name=kept']
    cli_test.test([configs[1], trained[1], *kept])
    assert (
        len(list(tmp_path.glob('kept/*/*.json'))) == len(list(tmp_path.glob('kept/*/*.log'))) == 1
    )

    draw = 'default_hooks.visualization.draw=True default_hooks.visualization.interval=1'
    options = ['--cfg-options', *draw.split(), 'visualizer.name=drawn']
    cli_test.test([configs[2], trained[1], *options])
    assert len(list(work_dir.glob('*/vis_data/vis_image/*.png'))) == 3
    assert len(list(work_dir.iterdir())) == 2
