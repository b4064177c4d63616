import threading
import time

import pytest

from mmseg_deeplabv3x.datasets.parallel import map_files


def test_results_come_in_order_and_progress_is_shown(capsys):
    first_is_late = threading.Event()

    def square(value):
        if value == 0:
            assert first_is_late.wait(10)
        if value == 5:
            first_is_late.set()
        return value**2

    assert map_files(square, range(6), 'Squares', workers=2) == [0, 1, 4, 9, 16, 25]
    assert 'Squares: 6 of 6' in capsys.readouterr().out


def test_first_error_ends_the_work():
    done = []

    def work(value):
        done.append(value)
        time.sleep(0.002)
        if value == 3:
            raise KeyError('three')

    with pytest.raises(KeyError, match='three'):
        map_files(work, range(1000), 'Squares', workers=2)
    assert len(done) < 1000
