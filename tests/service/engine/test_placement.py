"""GPUs, played by the CPU provider: everything but the copies and the kernels is the real thing."""

import math
from dataclasses import replace

import numpy as np
import pytest

from service.engine import model
from service.engine.embedder import Embedder
from service.engine.gpu import devices
from service.observability.metrics import Metrics
from service.settings import Settings
from tests.support.images import encode, noise

TWO = ("cuda:0", "cuda:1")


@pytest.fixture
def loads(monkeypatch):
    """Two GPUs that are the CPU; the devices that a model was loaded on, in order."""
    loaded = []
    load = model.load

    def on_cpu(path, device, threads, lone_threads=None, gpu=None):
        loaded.append(device)
        return replace(load(path, "cpu", threads), device=device.replace("cuda", "cpu"))

    monkeypatch.setattr(model, "load", on_cpu)
    monkeypatch.setattr(devices, "choose", lambda asked: TWO)
    return loaded


@pytest.fixture
def make(artifact, loads):
    made = []

    def embedder(**settings) -> Embedder:
        made.append(Embedder(Settings(model=artifact, **settings), Metrics()))
        return made[-1]

    yield embedder
    for one in made:
        one.close()


def test_streams_of_a_gpu_share_its_model(make, loads):
    embedder = make()
    assert embedder.batcher.streams == 4
    assert loads == ["cuda:0", "cuda:1"]


def test_streams_that_record_graphs_have_models_of_their_own(make, loads):
    make(cuda_graphs=True, streams=3)
    assert loads == ["cuda:0", "cuda:1", "cuda:0"]


def test_images_come_out_as_on_the_cpu(make, artifact, monkeypatch):
    files = [encode(noise(40 + i, 50)) for i in range(11)]
    on_gpus = make(max_batch_size=4)
    vectors = [f.result().vector for f in on_gpus.submit(files, math.inf)]
    monkeypatch.setattr(devices, "choose", lambda asked: ("cpu",))
    expected = [f.result().vector for f in make().submit(files, math.inf)]
    assert np.array_equal(vectors, expected)


def test_a_gpu_that_is_watched_is_healthy(make):
    embedder = make()
    assert embedder.on_gpu
    assert embedder.healthy()
