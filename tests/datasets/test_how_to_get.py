import re
from pathlib import Path

import pytest

from mmseg_deeplabv3x.datasets.how_to_get import missing_data

CONFIGS = Path(__file__).parents[2] / 'configs/_base_/datasets'
USED = {
    name
    for path in CONFIGS.glob('*.py')
    for name in re.findall(r"'(\w+Dataset)'", path.read_text())
}


@pytest.mark.parametrize('dataset', sorted(USED))
def test_every_dataset_of_the_configs_says_how_to_get_it(dataset):
    message = missing_data(dataset, 'a/list.txt', 'a')
    assert message.startswith(f'{dataset} finds no a/list.txt: ')
    tool = re.search(r'`python (tools/\w+\.py) .*--root a[ `]', message)
    if tool:
        assert (CONFIGS.parents[2] / tool.group(1)).is_file()
    else:  # published in the layout that its class reads
        assert re.search(r'unpack https?://\S+\.zip there$', message)


def test_a_dataset_of_others_is_only_named():
    assert missing_data('Foreign', 'a/b', 'a') == 'Foreign finds no a/b'
