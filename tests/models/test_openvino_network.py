"""OpenVINO in place of PyTorch: the same logits, and a process that can be told to end."""

import os
import subprocess
import sys
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from mmseg_deeplabv3x.models import openvino_network
from mmseg_deeplabv3x.models.openvino_network import OpenVINONetwork

SIGNAL_AFTER_TWO = """
import faulthandler, os, signal
import torch
import mmseg_deeplabv3x
from mmseg_deeplabv3x.models.openvino_network import OpenVINONetwork

faulthandler.enable()  # as pytest, and as one does who looks for a fault
signal.signal(signal.SIGTERM, lambda *_: print('told to end', flush=True))
networks = [OpenVINONetwork(torch.nn.Conv2d(3, 4, 1).eval()) for _ in range(2)]
images = torch.rand(2, 3, 8, 9)
while networks:
    assert networks[0](images).shape == (2, 4, 8, 9)
    del networks[0]
os.kill(os.getpid(), signal.SIGTERM)
"""


def test_a_signal_after_two_networks_is_handled():
    pytest.importorskip('openvino', reason='needs the extra deploy')
    argv = [sys.executable, '-c', SIGNAL_AFTER_TWO]
    done = subprocess.run(argv, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, 'told to end\n'), done.stderr


TOLD = """
import os, time
import torch
import mmseg_deeplabv3x
from mmseg_deeplabv3x.models.openvino_network import OpenVINONetwork
from openvino_telemetry.backend.backend_ga4 import GA4Backend
from openvino_telemetry.main import Telemetry

told = []
GA4Backend.send = lambda self, message: told.append(message)
OpenVINONetwork(torch.nn.Conv2d(3, 4, 1).eval())
Telemetry().sender.executor.shutdown(wait=True)  # which tells in threads
print(len(told), 'CI' in os.environ)
"""


def test_nothing_is_told_to_its_maker(tmp_path):
    pytest.importorskip('openvino_telemetry', reason='comes with the extra deploy')
    environment = {k: v for k, v in os.environ.items() if k not in ('CI', 'TF_BUILD')}
    argv, environment = [sys.executable, '-c', TOLD], dict(environment, HOME=str(tmp_path))
    done = subprocess.run(argv, env=environment, capture_output=True, text=True)
    assert done.stdout == '0 False\n', done.stderr
    assert not any(tmp_path.rglob('*ga_cid*'))  # nor does it get a number to know this user by


class UpperHalf(torch.nn.Module):
    """Half the rows, rounded up by a division that OpenVINO rounds towards 0."""

    def forward(self, x):
        return x[:, :, : -(-x.shape[2] // 2)] * 2


@pytest.mark.parametrize('precision', ['fp32', 'bf16'])
def test_a_network_that_it_computes_otherwise_is_refused(precision):
    pytest.importorskip('openvino', reason='needs the extra deploy')
    with pytest.raises(RuntimeError, match='not those of PyTorch'):
        OpenVINONetwork(UpperHalf().eval(), precision)


@pytest.mark.parametrize('precision, hint', [('fp32', 'f32'), ('bf16', 'bf16')])
def test_openvino_is_told_precision_and_threads(monkeypatch, precision, hint):
    told = []

    def compile_model(*args):
        told.append(args)
        return SimpleNamespace(create_infer_request=lambda: None)

    core = SimpleNamespace(compile_model=compile_model)
    monkeypatch.setattr(openvino_network, 'openvino_core', lambda: core)
    openvino_network.compile_by_openvino('network', precision)
    threads = torch.get_num_threads()
    settings = dict(INFERENCE_PRECISION_HINT=hint, INFERENCE_NUM_THREADS=threads)
    assert told == [('network', 'CPU', settings)]


def test_nan_in_place_of_a_number_is_refused(monkeypatch):
    pytest.importorskip('openvino', reason='needs the extra deploy')
    network = torch.nn.Conv2d(3, 4, 1).eval()
    size = (1, 4, 109, 131)
    monkeypatch.setattr(
        openvino_network,
        'compile_by_openvino',
        lambda *args: lambda images: np.full(size, np.nan, np.float32),
    )
    with pytest.raises(RuntimeError, match='not those of PyTorch'):
        OpenVINONetwork(network)
