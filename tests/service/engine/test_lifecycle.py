import asyncio
import gc
import math
import shutil
import threading
import weakref

import numpy as np
import pytest

from model_export.checkpoints.seeded import seeded
from model_export.export import export
from service.engine import decoder, embedder, lifecycle, placement
from service.engine.job import Job, Request
from service.engine.lifecycle import Lifecycle
from service.engine.model import Model
from service.errors import EngineError
from service.observability.metrics import Metrics
from service.settings import Settings
from service.types import Picture
from tests.service.api.test_health import samples
from tests.support.eventually import eventually
from tests.support.images import encode, noise
from tests.support.small_model import SMALL_MODEL

SOON = 60
IMAGE = encode(noise(9, 9))


@pytest.fixture(scope="module")
def other(tmp_path_factory):
    """The small model with other weights."""
    path = tmp_path_factory.mktemp("other") / "other.onnx"
    export(SMALL_MODEL, seeded(SMALL_MODEL.architecture, seed=1), path)
    return path


@pytest.fixture
def served(artifact, tmp_path):
    """A model file that may be replaced."""
    return shutil.copy(artifact, tmp_path / "served.onnx")


def vector(answer) -> tuple[str, np.ndarray]:
    return answer.headers["X-Model-Digest"], np.array(answer.json()["embeddings"][0])


def test_a_reload_serves_the_new_file(serve, served, other):
    client = serve(model=served, admin=True)
    old_digest, old = vector(client.post("/embed", content=IMAGE))
    shutil.copy(other, served)
    answer = client.post("/admin/reload")
    assert answer.status_code == 200
    digest, new = vector(client.post("/embed", content=IMAGE))
    assert digest == answer.json()["digest"] != old_digest
    assert not np.allclose(old, new)
    seen = samples(client)
    assert seen['swin_model_reloads_total{outcome="ok"}'] == 1
    (info,) = [name for name in seen if name.startswith("swin_model_info")]
    assert digest in info
    assert seen["swin_ready"] == 1


def test_a_bad_file_changes_nothing(serve, served):
    client = serve(model=served, admin=True)
    before = vector(client.post("/embed", content=IMAGE))
    served.write_bytes(served.read_bytes()[:1000])
    answer = client.post("/admin/reload")
    assert (answer.status_code, answer.json()["error"]["code"]) == (409, "reload_failed")
    after = vector(client.post("/embed", content=IMAGE))
    assert before[0] == after[0]
    assert np.array_equal(before[1], after[1])
    assert samples(client)['swin_model_reloads_total{outcome="failed"}'] == 1
    assert client.get("/health/ready").status_code == 200


def test_the_garbage_collector_passes_by_what_is_there_for_good(serve, served):
    class Cycle:
        def __init__(self) -> None:
            self.itself = self

    gc.unfreeze()
    client = serve(model=served, admin=True)
    assert gc.get_freeze_count() > 10_000
    embedder = client.app.state.service.lifecycle.embedder
    embedder.cycle = Cycle()
    gc.freeze()
    old = weakref.ref(embedder.cycle)
    del embedder
    # The thread that closed the old engine may hold it a moment longer; the next reload frees it.
    eventually(lambda: client.post("/admin/reload").status_code == 200 and old() is None)
    assert gc.get_freeze_count() > 10_000


def test_reload_is_off_by_default(client):
    assert client.post("/admin/reload").status_code == 404


def test_reload_asks_for_a_key_where_there_are_keys(serve):
    client = serve(admin=True, api_keys="secret")
    assert client.post("/admin/reload").status_code == 401


def test_answers_and_digests_match_while_models_change(serve, served, artifact, other):
    client = serve(model=served, admin=True)
    stop = threading.Event()
    seen: list[tuple[str, np.ndarray]] = []

    def post() -> None:
        while not stop.is_set():
            answer = client.post("/embed", content=IMAGE)
            assert answer.status_code == 200, answer.text
            seen.append(vector(answer))

    clients = [threading.Thread(target=post) for _ in range(4)]
    for one in clients:
        one.start()
    for path in [other, artifact, other]:
        before = len(seen)
        shutil.copy(path, served)
        assert client.post("/admin/reload").status_code == 200
        while len(seen) < before + 20:
            assert any(one.is_alive() for one in clients)
    stop.set()
    for one in clients:
        one.join(SOON)
    vectors: dict[str, np.ndarray] = {}
    for digest, row in seen:
        assert np.array_equal(vectors.setdefault(digest, row), row)
    assert len(vectors) == 2


@pytest.fixture
def impatient(monkeypatch):
    monkeypatch.setattr(embedder, "STALLED_S", 0.05)
    monkeypatch.setattr(embedder, "STALLED_RUNS", 0)
    monkeypatch.setattr(lifecycle, "WATCH_S", 0.01)


def gave_up(client) -> bool:
    """Wait for the service to give up; whether it did."""
    state = client.app.state.service.lifecycle
    return any(state.failure or client.portal.call(asyncio.sleep, 0.01) for _ in range(SOON * 100))


@pytest.fixture
def hang(monkeypatch):
    """Make a client's model wait; returns what ends that."""

    def hold(client) -> threading.Event:
        gate = threading.Event()
        run = Model.run

        def slow(*arguments, **options):
            gate.wait(SOON)
            return run(*arguments, **options)

        monkeypatch.setattr(Model, "run", slow)
        return gate

    return hold


def test_a_hung_run_is_not_ready_then_given_up(serve, hang, impatient):
    client = serve(stall_exit_s=0.3, request_timeout_s=0.2)
    gate = hang(client)
    assert client.post("/embed", content=IMAGE).status_code == 504
    assert client.get("/health/ready").status_code == 503
    assert client.get("/health/live").status_code == 200
    assert gave_up(client)
    assert isinstance(client.app.state.service.lifecycle.failure, EngineError)
    gate.set()


def test_a_stream_that_died_answers_its_image_and_is_given_up(serve, monkeypatch, impatient):
    client = serve(streams=1, stall_exit_s=SOON * 10)
    monkeypatch.setattr(threading, "excepthook", lambda _: None)

    def die(*_, **__):
        raise SystemExit

    monkeypatch.setattr(Model, "run", die)
    assert client.post("/embed", content=IMAGE).status_code == 503
    assert client.get("/health/ready").status_code == 503
    assert gave_up(client)


def test_a_slow_image_is_no_stall(serve, monkeypatch, impatient):
    client = serve(streams=1)
    batcher = client.app.state.service.lifecycle.embedder.batcher
    gate, decoding = threading.Event(), threading.Event()

    def slow(*_, **__):
        decoding.set()
        gate.wait(SOON)
        return Picture(np.zeros((32, 32, 3), np.uint8), 32, 32, "png")

    monkeypatch.setattr(decoder, "preprocess", slow)
    (future,) = client.app.state.service.lifecycle.embedder.submit([IMAGE], SOON)
    assert decoding.wait(SOON)
    while batcher.longest_decode_s() < 2 * embedder.STALLED_S:
        pass
    assert client.get("/health/ready").status_code == 200
    monkeypatch.setattr(embedder, "STALLED_DECODE_S", 0.0)
    assert client.get("/health/ready").status_code == 503
    gate.set()
    future.result(SOON)


def test_a_full_queue_after_a_failed_run_is_not_ready(serve, monkeypatch):
    client = serve(max_queue_size=1, max_images_per_request=1)
    batcher = client.app.state.service.lifecycle.embedder.batcher

    def fail(*_, **__):
        raise RuntimeError("out of memory")

    with monkeypatch.context() as broken:
        broken.setattr(Model, "run", fail)
        assert client.post("/embed", content=IMAGE).status_code == 503
    job = Job(Request(), math.inf)
    batcher.queue.admit([job])
    assert client.get("/health/ready").status_code == 503
    assert samples(client)["swin_ready"] == 0
    batcher.queue.drop(job, ValueError("not wanted"))
    assert client.get("/health/ready").status_code == 200


def test_an_engine_that_recovers_is_not_given_up(serve, hang, impatient):
    client = serve(stall_exit_s=SOON)
    gate = hang(client)
    posting = threading.Thread(target=client.post, args=("/embed",), kwargs={"content": IMAGE})
    posting.start()
    while client.get("/health/ready").status_code == 200:
        pass
    gate.set()
    posting.join(SOON)
    assert client.get("/health/ready").status_code == 200
    assert client.app.state.service.lifecycle.failure is None


def stop(client) -> Exception | None:
    """Stop a service; why it could not end well."""
    client.__exit__(None, None, None)
    return client.app.state.service.lifecycle.failure


@pytest.fixture
def short(monkeypatch):
    """Settings of a grace that hung work outlasts, without a stall that is seen."""
    monkeypatch.setattr(lifecycle, "LAST_S", 0.1)
    return {"shutdown_grace_s": 0.1, "request_timeout_s": 0.2, "stall_exit_s": SOON}


def test_a_stop_leaves_a_run_behind_that_hangs(serve, hang, short):
    client = serve(**short)
    gate = hang(client)
    assert client.post("/embed", content=IMAGE).status_code == 504
    assert not client.app.state.service.lifecycle.embedder.hung()
    assert isinstance(stop(client), EngineError)
    assert not gate.is_set()
    gate.set()


def test_a_stop_waits_for_the_work_that_is_left(serve, hang):
    client = serve(request_timeout_s=0.2)
    gate = hang(client)
    assert client.post("/embed", content=IMAGE).status_code == 504
    threading.Timer(0.2, gate.set).start()
    assert stop(client) is None


def test_the_grace_begins_when_draining_is_over(monkeypatch):
    now = 100.0
    monkeypatch.setattr(lifecycle.time, "monotonic", lambda: now)
    state = Lifecycle(Settings(drain_seconds=5, shutdown_grace_s=30), Metrics())
    assert state.grace_left_s() == 30
    state.drain()
    now = 115.0
    state.drain()
    assert state.grace_left_s() == 20
    now = 200.0
    assert state.grace_left_s() == 0


def test_a_stop_leaves_a_load_behind_that_hangs(short):
    gate = threading.Event()

    def load(settings):
        gate.wait(SOON)
        return placement.load(settings)

    async def start_and_stop() -> Exception | None:
        state = Lifecycle(Settings(**short), Metrics(), load)
        starting = asyncio.create_task(state.start())
        await state.stop()
        assert not starting.done()
        return state.failure

    assert isinstance(asyncio.run(start_and_stop()), EngineError)
    assert not gate.is_set()
    gate.set()


def test_a_reload_leaves_an_engine_behind_that_hangs(serve, hang, monkeypatch):
    client = serve(admin=True, request_timeout_s=0.2)
    run = Model.run
    gate = hang(client)
    assert client.post("/embed", content=IMAGE).status_code == 504
    monkeypatch.setattr(Model, "run", run)
    monkeypatch.setattr(client.app.state.service.lifecycle.embedder, "hung", lambda: True)
    for _ in range(2):
        assert client.post("/admin/reload").status_code == 200
    assert client.post("/embed", content=IMAGE).status_code == 200
    assert client.get("/health/ready").status_code == 200
    assert isinstance(stop(client), EngineError)
    gate.set()


def test_an_engine_that_was_left_behind_and_recovered_is_no_failure(serve, hang, monkeypatch):
    client = serve(admin=True, request_timeout_s=0.2)
    run = Model.run
    gate = hang(client)
    assert client.post("/embed", content=IMAGE).status_code == 504
    monkeypatch.setattr(Model, "run", run)
    monkeypatch.setattr(client.app.state.service.lifecycle.embedder, "hung", lambda: True)
    assert client.post("/admin/reload").status_code == 200
    (closing,) = client.app.state.service.lifecycle._closing
    gate.set()
    client.portal.call(asyncio.wait, [closing])
    assert stop(client) is None
