"""Open-loop load over real sockets: `python -m benchmarks.open_load`, in a process of its own.

Requests leave at the times of a Poisson process, whether earlier ones are answered or not, as those
of many independent users do. It reads a `Plan` from standard input and prints what it `Measured`,
both as JSON.
"""

import contextlib
import json
import random
import resource
import select
import socket
import sys
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np

from benchmarks import load

WARM_UP = 0.25
"""Share of the measured time that passes before it."""

PATIENCE_S = 60
BUFFER = 65536


@dataclass(frozen=True)
class Plan:
    """What to send where, how often, for how long.

    Attributes:
        port: on the loopback interface.
        images: files to post to `/embed`, in turn.
        per_second: requests that are sent each second, on average.
        seconds: time that is measured.
    """

    port: int
    images: list[str]
    per_second: float
    seconds: float


@dataclass(frozen=True)
class Measured:
    """What came back; latencies in milliseconds, of answers within the measured time.

    Attributes:
        offered: requests a second that were really sent.
        goodput: answers a second with status 200.
        accepted_ms: 50th and 99th percentile of those.
        refused: answers a second with status 429.
        refused_ms: 50th and 99th percentile of those.
        retry_after_s: the median of what they were told to wait.
        sent: all requests, before and after the measured time too.
        answers: statuses of all of them.
        unanswered: requests whose connection was lost, or that were never answered.
        surplus: bytes that belonged to no request.
        late_ms: 99th percentile of how long after its time a request was sent.
        cpu: processor seconds that this client took, over the seconds it ran.
    """

    offered: float
    goodput: float
    accepted_ms: tuple[float, float]
    refused: float
    refused_ms: tuple[float, float]
    retry_after_s: float
    sent: int
    answers: dict[int, int]
    unanswered: int
    surplus: int
    late_ms: float
    cpu: float


@dataclass
class Tally:
    """Answers as they come, and the connections that are free."""

    began: float
    until: float
    free: list["Client"] = field(default_factory=list)
    waiting: int = 0
    lost: int = 0
    surplus: int = 0
    answers: Counter[int] = field(default_factory=Counter)
    retry_after: list[int] = field(default_factory=list)
    latencies: dict[int, list[float]] = field(default_factory=lambda: {200: [], 429: []})


class Client:
    """A connection with at most one request under way."""

    def __init__(self, tally: Tally, port: int) -> None:
        self.tally = tally
        self.socket = socket.create_connection(("127.0.0.1", port))
        self.socket.setblocking(False)
        self.buffer = bytearray()
        self.unsent = memoryview(b"")
        self.sent: float | None = None

    def post(self, request: memoryview) -> None:
        """Send a request."""
        self.sent = time.perf_counter()
        self.tally.waiting += 1
        self.unsent = request
        self.flush()

    def flush(self) -> None:
        """Send as much of the request as there is room for."""
        with contextlib.suppress(BlockingIOError):
            self.unsent = self.unsent[self.socket.send(self.unsent) :]

    def read(self) -> bool:
        """Collect an answer; when it is whole, tally it. Whether the connection is still open."""
        try:
            data = self.socket.recv(BUFFER)
        except ConnectionError:
            data = b""
        if not data or self.sent is None:
            self.tally.surplus += len(data)
            return bool(data) or self._lost()
        self.buffer += data
        whole = load.answer(self.buffer)
        if whole is None:
            return True
        self._answered(whole)
        self.tally.surplus += whole.surplus
        self.buffer.clear()
        if whole.closes:
            return False
        self.tally.free.append(self)
        return True

    def _lost(self) -> bool:
        """A request under way is lost; an idle connection is merely not free any more."""
        if self.sent is not None:
            self.tally.lost += 1
            self.tally.waiting -= 1
        elif self in self.tally.free:
            self.tally.free.remove(self)
        return False

    def _answered(self, answer: load.Answer) -> None:
        now, sent, self.sent = time.perf_counter(), self.sent, None
        assert sent is not None  # noqa: S101 - read has seen that
        self.tally.waiting -= 1
        self.tally.answers[answer.status] += 1
        if self.tally.began <= now <= self.tally.until:
            self.tally.latencies.setdefault(answer.status, []).append(now - sent)
            if answer.status == 429:
                self.tally.retry_after.append(answer.retry_after)


class Clients:
    """All connections. They are read in one thread, by the system's own call: a client that
    shares the machine should take little of it."""

    def __init__(self, tally: Tally, port: int) -> None:
        self._tally = tally
        self._port = port
        self._events = select.epoll()
        self._open: dict[int, Client] = {}

    def post(self, request: memoryview) -> None:
        """Post a request over a connection that is free, or a new one."""
        if self._tally.free:
            client = self._tally.free.pop()
        else:
            client = Client(self._tally, self._port)
            self._open[client.socket.fileno()] = client
            self._events.register(client.socket, select.EPOLLIN)
        client.post(request)
        if client.unsent:
            self._events.modify(client.socket, select.EPOLLIN | select.EPOLLOUT)

    def serve_until(self, moment: float) -> None:
        """Send what is left of requests and read answers; see to those that are there at least."""
        left = moment - time.perf_counter()
        while True:
            for descriptor, event in self._events.poll(max(0.0, left)):
                self._serve(descriptor, event)
            left = moment - time.perf_counter()
            if left <= 0:
                return

    def _serve(self, descriptor: int, event: int) -> None:
        client = self._open[descriptor]
        if event & select.EPOLLOUT:
            client.flush()
            if not client.unsent:
                self._events.modify(client.socket, select.EPOLLIN)
        if event & ~select.EPOLLOUT and not client.read():
            client.socket.close()
            del self._open[descriptor]


def run(plan: Plan, requests: Sequence[memoryview]) -> Measured:
    """Put a load on a server and measure it."""
    arrivals = random.Random(1)  # noqa: S311 - not a secret
    start = time.perf_counter()
    tally = Tally(start + WARM_UP * plan.seconds, until := start + (1 + WARM_UP) * plan.seconds)
    clients = Clients(tally, plan.port)
    due, sent, late = start, 0, []
    while due < until:
        clients.serve_until(due)
        late.append(time.perf_counter() - due)
        clients.post(requests[sent % len(requests)])
        sent += 1
        due += arrivals.expovariate(plan.per_second)
    usage = resource.getrusage(resource.RUSAGE_SELF)
    ended = time.perf_counter()
    while tally.waiting and time.perf_counter() < ended + PATIENCE_S:
        clients.serve_until(time.perf_counter() + 0.01)
    return Measured(
        offered=sent / (ended - start),
        goodput=len(tally.latencies[200]) / plan.seconds,
        accepted_ms=_percentiles(tally.latencies[200]),
        refused=len(tally.latencies[429]) / plan.seconds,
        refused_ms=_percentiles(tally.latencies[429]),
        retry_after_s=float(np.median(tally.retry_after)) if tally.retry_after else 0.0,
        sent=sent,
        answers=dict(tally.answers),
        unanswered=tally.lost + tally.waiting,
        surplus=tally.surplus,
        late_ms=_percentiles(late)[1],
        cpu=(usage.ru_utime + usage.ru_stime) / (ended - start),
    )


def _percentiles(seconds: list[float]) -> tuple[float, float]:
    if not seconds:
        return (float("nan"), float("nan"))
    p50, p99 = np.percentile(np.array(seconds) * 1000, [50, 99])
    return (float(p50), float(p99))


def main() -> None:
    """Measure what standard input asks for."""
    plan = Plan(**json.load(sys.stdin))
    requests = [memoryview(load.request("/embed", Path(name).read_bytes())) for name in plan.images]
    print(json.dumps(asdict(run(plan, requests))))


if __name__ == "__main__":
    main()
