import time

from benchmarks.timing import cpu_ms, spread


def test_waiting_does_not_count():
    assert cpu_ms(lambda: time.sleep(0.2)) < 100


def test_spread():
    assert spread([3.0, 1.0, 2.44], '.1f') == '2.4 (1.0 to 3.0)'
