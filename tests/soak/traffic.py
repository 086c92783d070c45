"""Requests of all kinds, good and bad, for as long as asked."""

import base64
import http.client
import json
import random
import socket
import struct
import threading
import time
import urllib.parse
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from PIL import Image

from tests.hostile.corpus import Sample, samples
from tests.support.images import encode, jpeg, noise, photos

PATIENCE_S = 60
PAUSE_S = 0.05
"""The mean pause of a client between two requests."""

IMAGE = {"Content-Type": "image/jpeg"}
JSON = {"Content-Type": "application/json"}


@dataclass(frozen=True)
class Request:
    """What to send, and which statuses are right answers."""

    kind: str
    path: str
    headers: dict[str, str]
    body: bytes
    right: frozenset[int] = frozenset({200})


@dataclass
class Tally:
    """What came back since it was last taken: seconds of each single photo, and what went wrong."""

    requests: int = 0
    latencies: list[float] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)


def _form(files: list[bytes]) -> bytes:
    head = b'Content-Disposition: form-data; name="files"; filename="a.jpg"\r\n\r\n'
    return b"".join(b"--b\r\n" + head + file + b"\r\n" for file in files) + b"--b--\r\n"


def _base64(file: bytes) -> str:
    return base64.b64encode(file).decode()


def _openai(files: list[bytes]) -> bytes:
    return json.dumps({"input": [_base64(file) for file in files]}).encode()


def _infer(files: list[bytes]) -> bytes:
    data = [_base64(file) for file in files]
    image = {"name": "image", "shape": [len(files)], "datatype": "BYTES", "data": data}
    return json.dumps({"inputs": [image]}).encode()


def requests(model: str, seed: int) -> Iterator[Request]:
    """Requests without end, the same for the same seed: mostly good, through every door."""
    rng = random.Random(seed)  # noqa: S311 - not a secret
    hostile = samples(seed)
    files = [jpeg(name) for name in photos()]
    files += [encode(photos()["chelsea"].resize((64, 48))), encode(noise(300, 200), "WEBP")]
    phone = encode(photos()["china"].resize((4032, 3024), Image.Resampling.BILINEAR), "JPEG")
    bad = frozenset({400, 413, 415, 422})
    form = {"Content-Type": "multipart/form-data; boundary=b"}
    infer = f"/v2/models/{model}/infer"
    kinds: dict[Callable[[], Request], int] = {
        lambda: Request("image", "/embed", IMAGE, rng.choice(files)): 40,
        lambda: Request("form", "/embed", form, _form(rng.choices(files, k=3))): 10,
        lambda: Request("openai", "/v1/embeddings", JSON, _openai(rng.choices(files, k=2))): 10,
        lambda: Request("infer", infer, JSON, _infer([rng.choice(files)])): 10,
        lambda: Request("many", "/embed", form, _form(files[-2:] * 16)): 1,
        lambda: Request("phone photo", "/embed", IMAGE, phone): 1,
        lambda: Request("page", "/", {}, b""): 1,
        lambda: Request("text", "/embed", {"Content-Type": "text/plain"}, b"text", bad): 2,
        lambda: Request("no JSON", "/v1/embeddings", JSON, b'{"input": [', bad): 2,
        lambda: Request("broken", "/embed", IMAGE, rng.choice(files)[:900], bad): 4,
        lambda: Request("too large", "/embed", IMAGE, jpeg("coffee") + bytes(17 << 20), bad): 1,
        lambda: _hostile(next(hostile), bad | {200}): 10,
    }
    while True:
        yield rng.choices([*kinds], [*kinds.values()])[0]()


def _hostile(sample: Sample, right: frozenset[int]) -> Request:
    headers = {"Content-Type": sample.content_type}
    return Request(f"hostile {sample.kind}", "/embed", headers, sample.data, right)


class Clients:
    """Threads that send requests and leave some of them in the middle; `tally` has the answers."""

    def __init__(self, address: str, model: str, count: int) -> None:
        self._host = urllib.parse.urlsplit(address).netloc
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._tally = Tally()
        self._threads = [
            threading.Thread(target=self._client, args=(model, seed)) for seed in range(count)
        ]
        for thread in self._threads:
            thread.start()

    def take(self) -> Tally:
        """What came back since the last time."""
        with self._lock:
            taken, self._tally = self._tally, Tally()
        return taken

    def stop(self) -> None:
        """Let each finish its request and end."""
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def _client(self, model: str, seed: int) -> None:
        rng = random.Random(seed)  # noqa: S311 - not a secret
        for request in requests(model, seed):
            if self._stop.wait(rng.expovariate(1 / PAUSE_S)):
                return
            if rng.random() < 0.05:
                self._leave(request, rng.random() < 0.5)
            else:
                self._send(request)

    def _send(self, request: Request) -> None:
        began = time.monotonic()
        connection = http.client.HTTPConnection(self._host, timeout=PATIENCE_S)
        try:
            method = "GET" if request.path == "/" else "POST"
            connection.request(method, request.path, request.body or None, request.headers)
            answer = connection.getresponse()
            answer.read()
            status = answer.status
        except (OSError, http.client.HTTPException) as error:
            status = 0
            request = Request(f"{request.kind}, {error!r}", "", {}, b"")
        finally:
            connection.close()
        with self._lock:
            self._tally.requests += 1
            if request.kind == "image":
                self._tally.latencies.append(time.monotonic() - began)
            if status not in request.right:
                self._tally.errors.append(f"{request.kind}: {status}")

    def _leave(self, request: Request, early: bool) -> None:
        """Send half of a request, or all of it, and reset the connection."""
        head = [f"POST {request.path} HTTP/1.1", "Host: localhost"]
        head += [f"{name}: {value}" for name, value in request.headers.items()]
        whole = "\r\n".join([*head, f"Content-Length: {len(request.body)}", "", ""]).encode()
        whole += request.body
        host, _, port = self._host.partition(":")
        connection = socket.create_connection((host, int(port)), PATIENCE_S)
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        try:
            connection.sendall(whole[: len(whole) // 2] if early else whole)
            time.sleep(0.01)
        except OSError:
            pass  # it was answered before it was sent whole
        finally:
            connection.close()
