"""Closed-loop load over real sockets: `python -m benchmarks.load`, in a process of its own.

Each client keeps one connection and sends its next request when the last one is answered, as a
batch job or a busy front end would. It reads a `Plan` from standard input and prints what it
`Measured`, both as JSON.

Images a second are clients over the mean time from one answer of a client to its next (Little's
law). Answers counted in a window would favour whoever gives them in lumps: of 16 requests answered
together, all 16 fall into it though most of the work was done before.
"""

import asyncio
import json
import math
import sys
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import NamedTuple

import numpy as np
import orjson

CHECK_EVERY = 8
"""Every so many answers of a client are parsed and compared; all must have status 200."""

LEAST_COSINE = 0.999


@dataclass(frozen=True)
class Plan:
    """What to send where, for how long, and what the answers must be.

    Attributes:
        port: on the loopback interface.
        target: path and query.
        images: files to send in turn.
        vectors: the expected embedding of each.
        clients: connections.
        seconds: time that is measured, after a quarter of it to warm up; or longer, until there
            are as many answers as clients. A client's first answer does not count: the others were
            not yet in its way.
        multipart: wrap each image in a form.
    """

    port: int
    target: str
    images: list[str]
    vectors: list[list[float]]
    clients: int
    seconds: float
    multipart: bool = False


@dataclass(frozen=True)
class Measured:
    """Images a second, latencies in milliseconds, and answers that were wrong or missing."""

    images_per_s: float
    p50_ms: float
    p99_ms: float
    answers: int
    wrong: int


@dataclass
class Load:
    """The plan, made ready to send, and the tally of the answers."""

    plan: Plan
    requests: list[bytes] = field(default_factory=list)
    vectors: list[np.ndarray] = field(default_factory=list)
    began: float = 0
    until: float = 0
    answers: int = 0
    spent_s: float = 0
    latencies: list[float] = field(default_factory=list)
    wrong: int = 0

    def __post_init__(self) -> None:
        files = [Path(name).read_bytes() for name in self.plan.images]
        multipart = self.plan.multipart
        self.requests = [request(self.plan.target, one, multipart=multipart) for one in files]
        self.vectors = [np.array(vector) for vector in self.plan.vectors]

    def begin(self) -> None:
        """Measure from the time on when the plan's warm-up is over."""
        self.began = time.perf_counter() + self.plan.seconds / 4
        self.until = self.began + self.plan.seconds

    def measured(self) -> Measured:
        """What the tally comes to."""
        milliseconds = np.array(self.latencies or [np.nan]) * 1000
        right = len(self.latencies)
        return Measured(
            images_per_s=self.plan.clients * right / self.spent_s if right else 0.0,
            p50_ms=float(np.percentile(milliseconds, 50)),
            p99_ms=float(np.percentile(milliseconds, 99)),
            answers=right,
            wrong=self.wrong,
        )

    def over(self, now: float) -> bool:
        """Whether enough was measured."""
        return now >= self.until and self.answers >= self.plan.clients

    def is_wrong(self, index: int, body: bytes) -> bool:
        """Whether an answer is not the expected vector: unit lengths make the product a cosine."""
        found = orjson.loads(body)
        # BentoML answers a request in a batch with a list.
        (found,) = found if isinstance(found, list) else [found]
        vector = np.array(found["embeddings"][0])
        expected = self.vectors[index]
        cosine = vector @ expected / np.linalg.norm(vector) / np.linalg.norm(expected)
        return not cosine >= LEAST_COSINE


class Answer(NamedTuple):
    """An HTTP answer; whether the connection closes after it; bytes that came after its body.

    `retry_after` is the seconds in its header of that name, 0 where there is none.
    """

    status: int
    closes: bool
    body: bytes
    surplus: int
    retry_after: int


class Client(asyncio.Protocol):
    """One connection; parses no more of an answer than its status and length."""

    def __init__(self, load: Load, number: int) -> None:
        self.load = load
        self.turn = number
        self.answered = math.inf  # when, the last time
        self.buffer = bytearray()
        self.done = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Send the first request."""
        assert isinstance(transport, asyncio.Transport)  # noqa: S101 - what create_connection gives
        self.transport = transport
        self._send()

    def connection_lost(self, exc: Exception | None) -> None:
        """A server must not hang up."""
        if not self.done.done():
            self.load.wrong += 1
            self.done.set_result(None)

    def data_received(self, data: bytes) -> None:
        """Collect an answer; when it is whole, tally it and send the next request."""
        self.buffer += data
        whole = answer(self.buffer)
        if whole is None:
            return
        now = time.perf_counter()
        self._tally(now, whole)
        self.buffer.clear()
        if self.load.over(now):
            self.done.set_result(None)
            self.transport.close()
        else:
            self._send()

    def _send(self) -> None:
        self.index = self.turn % len(self.load.requests)
        self.turn += 1
        self.sent = time.perf_counter()
        self.transport.write(self.load.requests[self.index])

    def _tally(self, now: float, whole: Answer) -> None:
        before, self.answered = self.answered, now
        measured = before < now and now >= self.load.began and not self.load.over(now)
        if measured:
            self.load.answers += 1
            self.load.spent_s += now - before
        look = self.turn % CHECK_EVERY == 1
        if whole.status != 200 or (look and self.load.is_wrong(self.index, whole.body)):
            self.load.wrong += 1
        elif measured:
            self.load.latencies.append(now - self.sent)


def request(target: str, image: bytes, *, multipart: bool = False) -> bytes:
    """A POST of an image, as it goes over the wire."""
    kind = b"image/jpeg"
    if multipart:
        kind = b"multipart/form-data; boundary=boundary"
        disposition = b'Content-Disposition: form-data; name="files"; filename="photo.jpg"'
        part = b"--boundary\r\n%b\r\nContent-Type: image/jpeg\r\n\r\n%b\r\n--boundary--\r\n"
        image = part % (disposition, image)
    head = b"POST %b HTTP/1.1\r\nHost: localhost\r\nContent-Type: %b\r\nContent-Length: %d\r\n\r\n"
    return head % (target.encode(), kind, len(image)) + image


def answer(data: bytes | bytearray) -> Answer | None:
    """An answer, if it is whole."""
    head, gap, rest = data.partition(b"\r\n\r\n")
    if not gap:
        return None
    fields = head.lower()
    length = int(fields.partition(b"content-length:")[2].split(b"\r\n", 1)[0])
    if len(rest) < length:
        return None
    closes = b"connection: close" in fields
    retry_after = int(fields.partition(b"retry-after:")[2].split(b"\r\n", 1)[0] or 0)
    status = int(head.split(b" ", 2)[1])
    return Answer(status, closes, bytes(rest[:length]), len(rest) - length, retry_after)


async def run(plan: Plan) -> Measured:
    """Put a load on a server and measure it."""
    load = Load(plan)
    loop = asyncio.get_running_loop()
    load.begin()
    clients = []
    for number in range(plan.clients):
        _, client = await loop.create_connection(
            lambda number=number: Client(load, number), "127.0.0.1", plan.port
        )
        clients.append(client)
    await asyncio.gather(*(client.done for client in clients))
    return load.measured()


if __name__ == "__main__":
    print(json.dumps(asdict(asyncio.run(run(Plan(**json.load(sys.stdin)))))))
