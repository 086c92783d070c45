"""Faults inside: an answer for every waiter, then recovery, or a prompt exit that is not 0."""

import resource
import signal
import tempfile
import urllib.parse
from contextlib import ExitStack
from pathlib import Path

import pytest

from service.server.server import allow_open_files
from tests.faults import server, trial
from tests.service.server.test_connections import connect
from tests.service.test_main import get
from tests.support.eventually import eventually
from tests.support.images import encode, jpeg, noise
from tests.support.process import SOON

pytestmark = pytest.mark.slow

FAILED = {
    'swin_images_total{outcome="failed"}': 1,
    'swin_inference_runs_total{outcome="failed"}': 1,
    'swin_rejected_total{reason="not_ready"}': 1,
}
INVALID = 'swin_images_total{outcome="invalid"}'
SURVIVED = {
    "run fails": (503, "not_ready", FAILED),
    "run gives NaN": (503, "not_ready", FAILED),
    "run has no memory": (503, "not_ready", FAILED),
    "run gives too few vectors": (503, "not_ready", FAILED),
    "decode fails": (
        *(422, "invalid_image"),
        {INVALID: 1, 'swin_rejected_total{reason="invalid_image"}': 1},
    ),
    "decode has no memory": (
        *(413, "image_too_large"),
        {INVALID: 1, 'swin_rejected_total{reason="image_too_large"}': 1},
    ),
    "body has no memory": (503, "not_ready", {'swin_rejected_total{reason="not_ready"}': 1}),
}


@pytest.fixture(scope="module", params=["streams decode", "ahead"])
def surviving(artifact, request):
    options = ["ahead"] if request.param == "ahead" else []
    with trial.faulty(*options, model=artifact) as started:
        yield started


@pytest.mark.parametrize("fault", SURVIVED)
def test_a_fault_costs_its_own_request_alone(surviving, fault):
    seen = trial.meet(fault, *surviving)
    assert (seen.status, seen.code, seen.metrics) == SURVIVED[fault]
    assert set(seen.beside) == {200}
    assert seen.ended is None


@pytest.mark.parametrize(
    ("options", "fault", "status"),
    [
        ([], "run hangs", 504),
        ([], "run ends its thread", 503),
        ([], "decode hangs", 504),
        ([], "decode ends its thread", 503),
        (["ahead"], "decode hangs", 504),
        (["ahead"], "decode ends its thread", 503),
    ],
)
def test_what_cannot_be_mended_ends_the_process(artifact, options, fault, status):
    with trial.faulty(*options, model=artifact) as started:
        seen = trial.meet(fault, *started)
    assert seen.status == status
    assert seen.ended == 1
    assert set(seen.beside) <= {0, 200, 503}
    assert seen.beside[0] <= trial.CLIENTS  # connected as the service stopped listening


@pytest.mark.parametrize(
    ("options", "fault"),
    [([], "run hangs"), ([], "decode hangs"), (["ahead"], "decode hangs")],
)
def test_sigterm_ends_a_process_in_which_something_hangs(artifact, options, fault):
    patience = {"stall_exit_s": 1000, "request_timeout_s": 0.5, "shutdown_grace_s": 0.5}
    with trial.faulty(*options, model=artifact, **patience) as (process, address):
        host = urllib.parse.urlsplit(address).netloc
        assert trial.post(host, server.image(fault))[0] == 504
        process.send_signal(signal.SIGTERM)
        assert process.wait(SOON) == 1


@pytest.mark.parametrize("fault", ["run crashes", "decode crashes"])
def test_a_crash_in_native_code_ends_the_process(artifact, fault):
    with trial.faulty(model=artifact) as started:
        seen = trial.meet(fault, *started)
    assert seen.status == 0
    assert seen.ended < 0


def test_a_full_disk_is_nothing_to_forms(client, monkeypatch):
    def full(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(tempfile, "TemporaryFile", full)
    image = encode(noise(1000, 1000))
    assert len(image) > 2**20  # Starlette keeps less than that in memory
    answer = client.post("/embed", files=[("files", image), ("files", image)])
    assert answer.status_code == 200


def test_a_full_table_of_files_is_survived(artifact):
    with trial.faulty(model=artifact) as (process, address), ExitStack() as connections:
        kept = connections.enter_context(connect(address))
        kept.sendall(b"GET /health/live HTTP/1.1\r\nHost: x\r\n\r\n")
        assert _answer(kept).startswith(b"HTTP/1.1 200")
        limits = resource.prlimit(process.pid, resource.RLIMIT_NOFILE)
        files = len(list(Path(f"/proc/{process.pid}/fd").iterdir()))
        resource.prlimit(process.pid, resource.RLIMIT_NOFILE, (files + 10, limits[1]))
        crowd = [connections.enter_context(connect(address)) for _ in range(40)]
        assert any(_hung_up(connection) for connection in crowd[-5:])
        kept.sendall(b"GET /health/ready HTTP/1.1\r\nHost: x\r\n\r\n")
        assert _answer(kept).startswith(b"HTTP/1.1 200")
        for connection in crowd:
            connection.close()
        host = urllib.parse.urlsplit(address).netloc
        eventually(lambda: trial.post(host, jpeg("coffee"))[0] == 200)
        assert get(f"{address}/health/ready") == 200


def _answer(connection) -> bytes:
    """A whole answer in JSON: its head and its body may come apart."""
    received = b""
    while not received.endswith(b"}") and (more := connection.recv(1024)):
        received += more
    return received


def _hung_up(connection) -> bool:
    try:
        return connection.recv(1) == b""
    except ConnectionError:
        return True


@pytest.fixture
def limits(monkeypatch):
    """The limit of open files, soft and hard, as a list that stands for the kernel's."""
    now = [100, 100]
    monkeypatch.setattr(resource, "getrlimit", lambda _: tuple(now))
    monkeypatch.setattr(resource, "setrlimit", lambda _, pair: now.__setitem__(slice(2), pair))
    return now


@pytest.mark.parametrize(
    ("soft", "hard", "fitting", "then"),
    [
        (1024, 4096, 1000, 1288),
        (1024, resource.RLIM_INFINITY, 1000, 1288),
        (2000, 4096, 1000, 2000),
        (resource.RLIM_INFINITY, resource.RLIM_INFINITY, 1000, resource.RLIM_INFINITY),
        (1024, 1024, 736, 1024),
        (64, 100, 50, 100),
    ],
)
def test_connections_fit_the_limit_of_open_files(limits, soft, hard, fitting, then):
    limits[:] = soft, hard
    assert allow_open_files(1000) == fitting
    assert limits == [then, hard]
