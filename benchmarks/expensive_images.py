"""`python -m benchmarks.expensive_images --model FILE`: what costly images cost other clients.

Images of as many pixels as are let in, in each format, are small files that take long to decode and
much memory. One client posts forms of 256 of them while another posts photos, one at a time; then
32 clients post them one by one. The service may be limited in memory, as by `ulimit -v`.
"""

import argparse
import contextlib
import http.client
import io
import statistics
import sys
import tempfile
import threading
import time
import uuid
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from benchmarks import corpus
from benchmarks.servers import Layout, Server, running

WIDTH, HEIGHT = 16383, 3900  # the widest WebP, and just below 64 million pixels
FORM = 256
CLIENTS = 32
SETTLE_S = 3.0
TIMEOUT_S = 120.0


def images() -> dict[str, bytes]:
    """The most expensive image of each format, by its name."""
    clear, grey = (Image.new(mode, (WIDTH, HEIGHT), 0) for mode in ("RGBA", "CMYK"))
    made = {
        "WebP": (clear, "WEBP", {"lossless": True, "method": 0}),
        "PNG": (clear, "PNG", {}),
        "GIF": (clear.convert("P"), "GIF", {"transparency": 0}),
        "JPEG": (grey, "JPEG", {"progressive": True}),
        "TIFF": (clear, "TIFF", {"compression": "tiff_adobe_deflate"}),
        "AVIF": (clear, "AVIF", {"speed": 10}),
    }
    files = {}
    for name, (image, form, options) in made.items():
        buffer = io.BytesIO()
        image.save(buffer, form, **options)
        files[name] = buffer.getvalue()
    return files


def form(files: Sequence[bytes]) -> tuple[bytes, str]:
    """A form of files, and its content type."""
    boundary = uuid.uuid4().hex
    head = (
        f'--{boundary}\r\nContent-Disposition: form-data; name="files"; filename="x"\r\n'
        "Content-Type: application/octet-stream\r\n\r\n"
    ).encode()
    body = b"".join(head + file + b"\r\n" for file in files)
    return body + f"--{boundary}--\r\n".encode(), f"multipart/form-data; boundary={boundary}"


class Client:
    """Posts over one connection; what became of it, and how long it took."""

    def __init__(self, port: int) -> None:
        self._port = port
        self.statuses: Counter[int] = Counter()
        self.seconds: list[float] = []

    def post(self, body: bytes, content_type: str = "application/octet-stream") -> None:
        """Post once. A connection that is lost counts as status 0."""
        began = time.perf_counter()
        status = 0
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=TIMEOUT_S)
        with (
            contextlib.closing(connection),
            contextlib.suppress(OSError, http.client.HTTPException),
        ):
            connection.request("POST", "/embed", body, {"Content-Type": content_type})
            answer = connection.getresponse()
            answer.read()
            status = answer.status
        self.statuses[status] += 1
        if status == 200:
            self.seconds.append(time.perf_counter() - began)
        elif status in {0, 429}:
            time.sleep(0.2)


@contextlib.contextmanager
def posting(clients: Sequence[Client], post: Callable[[Client, int], None]) -> Iterator[None]:
    """Have clients post, each in a thread, until the block ends."""
    ended = threading.Event()

    def go(client: Client, number: int) -> None:
        while not ended.is_set():
            post(client, number)
            number += 1

    threads = [
        threading.Thread(target=go, args=(client, number), daemon=True)
        for number, client in enumerate(clients)
    ]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        ended.set()


def photos(server: Server, files: Sequence[bytes], seconds: float) -> Client:
    """A good client that posts photos, one after the other."""
    client = Client(server.port)
    until = time.perf_counter() + seconds
    while time.perf_counter() < until:
        for file in files:
            client.post(file)
    return client


def row(name: str, client: Client, server: Server) -> str:
    """What a good client met, as a line of the table."""
    p50, p99 = np.percentile(client.seconds or [float("nan")], [50, 99]) * 1000
    cells = (name, f"{p50:.0f} / {p99:.0f}", _told(client.statuses), f"{_peak_mb(server):.0f}")
    return f"| {' | '.join(cells)} |"


def _peak_mb(server: Server) -> float:
    """Most memory that the service has held so far, in MB."""
    status = Path(f"/proc/{server.process}/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0]) * 1024 / 1e6


def _told(statuses: Counter[int]) -> str:
    return ", ".join(f"{count} x {status}" for status, count in sorted(statuses.items()))


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.expensive_images", description=__doc__
    )
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--model", type=Path, required=True, help="the artifact")
    parser.add_argument("--seconds", type=float, default=60, help="of each attack")
    parser.add_argument("--memory-mb", type=int, help="address space of the service")
    parser.add_argument("--streams", type=int, default=2)
    options = parser.parse_args()
    command = [sys.executable, "-m", "service", "--port", "{port}", "--log-level", "warning"]
    if options.memory_mb:
        limit = f'ulimit -v {options.memory_mb * 1024}; exec "$0" "$@"'
        command = ["bash", "-c", limit, *command]
    settings = {"SWIN_MODEL": str(options.model.resolve()), "SWIN_STREAMS": str(options.streams)}
    layout = Layout("swin-embed", tuple(command), settings, "/embed", "/health/ready")
    expensive = list(images().values())
    forms, content_type = form([expensive[0]] * FORM)
    with tempfile.TemporaryDirectory() as name, running([layout]) as (server,):
        good = [path.read_bytes() for path in corpus.write(Path(name))]
        one = Client(server.port)
        for _ in range(3):
            one.post(expensive[0])
        took_s = statistics.median(one.seconds)
        print(f"one WebP of {len(expensive[0])} bytes takes {took_s:.2f} s\n")
        print("| a client that posts photos | p50 / p99 ms | answers | MB resident, most |")
        print("| --- | --- | --- | --- |")
        print(row("alone", photos(server, good, min(10, options.seconds)), server), flush=True)
        sender, crowd = Client(server.port), [Client(server.port) for _ in range(CLIENTS)]
        with posting([sender], lambda client, _: client.post(forms, content_type)):
            time.sleep(SETTLE_S)
            told = row(f"beside forms of {FORM}", photos(server, good, options.seconds), server)
            print(told, flush=True)
        with posting(crowd, lambda client, number: client.post(expensive[number % len(expensive)])):
            time.sleep(SETTLE_S)
            told = row(f"beside {CLIENTS} clients", photos(server, good, options.seconds), server)
            print(told, flush=True)
        print(f"\n{CLIENTS} clients: {_told(sum((one.statuses for one in crowd), Counter()))}")


if __name__ == "__main__":
    main()
