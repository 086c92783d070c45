"""A server with a fault, good clients beside it, and what everyone saw."""

import http.client
import json
import threading
import time
import urllib.parse
import urllib.request
from collections import Counter
from contextlib import AbstractContextManager
from dataclasses import dataclass
from subprocess import Popen

from tests.faults import server
from tests.support.images import jpeg
from tests.support.process import SOON, running

PROGRAM = ("-m", "tests.faults.server")
CLIENTS = 4
WATCHED = ("swin_images_total", "swin_inference_runs_total", "swin_rejected_total")
PATIENCE = {"request_timeout_s": 2, "stall_exit_s": 2, "shutdown_grace_s": 2}
"""Settings under which what hangs is given up soon."""


@dataclass(frozen=True)
class Seen:
    """What became of a request that met a fault, of those beside it, and of the service.

    Attributes:
        status: of the answer; 0 if the connection broke.
        code: of the error.
        beside: statuses of the good requests, from before the fault until after it.
        metrics: those that grew, but for what the good requests add.
        ended: the exit status, where the process ended.
        seconds: from the faulty request until a good one was answered and the service ready, or
            until the process had ended.
    """

    status: int
    code: str
    beside: Counter[int]
    metrics: dict[str, float]
    ended: int | None
    seconds: float


def faulty(*options: str, **settings: object) -> AbstractContextManager[tuple[Popen[str], str]]:
    """A server in which `server.image` brings faults about: its process and address."""
    return running((*PROGRAM, *options), **PATIENCE | settings)


def meet(fault: str, process: Popen[str], address: str) -> Seen:
    """Bring a fault about while `CLIENTS` good ones post photos."""
    host = urllib.parse.urlsplit(address).netloc
    beside: Counter[int] = Counter()
    stop = threading.Event()
    clients = [
        threading.Thread(target=_keep_posting, args=(host, beside, stop)) for _ in range(CLIENTS)
    ]
    for client in clients:
        client.start()
    while not beside[200]:
        assert process.poll() is None
        time.sleep(0.01)
    before = seen = _metrics(address)
    started = time.monotonic()
    status, code = post(host, server.image(fault))
    while process.poll() is None and time.monotonic() - started < SOON:
        seen = _metrics(address) or seen
        if post(host, jpeg("coffee"))[0] == 200 and _ready(address):
            break
    seconds = time.monotonic() - started
    stop.set()
    for client in clients:
        client.join()
    return Seen(status, code, beside, _grown(before, seen), process.poll(), seconds)


def post(host: str, image: bytes) -> tuple[int, str]:
    """Status and error code; 0 for a connection that broke, -1 for one that could not be had."""
    connection = http.client.HTTPConnection(host, timeout=SOON)
    try:
        connection.connect()
    except OSError:
        return -1, ""
    try:
        connection.request("POST", "/embed", image, {"Content-Type": "image/png"})
        answer = connection.getresponse()
        body = json.loads(answer.read())
        return answer.status, body.get("error", {}).get("code", "")
    except (OSError, http.client.HTTPException):
        return 0, ""
    finally:
        connection.close()


def _keep_posting(host: str, statuses: Counter[int], stop: threading.Event) -> None:
    while not stop.is_set():
        status, _ = post(host, jpeg("coffee"))
        if status == -1:
            return
        statuses[status] += 1


def _ready(address: str) -> bool:
    try:
        with urllib.request.urlopen(f"{address}/health/ready", timeout=SOON):
            return True
    except (OSError, http.client.HTTPException):
        return False


def _metrics(address: str) -> dict[str, float]:
    """What `WATCHED` counts, less what good requests add to; empty if nothing answers."""
    try:
        with urllib.request.urlopen(f"{address}/metrics", timeout=SOON) as response:
            lines = response.read().decode().splitlines()
    except (OSError, http.client.HTTPException):
        return {}
    pairs = (line.rsplit(" ", 1) for line in lines if line.startswith(WATCHED))
    return {name: float(value) for name, value in pairs if 'outcome="ok"' not in name}


def _grown(before: dict[str, float], after: dict[str, float]) -> dict[str, float]:
    more = {name: value - before.get(name, 0) for name, value in after.items()}
    return {name: value for name, value in more.items() if value}
