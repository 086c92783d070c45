"""The engine and a worker in one process; the memory, the lanes and the intake are real."""

import math
import os
import threading

import numpy as np
import pytest

from service.engine.embedder import Embedder
from service.engine.model import Model
from service.engine.resources import WorkerPlan
from service.errors import EngineError, NotReady
from service.observability.metrics import Metrics
from service.server.workers.intake import Intake
from service.server.workers.remote import Offers, RemoteModel
from service.settings import Settings
from tests.support.eventually import eventually
from tests.support.images import encode, noise

FILES = [encode(noise(20 + number, 30, number)) for number in range(23)]


@pytest.fixture(params=[{}, {"max_batch_size": 4}], ids=["one image a run", "batches of 4"])
def engine(artifact, request):
    embedder = Embedder(Settings(model=artifact, **request.param), Metrics())
    intake = Intake(embedder)
    yield intake
    intake.close()
    embedder.close()


@pytest.fixture
def attach(engine):
    """Workers of the engine, a new one at each call."""
    made = []

    def worker(intake: Intake = engine) -> Embedder:
        offers = Offers()
        offer, descriptors = intake.offer(WorkerPlan(lanes=3, decode_threads=0), 2)
        # As if they had come from another process: numbers of its own for the same files.
        offers.put(offer, [os.dup(one) for one in descriptors])
        for one in descriptors:
            os.close(one)
        made.append(Embedder(Settings(), Metrics(), offers.load))
        return made[-1]

    yield worker
    for one in made:
        one.close()


def vectors(embedder: Embedder, files) -> list[np.ndarray]:
    return [future.result().vector for future in embedder.submit(files, math.inf)]


def test_vectors_have_the_bits_of_the_engine_s_own(engine, attach):
    expected = vectors(engine.embedder, FILES)
    for worker in (attach(), attach()):
        assert np.array_equal(vectors(worker, FILES), expected)


def test_workers_that_come_at_once_get_their_own_vectors(engine, attach):
    expected = vectors(engine.embedder, FILES)
    workers = [attach() for _ in range(3)]
    answers = {}

    def ask(number: int) -> None:
        turned = FILES[number:] + FILES[:number]
        answers[number] = vectors(workers[number], turned)

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for number, answer in answers.items():
        assert np.array_equal(answer, expected[number:] + expected[:number])


def test_a_worker_knows_the_model_and_has_none(engine, attach):
    worker, model = attach(), engine.embedder.model
    assert worker.model == RemoteModel(model.card, model.digest, model.provider)
    assert worker.healthy()


def test_a_run_that_fails_fails_its_images_alone(attach, monkeypatch):
    worker = attach()
    run = Model.run

    def flaky(self, pixels, **options):
        if (pixels == 255).all():
            raise RuntimeError("out of memory")
        return run(self, pixels, **options)

    monkeypatch.setattr(Model, "run", flaky)
    white = np.full((32, 32, 3), 255, np.uint8)
    (future,) = worker.submit([white], math.inf)
    with pytest.raises(NotReady):
        future.result()
    assert worker.batcher.last_run_failed
    assert worker.healthy()  # a run that succeeds makes it so
    assert len(vectors(worker, FILES)) == len(FILES)


def test_a_worker_whose_first_image_fails_is_not_made(attach, monkeypatch):
    monkeypatch.setattr(Model, "run", lambda self, *_: np.full((1, 128), np.nan, np.float32))
    with pytest.raises(EngineError):
        attach()


def test_a_worker_is_not_healthy_when_the_engine_is_not(engine, attach, monkeypatch):
    worker = attach()
    assert worker.healthy()
    monkeypatch.setattr(engine.embedder, "healthy", lambda: False)
    eventually(lambda: not worker.healthy())
    monkeypatch.undo()
    eventually(worker.healthy)


def test_the_memory_of_a_worker_that_left_is_let_go_of(engine, attach):
    worker, other = attach(), attach()
    assert len(engine._memories) == 2
    worker.close()
    eventually(lambda: len(engine._memories) == 1)
    assert len(vectors(other, FILES)) == len(FILES)


def test_a_worker_ends_when_the_engine_does(engine, attach, monkeypatch):
    monkeypatch.setattr(threading, "excepthook", lambda _: None)
    intake = Intake(engine.embedder)
    worker = attach(intake)
    intake.close()
    (future,) = worker.submit([FILES[0]], math.inf)
    with pytest.raises(NotReady):
        future.result()
    eventually(lambda: not worker.alive())
