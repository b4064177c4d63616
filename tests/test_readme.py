"""The documents are true: what they list, link and name is there, and all of it is listed."""

from __future__ import annotations

import configparser
import importlib
import pkgutil
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import mmengine.registry
import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.registry import Registry, init_default_scope
from mmseg.registry import DATASETS, MODELS
from PIL import Image

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / 'mmseg_deeplabv3x'
PAGES = {path.name: path.read_text() for path in [ROOT / 'README.md', *ROOT.glob('docs/*.md')]}
README, API = PAGES['README.md'], PAGES['api.md']
ARCHITECTURE, CONFIGS = PAGES['architecture.md'], PAGES['configs.md']


def without_code(page: str) -> str:
    return re.sub(r'^```.*?^```', '', page, flags=re.M | re.S)


def first_cells(page: str) -> list[str]:
    """What stands between backticks in the first column of a page's tables."""
    rows = re.findall(r'^\|([^|]*)\|', page, re.M)
    return [name for cell in rows for name in re.findall(r'`([^`]+)`', cell)]


def python(page: str) -> list[str]:
    """The Python that a page shows."""
    return re.findall(r'```python\n(.*?)```', page, re.S)


# ---- examples


@pytest.fixture
def stock_based(tmp_path):
    """The README's config over mmseg's stock files, narrow and without pretrained weights."""
    (example,) = python(README)
    path = tmp_path / 'example.py'
    path.write_text(example)
    cfg = Config.fromfile(path)
    cfg.model.backbone.update(base_channels=8, init_cfg=None)
    cfg.model.decode_head.in_channels = 256
    return cfg


def test_the_config_over_mmsegs_stock_files_builds_and_predicts(stock_based):
    init_default_scope('mmseg')
    model = MODELS.build(stock_based.model)
    assert type(model).__name__ == 'DeepLabV3'
    assert model.output_strides == dict(train=16, test=8)
    image = torch.zeros(3, 65, 97, dtype=torch.uint8)
    model.eval()
    with torch.no_grad():
        result = model.test_step(dict(inputs=[image]))[0]
    assert result.pred_sem_seg.shape == (65, 97)


def test_the_config_for_your_own_data_loads_it(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for split in ('train', 'val'):
        for kind, suffix, shape in (('img', '.jpg', (48, 64, 3)), ('ann', '.png', (48, 64))):
            path = Path('data/cracks', kind, split, f'1{suffix}')
            path.parent.mkdir(parents=True)
            Image.fromarray(np.ones(shape, np.uint8)).save(path)
    (example,) = [text for text in python(PAGES['data.md']) if '_base_' in text]
    Path('cracks.py').write_text(example.replace("'./", f"'{ROOT}/configs/"))
    cfg = Config.fromfile('cracks.py')
    init_default_scope('mmseg')
    for loader in (cfg.train_dataloader, cfg.val_dataloader, cfg.test_dataloader):
        dataset = DATASETS.build(loader.dataset)
        assert len(dataset.metainfo['classes']) == cfg.model.decode_head.num_classes
        label = dataset[0]['data_samples'].gt_sem_seg.data
        assert label.unique().tolist() == [1]


def test_the_python_of_the_prediction_page_predicts(trained, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    config, checkpoint = trained
    Path('work_dirs/x').mkdir(parents=True)
    for name in ('work_dirs/x/iter_30000.pth', 'checkpoint.pth'):
        shutil.copy(checkpoint, name)
    pipeline = "\ntest_pipeline = test_dataloader['dataset']['pipeline']\n"  # mmseg asks for it
    Path('config.py').write_text(Path(config).read_text() + pipeline)
    Image.fromarray(np.full((48, 64, 3), 128, np.uint8)).save('photo.jpg')
    ours, mmsegs = python(PAGES['prediction.md'])
    found = {}
    exec(ours, found)
    assert Image.open('mask.png').size == (64, 48)
    exec(mmsegs, found)
    assert (found['classes'][0].numpy() == found['result'].mask).all()


# ---- the README


def test_the_readme_is_short_and_tells_early_how_to_install():
    lines = README.splitlines()
    assert len(lines) <= 150
    start = lines.index('## Install')
    end = next(i for i in range(start + 1, len(lines)) if lines[i].startswith('## '))
    assert end <= 60
    assert any('pip install' in line for line in lines[start:end])


def test_every_document_is_linked_from_the_readme():
    linked = set(re.findall(r'\]\(docs/(\w+\.md)', README))
    assert linked == set(PAGES) - {'README.md'}


def test_the_readme_measured_what_its_documents_say():
    results = PAGES['results.md']
    (output,) = re.findall(r'^```\n(\| IoU in %.*?)^```', README, re.M | re.S)
    assert set(output.splitlines()) <= set(results.splitlines())
    scores = re.findall(r'\d\d\.\d\d', README.partition('## Measured')[2])
    assert scores and all(score in results for score in scores)


# ---- what is listed


def test_every_config_is_in_the_table_and_every_name_of_the_table_is_there():
    assert sorted(first_cells(CONFIGS.split('\n## ')[0])) == sorted(
        path.name for path in (ROOT / 'configs').glob('*.py')
    )


def registered() -> Iterator[str]:
    """Names of what this package registers, in whichever registry."""
    for module in pkgutil.walk_packages([str(PACKAGE)], f'{PACKAGE.name}.'):
        importlib.import_module(module.name)
    registries = [r for r in vars(mmengine.registry).values() if isinstance(r, Registry)]
    while registries:
        registry = registries.pop()
        registries.extend(registry.children.values())
        for name, module in registry.module_dict.items():
            if module.__module__.split('.')[0] == PACKAGE.name:
                yield name


def test_every_registered_name_is_in_the_api_and_every_name_of_the_api_is_registered():
    listed = first_cells(API)
    assert len(listed) == len(set(listed))
    assert set(listed) == set(registered())


def test_the_architecture_lists_every_folder_of_the_package():
    tree = re.search(r'^```\nmmseg_deeplabv3x/(.*?)^configs/', ARCHITECTURE, re.M | re.S)[1]
    listed = re.findall(r'^  ([\w/.]+?)/? ', tree, re.M)
    rooms = [path.parent for path in PACKAGE.rglob('__init__.py') if path.parent != PACKAGE]
    expected = [*rooms, *PACKAGE.glob('*.py')]
    assert sorted(listed) == sorted(path.relative_to(PACKAGE).as_posix() for path in expected)


def test_the_floors_are_those_that_make_lint_holds():
    contracts = (ROOT / 'pyproject.toml').read_text()
    layers = re.findall(r'"(.*)"', re.search(r'^layers = \[(.*?)^\]', contracts, re.M | re.S)[1])
    floors = re.findall(r'^\| \d \| (.*) \|$', ARCHITECTURE, re.M)
    assert [set(re.findall(r'`(\w+)`', floor)) for floor in floors] == [
        set(layer.split(' | ')) for layer in layers
    ]


def test_every_extra_is_listed():
    setup = configparser.ConfigParser()
    setup.read(ROOT / 'setup.cfg')
    table = PAGES['install.md'].partition('| extra |')[2]
    assert first_cells(table) == list(setup['options.extras_require'])


# ---- links and paths


def anchors(page: str) -> set[str]:
    """The anchors that GitHub gives a page's headings."""
    titles = re.findall(r'^#+ (.*)$', without_code(page), re.M)
    return {re.sub(r'[^\w\- ]', '', title.lower()).replace(' ', '-') for title in titles}


@pytest.mark.parametrize('name', PAGES)
def test_every_linked_file_and_heading_is_there(name):
    folder = ROOT if name == 'README.md' else ROOT / 'docs'
    links = re.findall(r'\]\((?!https?:)([^)]+)\)', without_code(PAGES[name]))
    for link in links:
        path, _, anchor = link.partition('#')
        target = folder / path if path else folder / name
        assert target.exists(), link
        if anchor:
            assert anchor in anchors(target.read_text()), link


# NAME.py stands for a file that the reader adds.
A_PATH = r'(?<![\w./-])((?:tools|tests|configs|docs|mmseg_deeplabv3x)/[\w./-]*\w/?)'


@pytest.mark.parametrize('name', PAGES)
def test_every_path_into_the_repository_is_there(name):
    for path in re.findall(A_PATH, PAGES[name]):
        assert (ROOT / path).exists() or path.endswith('/NAME.py'), path


@pytest.mark.parametrize('name', PAGES)
def test_every_named_test_is_there(name):
    for path, test in re.findall(r'`(tests/\S+?\.py)::(\w+)', PAGES[name]):
        assert f'def {test}(' in (ROOT / path).read_text(), test


@pytest.mark.parametrize('name', PAGES)
def test_every_flag_in_a_command_is_one_that_our_tools_know(name):
    sources = [*PACKAGE.glob('cli/*.py'), *ROOT.glob('tools/**/*.py')]
    known = set(re.findall(r"'(--[\w-]+)'", '\n'.join(path.read_text() for path in sources)))
    scripts = '\n'.join(path.read_text() for path in ROOT.glob('tools/*.sh'))
    known.update(re.findall(r' = (--[\w-]+) \]', scripts))
    commands = re.findall(r'tools/\w+\.(?:py|sh)[^`\n]*(?:\\\n[^`\n]*)*', PAGES[name])
    for command in commands:
        assert set(re.findall(r' (--[\w-]+)', command)) <= known, command


@pytest.mark.parametrize('name', PAGES)
def test_every_target_of_make_is_there(name):
    targets = re.findall(r'^([\w-]+):', (ROOT / 'Makefile').read_text(), re.M)
    for target in re.findall(r'(?:^|`)make ([\w-]+)', PAGES[name], re.M):
        assert target in targets, target
