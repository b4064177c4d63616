from __future__ import annotations

import base64
import io
import re
from html.parser import HTMLParser
from types import SimpleNamespace

import numpy as np
from PIL import Image

from mmseg_deeplabv3x.data_check import check_data, html_report
from mmseg_deeplabv3x.data_check.html_report import NO_CLASS, VOID, _coloured_mask, page


def pictures(written):
    return [
        np.array(Image.open(io.BytesIO(base64.b64decode(content))))
        for content in re.findall(r'src="data:image/(?:png|jpeg);base64,([^"]*)"', written)
    ]


def test_the_page_needs_no_other_file(data):
    data.write_mask(1, np.full((10, 12), 77, np.uint8))
    written = page(check_data(data.config()), 'title')
    sources = re.findall(r'(?:src|href)="([^"]*)"', written)
    assert sources and all(source.startswith('data:') for source in sources)

    opened = []

    class Parser(HTMLParser):
        def handle_starttag(self, tag, attrs):
            if tag not in ('meta', 'img'):
                opened.append(tag)

        def handle_endtag(self, tag):
            assert opened.pop() == tag

    Parser().feed(written)
    assert opened == []


def test_pictures_of_a_mask_of_16_bits(data):
    names = [f'thing {i}' for i in range(300)]
    metainfo = dict(classes=names, palette=[[i % 256, i // 256, 0] for i in range(300)])
    labels = np.full((10, 12), 299, np.uint16)
    labels[0], labels[1], labels[2] = 65535, 255, 300
    Image.fromarray(labels).save(data.mask(1))
    cfg = data.config(data.dataset('train', metainfo=metainfo))
    head = dict(type='FCNHead', num_classes=300, ignore_index=65535)
    padding = dict(type='SegDataPreProcessor', seg_pad_val=65535)
    cfg.model = dict(decode_head=head, data_preprocessor=padding)
    report = check_data(cfg)
    found = [problem for problem in report.problems if problem.kind == 'ids']
    [problem] = [problem for problem in found if problem.split == 'train']
    assert 'no class: 300 (12 pixels); expected 0 to 299 or 65535' in problem.message
    _, mask = pictures(page(report._replace(problems=[problem]), 'title'))
    assert mask[:4, 0].tolist() == [list(VOID), [255, 0, 0], list(NO_CLASS), [43, 1, 0]]


def test_pictures_of_a_mask_of_8_bits_among_300_classes(data):
    names = [f'thing {i}' for i in range(300)]
    metainfo = dict(classes=names, palette=[[i % 256, i // 256, 0] for i in range(300)])
    split = SimpleNamespace(
        load_mask=SimpleNamespace(backend_args=None), ignore_index=65535, metainfo=metainfo
    )
    Image.fromarray(np.uint8([[0, 1, 255]])).save(data.mask(1))
    for reduced, colours in ((False, [0, 1, 255]), (True, [VOID, 0, 254])):
        info = dict(seg_map_path=data.mask(1), reduce_zero_label=reduced)
        expected = [[c, 0, 0] if isinstance(c, int) else list(c) for c in colours]
        assert _coloured_mask(info, split)[0].tolist() == expected


def test_pictures_of_an_offender(data):
    labels = np.zeros((10, 12), np.uint8)
    labels[0], labels[1], labels[2] = 77, 255, 1
    data.write_mask(1, labels)
    report = check_data(data.config())
    image, mask = pictures(page(report, 'title'))
    assert image.shape == mask.shape == (10, 12, 3)
    palette = report.splits[0].metainfo['palette']
    assert mask[:4, 0].tolist() == [list(NO_CLASS), list(VOID), *np.array(palette)[[1, 0]].tolist()]


def test_pictures_are_small(data):
    Image.new('RGB', (1200, 1000)).save(data.image(1))
    Image.new('RGB', (1200, 1000)).save(data.mask(1))
    assert [p.shape for p in pictures(page(check_data(data.config()), 'title'))] == [
        (133, 160, 3)
    ] * 2


def test_broken_and_missing_files_have_no_picture(data):
    data.image(1).write_bytes(data.image(1).read_bytes()[:100])
    data.mask(1).unlink()
    assert pictures(page(check_data(data.config()), 'title')) == []


def test_the_number_of_pictures_is_limited(data, monkeypatch):
    for i in range(5):
        data.write_mask(i, np.full((10, 12), 9, np.uint8))
    monkeypatch.setattr(html_report, 'PICTURES', 2)
    written = page(check_data(data.config()), 'title')
    assert len(pictures(written)) == 4
    assert written.count('no class: 9 (120 pixels)') == 5


def test_names_are_escaped(data):
    data.write_list('train', ['<b>&'])
    written = page(check_data(data.config()), 'a < b')
    assert '<b>' not in written and '&lt;b&gt;&amp;.jpg does not exist' in written
    assert '<h1>a &lt; b</h1>' in written
