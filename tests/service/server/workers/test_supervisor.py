"""Worker processes before one engine, as `SWIN_WORKERS=2` has them, with real signals."""

import os
import shutil
import signal
import subprocess
import threading
import urllib.error
import urllib.request
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest
from PIL import Image
from prometheus_client.openmetrics.parser import text_string_to_metric_families

from model_export.checkpoints.seeded import seeded
from model_export.export import export
from service.server.workers.supervisor import shares
from service.settings import Settings
from tests.faults import trial
from tests.faults.stop import stop_under_load
from tests.service.server.test_connections import connect, metric
from tests.service.test_main import HANGS, failed, get
from tests.support.eventually import eventually
from tests.support.images import encode, jpeg, noise
from tests.support.process import ROOT, SOON, running
from tests.support.small_model import SMALL_MODEL

pytestmark = pytest.mark.slow

ROWS = {"Accept": "application/octet-stream", "Content-Type": "image/png"}
PHOTOS = ["astronaut", "chelsea", "coffee", "rocket", "china", "flower"]
OK = 'swin_requests_total{door="embed",method="POST",status="200"}'


def post(address: str, image: bytes, **headers: str) -> tuple[int, dict[str, str], bytes]:
    """Status, headers and body; each request has a connection, and so a worker, of its own."""
    request = urllib.request.Request(f"{address}/embed", image, ROWS | headers)
    try:
        with urllib.request.urlopen(request, timeout=SOON) as answer:
            return answer.status, dict(answer.headers), answer.read()
    except urllib.error.HTTPError as error:
        return error.code, dict(error.headers), error.read()


def workers(process: subprocess.Popen) -> list[int]:
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text()
    return [int(child) for child in children.split()]


def is_there(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"


@contextmanager
def stopped(pids):
    """Processes that do nothing for a while."""
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        for pid in pids:
            os.kill(pid, signal.SIGCONT)


def readiness(process: subprocess.Popen, address: str) -> list[int]:
    """What each worker says, asked while the others cannot take the connection."""
    answers = []
    every = workers(process)
    for one in every:
        with stopped(set(every) - {one}):
            answers.append(get(f"{address}/health/ready"))
    return answers


@pytest.fixture(scope="module")
def served(artifact, tmp_path_factory):
    """A model file that may be replaced."""
    return shutil.copy(artifact, tmp_path_factory.mktemp("served") / "served.onnx")


@pytest.fixture(scope="module")
def two(served):
    with running(model=served, workers=2, admin=True) as started:
        yield started


def test_vectors_have_the_bits_of_a_single_process(two, client):
    files = [jpeg(name) for name in PHOTOS] + [encode(noise(40, 30, n)) for n in range(20)]
    expected = [client.post("/embed", content=file, headers=ROWS).content for file in files]
    with ThreadPoolExecutor(8) as clients:
        answers = list(clients.map(lambda file: post(two[1], file), files))
    assert [status for status, _, _ in answers] == [200] * len(files)
    assert [body for _, _, body in answers] == expected


def test_whichever_worker_is_asked_counts_for_all(two):
    address = two[1]
    before = metric(address, OK)
    with ThreadPoolExecutor(8) as clients:
        answers = list(clients.map(lambda _: post(address, jpeg("coffee")), range(60)))
    assert {status for status, _, _ in answers} == {200}
    eventually(lambda: metric(address, OK) == before + 60)
    assert {metric(address, OK) for _ in range(10)} == {before + 60}
    assert metric(address, 'swin_inference_runs_total{outcome="ok"}') >= before + 60
    assert metric(address, "swin_queue_capacity") == 512
    assert metric(address, "swin_workers") == 2
    assert metric(address, "swin_ready") == 1


def test_the_page_is_openmetrics_with_exemplars(two):
    post(two[1], jpeg("coffee"), **{"X-Request-Id": "the-newest"})
    request = urllib.request.Request(
        f"{two[1]}/metrics", headers={"Accept": "application/openmetrics-text"}
    )
    with urllib.request.urlopen(request, timeout=SOON) as answer:
        families = list(text_string_to_metric_families(answer.read().decode()))
    exemplars = [sample.exemplar for family in families for sample in family.samples]
    assert {"request_id": "the-newest"} in [one.labels for one in exemplars if one]
    names = [family.name for family in families]
    assert len(set(names)) == len(names) > 30


def reload(address: str) -> int:
    try:
        with urllib.request.urlopen(f"{address}/admin/reload", b"", SOON) as answer:
            return answer.status
    except urllib.error.HTTPError as error:
        return error.code


def test_a_new_model_is_served_by_all_and_never_mixed(two, served, artifact, tmp_path):
    address = two[1]
    other = tmp_path / "other.onnx"
    export(SMALL_MODEL, seeded(SMALL_MODEL.architecture, seed=1), other)
    ended = threading.Event()
    seen: dict[str, set[bytes]] = {}
    failures = []

    def keep_posting() -> None:
        while not ended.is_set():
            status, headers, body = post(address, jpeg("coffee"))
            if status != 200:
                failures.append(body)
            else:
                seen.setdefault(headers["x-model-digest"], set()).add(body)

    clients = [threading.Thread(target=keep_posting) for _ in range(4)]
    for one in clients:
        one.start()
    digests = []
    for path in (other, artifact, other):
        shutil.copy(path, served)
        assert reload(address) == 200
        after = {post(address, jpeg("coffee"))[1]["x-model-digest"] for _ in range(8)}
        assert len(after) == 1
        digests += after
    ended.set()
    for one in clients:
        one.join(SOON)
    assert not failures
    assert digests[0] == digests[2] != digests[1]
    assert set(seen) == set(digests)
    assert all(len(bodies) == 1 for bodies in seen.values())
    assert metric(address, 'swin_model_reloads_total{outcome="ok"}') == 3


def test_a_bad_file_changes_nothing(two, served):
    before = post(two[1], jpeg("coffee"))[1]["x-model-digest"]
    whole = Path(served).read_bytes()
    Path(served).write_bytes(whole[:1000])
    assert reload(two[1]) == 409
    Path(served).write_bytes(whole)
    assert post(two[1], jpeg("coffee"))[1]["x-model-digest"] == before
    eventually(lambda: readiness(*two) == [200, 200])


def test_a_worker_that_is_killed_is_replaced(two):
    process, address = two
    every = workers(process)
    counted = metric(address, OK)
    restarts = metric(address, "swin_worker_restarts_total")
    os.kill(every[0], signal.SIGKILL)
    statuses = {post(address, jpeg("coffee"))[0] for _ in range(10)}
    assert statuses == {200}  # by the other one
    eventually(lambda: metric(address, "swin_workers") == 2)
    assert metric(address, "swin_worker_restarts_total") == restarts + 1
    eventually(lambda: metric(address, OK) == counted + 10)
    eventually(lambda: readiness(*two) == [200, 200])
    assert len(set(workers(process)) - set(every)) == 1


def test_an_engine_that_says_nothing_is_not_ready(two):
    process, address = two
    with stopped([process.pid]):
        eventually(lambda: set(readiness(*two)) == {503})
        assert get(f"{address}/health/live") == 200
    eventually(lambda: readiness(*two) == [200, 200])


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_stops_with_status_0_and_leaves_nobody(artifact, number):
    with running(model=artifact, workers=2) as (process, address):
        every = workers(process)
        assert post(address, jpeg("coffee"))[0] == 200
        process.send_signal(number)
        assert process.wait(SOON) == 0
    assert not any(map(is_there, every))


@pytest.mark.parametrize("drain_seconds", [0, 0.5])
def test_a_stop_under_load_loses_nothing(artifact, drain_seconds):
    ended = stop_under_load(16, model=artifact, workers=2, drain_seconds=drain_seconds)
    assert ended.lost == 0
    assert set(ended.answers) == {200}
    assert ended.refused == 16
    assert ended.exit_status == 0


LATE = """
import asyncio
from service import __main__
from service.server.workers import supervisor
spawn, spawned = supervisor.spawn, []
async def late(*given):
    spawned.append(given)
    await asyncio.sleep(3 if len(spawned) == 2 else 0)
    return await spawn(*given)
supervisor.spawn = late
__main__.main()
"""


def test_it_is_ready_when_all_workers_are(artifact):
    with running(("-c", LATE), model=artifact, workers=2) as (process, address):
        assert len(workers(process)) == 2
        eventually(lambda: set(readiness(process, address)) == {200})


def test_a_second_signal_ends_all_at_once(artifact):
    with running(model=artifact, workers=2, drain_seconds=60) as (process, address):
        every = workers(process)
        process.send_signal(signal.SIGTERM)
        eventually(lambda: set(readiness(process, address)) == {503})
        assert post(address, jpeg("coffee"))[0] == 200
        process.send_signal(signal.SIGTERM)
        assert process.wait(SOON) == 128 + signal.SIGTERM
    eventually(lambda: not any(map(is_there, every)))


def test_workers_do_not_outlive_the_engine(artifact):
    with running(model=artifact, workers=2) as (process, _):
        every = workers(process)
        process.kill()
        eventually(lambda: not any(map(is_there, every)))


@pytest.mark.parametrize(
    ("fault", "statuses"),
    [("run hangs", {504}), ("run ends its thread", {503}), ("run crashes", {0, 503})],
)
def test_an_engine_that_cannot_go_on_ends_all(artifact, fault, statuses):
    with trial.faulty(model=artifact, workers=2) as (process, address):
        every = workers(process)
        seen = trial.meet(fault, process, address)
        assert seen.status in statuses
        assert process.wait(SOON) == (-signal.SIGSEGV if fault == "run crashes" else 1)
        assert set(seen.beside) <= {0, 200, 503, 504}
    eventually(lambda: not any(map(is_there, every)))


DECODE_HANGS = """
import time
from service.images import preprocess
to_rgb = preprocess.to_rgb
def hang(image):
    if image.size == (9, 7):
        time.sleep(1000)
    return to_rgb(image)
preprocess.to_rgb = hang
"""


@pytest.mark.parametrize("where", ["engine", "worker"])
def test_sigterm_ends_all_where_something_hangs(artifact, tmp_path, monkeypatch, where):
    (tmp_path / "sitecustomize.py").write_text(DECODE_HANGS)  # which workers import too
    monkeypatch.setenv("PYTHONPATH", f"{tmp_path}:{ROOT}")
    size = (9, 7) if where == "worker" else (9, 9)
    patience = {"request_timeout_s": 0.5, "stall_exit_s": 1000, "shutdown_grace_s": 0.5}
    with running(("-c", HANGS), model=artifact, workers=2, **patience) as (process, address):
        every = workers(process)
        assert post(address, encode(Image.new("RGB", size, "white")))[0] == 504
        process.send_signal(signal.SIGTERM)
        assert process.wait(SOON) == 1
    eventually(lambda: not any(map(is_there, every)))


def test_a_worker_that_does_not_end_is_killed(artifact):
    with running(model=artifact, workers=2, shutdown_grace_s=0.1) as (process, _):
        for one in workers(process):
            os.kill(one, signal.SIGSTOP)
        process.send_signal(signal.SIGTERM)
        assert process.wait(SOON) == 1


@pytest.mark.parametrize("fault", ["run fails", "run gives NaN", "run gives too few vectors"])
def test_a_run_that_fails_costs_its_own_request_alone(artifact, fault):
    with trial.faulty(model=artifact, workers=2) as started:
        seen = trial.meet(fault, *started)
    assert (seen.status, seen.code) == (503, "not_ready")
    assert seen.metrics['swin_images_total{outcome="failed"}'] == 1
    assert seen.metrics['swin_inference_runs_total{outcome="failed"}'] == 1
    assert set(seen.beside) == {200}
    assert seen.ended is None


def test_the_workers_of_a_hung_engine_are_not_ready_and_queue_no_more_than_they_may(artifact):
    limits = {"max_queue_size": 4, "max_images_per_request": 1, "streams": 1}
    patience = {"request_timeout_s": 6, "stall_exit_s": 60, "shutdown_grace_s": 1}
    program = ("-c", HANGS)
    with running(program, model=artifact, workers=2, **limits, **patience) as (process, address):
        white = encode(Image.new("RGB", (9, 9), "white"))
        with ThreadPoolExecutor(40) as clients:
            answers = [clients.submit(post, address, white) for _ in range(40)]
            eventually(lambda: set(readiness(process, address)) == {503})
            statuses = Counter(answer.result()[0] for answer in answers)
        # each worker has 2 lanes and lets 2 images wait
        assert set(statuses) == {429, 504}
        assert statuses[504] <= 8


def test_connections_are_limited_in_all(artifact):
    with running(model=artifact, workers=2, max_connections=6) as (_, address):
        crowd = [connect(address) for _ in range(30)]
        for connection in crowd:
            connection.sendall(b"GET /v1/models HTTP/1.1\r\nHost: x\r\n\r\n")
        statuses = Counter(connection.recv(12) for connection in crowd)
        assert set(statuses) == {b"HTTP/1.1 200", b"HTTP/1.1 503"}
        assert statuses[b"HTTP/1.1 200"] <= 6
        for connection in crowd:
            connection.close()
        name = 'swin_refused_connections_total{reason="too_many"}'
        eventually(lambda: get(f"{address}/health/live") == 200)
        assert metric(address, name) >= statuses[b"HTTP/1.1 503"]


def test_each_worker_has_room_for_a_full_request():
    for limits in ({}, {"max_queue_size": 64}, {"max_images_per_request": 1000}):
        for part in shares(Settings(workers=3, **limits)):
            assert part.max_queue_size >= part.max_images_per_request


def test_shares_add_up():
    settings = Settings(
        workers=3, max_queue_size=100, max_images_per_request=33, max_connections=11
    )
    parts = shares(settings)
    assert [part.max_queue_size for part in parts] == [34, 33, 33]
    assert [part.max_connections for part in parts] == [4, 4, 3]


@pytest.mark.parametrize(
    ("environment", "status", "said"),
    [
        ({}, 1, "SWIN_MODEL is not set"),
        ({"SWIN_MODEL": "{model}", "SWIN_DEVICE": "tensorrt"}, 1, "SWIN_DEVICE=tensorrt"),
        (
            {"SWIN_MODEL": "{model}", "SWIN_GRPC_PORT": "0"},
            2,
            "SWIN_GRPC_PORT needs SWIN_WORKERS=1",
        ),
        ({"SWIN_MODEL": "{model}", "SWIN_MAX_QUEUE_SIZE": "1"}, 2, "/ SWIN_WORKERS (2)"),
        ({"SWIN_MODEL": "{model}", "SWIN_MAX_CONNECTIONS": "1"}, 2, "a single connection"),
    ],
)
def test_what_cannot_be_served_is_one_line(artifact, environment, status, said):
    filled = {name: value.format(model=artifact) for name, value in environment.items()}
    code, line = failed(SWIN_WORKERS="2", **filled)
    assert (code, said in line) == (status, True), line


def test_a_worker_that_cannot_start_ends_all(artifact, tmp_path):
    (tmp_path / "httpcore2.py").write_text("raise ImportError")
    environment = {"SWIN_MODEL": str(artifact), "PYTHONPATH": str(tmp_path), "SWIN_WORKERS": "2"}
    code, line = failed("--allow-image-urls", "--image-url-hosts=*", **environment)
    assert (code, line) == (1, "error: a worker process ended with status 1 before it served")
