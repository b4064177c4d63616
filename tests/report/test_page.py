import io
import json
import re
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mmseg_deeplabv3x.report.page import page
from mmseg_deeplabv3x.report.run import Run

CHROMIUM = shutil.which('chromium') or shutil.which('google-chrome')


def run(name, miou=50.0):
    scalars = {'mIoU': ([10], [miou]), 'loss': ([5, 10], [2.0, 1.0]), 'IoU/sofa': ([10], [40.0])}
    scalars['img/s'] = [1, 2, 3], [4.0, 6.0, 90.0]
    return Run(name, Path(name), Path(name, 'best.pth'), scalars, {'Config': 'my.py'})


def without_script(text):
    return re.sub(r'<script.*?</script>', '', text, flags=re.DOTALL)


def row(text, title):
    """The cells of the table's row with this title."""
    [cells] = re.findall(rf'<tr><td>{re.escape(title)}</td>(.*?)</tr>', text)
    return re.findall(r'>([^<]*)</td>', cells)


def sections(text):
    return re.findall(r'<h2>(.*?)</h2>', text)


def plots(text):
    return without_script(text).count('class="plotly-graph-div"')


def test_the_most_confused_pair_is_said_in_words(evaluation):
    text = page([run('one')], [evaluation], [])
    assert '60.0 % of <b>sofa</b> is taken for chair' in text
    assert '0123456789ab' in text and 'my.py' in text


def test_the_parts_of_one_run(evaluation):
    text = page([run('one')], [evaluation], [])
    assert sections(text) == [
        'Scores',
        'Training',
        'Classes',
        'one: what it confuses',
        'Set-up',
    ]
    assert plots(text) == 6  # loss, mIoU, IoU of classes | their bars, calibration | confusion
    # 100 * the mean of 90/100, 80/170, 40/120 | of 1/4, 2/6, 3/8 | 20 * 2.5 / 200
    assert row(text, 'mIoU of the checkpoint, %') == ['56.80']
    assert row(text, 'Boundary IoU, %') == ['31.94']
    assert row(text, 'calibration error, %') == ['25.00']
    assert row(text, 'Images a second') == ['6.00']  # the median


def test_every_chosen_image_is_shown_once_with_its_reasons(evaluation):
    figures = re.findall(r'<figure>.*?</figure>', page([run('one')], [evaluation], []))
    captions = [re.findall(r'<figcaption><b>(.*?)\.</b> (.*?)\. Image', one) for one in figures]
    reasons = 'Lowest mIoU of an image; Highest mIoU of an image; Least sure of itself'
    assert captions == [
        [
            (
                f'{reasons}; Most sofa taken for chair; Most chair taken for sofa',
                'b.jpg: mIoU 25.0 %, uncertainty 0.20',
            )
        ],
        [
            (
                f'{reasons}; Most &lt;floor&gt; taken for chair',
                'a.jpg: mIoU 50.0 %, uncertainty 0.10',
            )
        ],
    ]
    assert all(one.count('<img') == 4 for one in figures)


def test_the_colours_of_the_classes_in_the_pictures_are_named(evaluation):
    unseen = replace(evaluation, matrix=evaluation.matrix * [[1, 1, 0], [1, 1, 0], [0, 0, 0]])
    for one, names in ((evaluation, 4), (unseen, 3)):
        [legend] = re.findall(r'<p class="legend">(.*?)</p>', page([run('one')], [one], []))
        found = re.findall(r'rgb\((\S+)\)"></i>(.*?)</span>', legend)
        assert found[:2] == [('0,0,0', '&lt;floor&gt;'), ('1,2,3', 'chair')]
        assert found[-1] == ('255,255,255', 'no label') and len(found) == names


def test_names_are_escaped(evaluation):
    text = without_script(page([run('<b>')], [evaluation], ['a < b']))
    assert '<floor>' not in text and '&lt;floor&gt;' in text
    assert '&lt;b&gt;' in text and 'a &lt; b' in text


def test_no_address_is_loaded(evaluation):
    text = without_script(page([run('one')], [evaluation], []))
    assert not re.findall(r'(?:src|href)="(?!data:)', text)
    assert len(text) < 1e6


def test_without_an_evaluation_the_log_is_shown():
    text = page([run('one')], [None], ['one has no checkpoint'])
    assert 'one has no checkpoint' in text and '50.00' in text
    assert '<img' not in without_script(text)
    assert sections(text) == ['Scores', 'Training', 'Set-up'] and plots(text) == 3
    assert row(text, 'best mIoU of the log, %') == ['50.00']
    assert 'of the checkpoint' not in text and row(text, 'Images a second') == ['6.00']


def test_several_runs_have_mean_deviation_and_differences(evaluation):
    better = replace(evaluation, matrix=evaluation.matrix * [[1], [1], [0]])
    text = page([run('one', 50.0), run('two', 54.0)], [evaluation, better], [])
    assert row(text, 'best mIoU of the log, %') == ['50.00', '54.00', '52.00', '2.83']
    # of the second one: 90/100, 80/110, 0/20; less those of the first one in the rows of classes
    assert row(text, 'mIoU of the checkpoint, %') == ['56.80', '54.24', '55.52', '1.81']
    assert row(text, 'Boundary IoU, %') == ['31.94', '31.94', '31.94', '0.00']
    assert row(text, 'calibration error, %') == ['25.00', '25.00', '25.00', '0.00']
    assert row(text, '&lt;floor&gt;') == ['0.00']
    assert row(text, 'chair') == ['25.67'] and row(text, 'sofa') == ['-33.33']
    confused = [f'{name}: what it confuses' for name in ('one', 'two')]
    assert sections(text) == ['Scores', 'Training', 'Classes', *confused, 'Set-up']
    # loss, mIoU, IoU of classes of each | bars, calibration | confusion of each
    assert plots(text) == 8 and text.count('<figure>') == 4
    assert row(text, 'Images a second') == ['6.00', '6.00']


def test_runs_of_other_classes_are_not_compared(evaluation):
    other = replace(evaluation, classes=evaluation.classes[::-1])
    text = page([run('one'), run('two')], [evaluation, other], [])
    assert 'The runs have different classes' in text


PROBE = """<script>
const errors = [];
addEventListener('error', event => errors.push(event.message));
addEventListener('load', () => setTimeout(() => {
  const range = document.querySelector('.compare input');
  range.value = 80;
  range.dispatchEvent(new Event('input'));
  const plots = [...document.querySelectorAll('.js-plotly-plot')];
  parent.postMessage({
    errors,
    width: innerWidth,
    scroll: document.documentElement.scrollWidth,
    drawn: plots.filter(plot => plot.querySelector('.main-svg')).length,
    plots: plots.length,
    right: Math.max(...plots.map(p => p.querySelector('.main-svg').getBoundingClientRect().right)),
    pictures: [...document.images].map(image => image.naturalWidth),
    cut: getComputedStyle(range.previousElementSibling).clipPath,
  }, '*');
}, 1500));
</script>"""
FRAME = """<title>waiting</title><iframe src="page.html" width="{width}" height="900"></iframe>
<script>
addEventListener('message', event => {{ document.title = JSON.stringify(event.data); }});
</script>"""


@pytest.mark.slow
@pytest.mark.skipif(not CHROMIUM, reason='there is no chromium to open the page in')
@pytest.mark.parametrize('width', [390, 1200])
def test_a_browser_shows_it(evaluation, tmp_path, width):
    buffer = io.BytesIO()
    Image.new('RGB', (80, 60)).save(buffer, 'jpeg')
    picture = np.frombuffer(buffer.getvalue(), np.uint8)
    shown = replace(evaluation, pictures=dict.fromkeys(evaluation.pictures, picture))
    text = page([run('a' * 60), run('two')], [shown, shown], [])
    assert len(text) < 20e6
    (tmp_path / 'page.html').write_text(text.replace('<head>', f'<head>{PROBE}'))
    # in a frame: the window of a browser is at least 500 pixels wide
    (tmp_path / 'frame.html').write_text(FRAME.format(width=width))
    flags = '--headless --no-sandbox --disable-gpu --disable-background-networking --no-first-run'
    command = [CHROMIUM, *flags.split(), f'--user-data-dir={tmp_path}/profile']
    command += ['--window-size=1400,1000', '--virtual-time-budget=20000', '--dump-dom']
    shot = subprocess.run(
        [*command, f'file://{tmp_path}/frame.html'], capture_output=True, text=True, timeout=120
    )
    seen = json.loads(re.search(r'<title>(.*?)</title>', shot.stdout).group(1))
    assert seen['errors'] == []
    assert seen['width'] == width and seen['scroll'] <= width and seen['right'] <= width
    assert seen['plots'] == seen['drawn'] > 5
    assert seen['pictures'] and set(seen['pictures']) == {80}
    assert seen['cut'] == 'inset(0px 0px 0px 80%)'
