"""Against a server of this machine; the official servers are out of reach of a test."""

import hashlib
import os
import re
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from mmseg_deeplabv3x.prepare import download as module
from mmseg_deeplabv3x.prepare.download import DownloadError, Remote, download

CONTENT = os.urandom(3_000_000)
MD5 = hashlib.md5(CONTENT).hexdigest()


class Handler(BaseHTTPRequestHandler):
    """Sends CONTENT, with the faults that the server is told to have."""

    def do_GET(self):
        server = self.server
        wanted = re.fullmatch(r'bytes=(\d+)-', self.headers.get('Range', ''))
        start = int(wanted.group(1)) if wanted and server.ranges else 0
        server.starts.append(start)
        if server.status != 200:
            self.send_error(server.status)
            return
        if start >= len(CONTENT):
            self.send_response(416)
            self.send_header('Content-Range', f'bytes */{len(CONTENT)}')
            self.end_headers()
            return
        self.send_response(206 if start else 200)
        if start:
            start += server.shift
            self.send_header('Content-Range', f'bytes {start}-{len(CONTENT) - 1}/{len(CONTENT)}')
        if server.tells_length:
            self.send_header('Content-Length', str(len(CONTENT) - start))
        self.end_headers()
        self.wfile.write(CONTENT[start : start + server.breaks.pop(0) if server.breaks else None])

    def log_message(self, *_):
        pass


@pytest.fixture
def server(monkeypatch):
    server = ThreadingHTTPServer(('127.0.0.1', 0), Handler)
    server.ranges, server.tells_length, server.status = True, True, 200
    server.breaks, server.starts, server.shift = [], [], 0
    server.url = f'http://localhost:{server.server_port}/folder/file.tgz'
    threading.Thread(target=server.serve_forever, daemon=True).start()
    monkeypatch.setattr(module.time, 'sleep', lambda seconds: None)
    yield server
    server.shutdown()
    server.server_close()


def test_a_file_comes_whole_and_only_once(server, tmp_path, capsys):
    for _ in range(2):
        path = download(Remote(server.url, MD5), tmp_path / 'new')
        assert path == tmp_path / 'new/file.tgz' and path.read_bytes() == CONTENT
    assert server.starts == [0] and os.listdir(path.parent) == ['file.tgz']
    assert 'file.tgz: 3.0 MB of 3.0 MB' in capsys.readouterr().out


def test_a_broken_connection_goes_on_where_it_stopped(server, tmp_path):
    server.breaks = [1_000_000, 500_000]
    assert download(Remote(server.url, MD5), tmp_path).read_bytes() == CONTENT
    assert server.starts == [0, 1_000_000, 1_500_000]


def test_a_later_run_goes_on_where_a_killed_one_stopped(server, tmp_path):
    (tmp_path / 'file.tgz.partial').write_bytes(CONTENT[:2_000_000])
    assert download(Remote(server.url, MD5), tmp_path).read_bytes() == CONTENT
    assert server.starts == [2_000_000]


def test_a_server_without_ranges_sends_all_of_it_again(server, tmp_path):
    server.ranges = False
    server.breaks = [1_000_000, 2_000_000]
    assert download(Remote(server.url, MD5), tmp_path).read_bytes() == CONTENT
    assert server.starts == [0, 0, 0]


def test_a_server_that_tells_no_length(server, tmp_path):
    server.tells_length = False
    path = download(Remote(server.url, MD5, name='other.zip'), tmp_path)
    assert path.name == 'other.zip' and path.read_bytes() == CONTENT


@pytest.mark.parametrize('more', [b'', b'too much'])
def test_all_of_it_or_more_is_there_already(server, tmp_path, more):
    (tmp_path / 'file.tgz.partial').write_bytes(CONTENT + more)
    assert download(Remote(server.url, MD5), tmp_path).read_bytes() == CONTENT


def test_a_connection_that_brings_nothing_new_is_given_up(server, tmp_path):
    server.ranges = False
    server.breaks = [1_000_000] * 20
    with pytest.raises(DownloadError) as error:
        download(Remote(server.url, MD5), tmp_path)
    assert (
        'the connection ended early. 1000000 bytes have arrived; run the same command again'
        in str(error.value)
    )
    assert len(server.starts) == 6 and os.listdir(tmp_path) == ['file.tgz.partial']


def test_bytes_that_were_not_asked_for_are_not_appended(server, tmp_path):
    server.breaks, server.shift = [1_000_000], 5
    with pytest.raises(
        DownloadError, match='the server sends bytes from 1000005 on, not from 1000000'
    ):
        download(Remote(server.url, MD5), tmp_path)
    assert (tmp_path / 'file.tgz.partial').read_bytes() == CONTENT[:1_000_000]


@pytest.mark.parametrize('status,connections', [(404, 1), (503, 5)])
def test_a_server_that_refuses(server, tmp_path, status, connections):
    server.status = status
    with pytest.raises(DownloadError, match=f'{server.url} could not be .*HTTP Error {status}'):
        download(Remote(server.url, MD5), tmp_path)
    assert len(server.starts) == connections and not os.listdir(tmp_path)


def test_no_server(server, tmp_path):
    server.shutdown()
    server.server_close()
    with pytest.raises(DownloadError, match='refused.*name it with --from'):
        download(Remote(server.url, MD5), tmp_path)


def test_another_file_than_the_published_one_is_removed(server, tmp_path):
    with pytest.raises(DownloadError, match=f'MD5 sum {MD5}, published is 0000: it was damaged'):
        download(Remote(server.url, '0000'), tmp_path)
    assert not os.listdir(tmp_path)


def test_no_checksum_is_said(server, tmp_path, capsys):
    download(Remote(server.url), tmp_path)
    assert 'file.tgz: no checksum is published' in capsys.readouterr().out
