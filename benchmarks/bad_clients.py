"""`python -m benchmarks.bad_clients --model FILE`: what good clients keep beside bad ones.

Eight good clients post photos in a closed loop: alone; beside 200 connections that send a byte of
their head a second and 50 uploads a second that break off in the middle; and beside a crowd: 1,000
that ask for 1.7 MB eight times over and never read, and 200 uploads that stop at 95 %, all of which
come back when they are closed. Interleaved, medians count. As in `benchmarks.overload` the engine
is elsewhere by default: the attackers share the machine.
"""

import argparse
import asyncio
import contextlib
import http.client
import json
import resource
import select
import socket
import statistics
import struct
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

from benchmarks import corpus, load, null_model, overload
from benchmarks.servers import ROOT, carry_out, running

SLOW = 200
BROKEN_PER_S = 50
UNREAD = 1000
STOPPED = 200
AGAIN_S = 0.5
"""How soon one of the crowd comes back."""

GOOD = 8
SETTLE_S = 2.0
"""Time for all slow connections to be there."""

ASK = b"GET /docs/assets/swagger-ui-bundle.js HTTP/1.1\r\nHost: localhost\r\n\r\n"
BAD = {"beside bad ones": "attack", "beside a crowd": "crowd"}

HEAD = b"POST /embed HTTP/1.1\r\nHost: localhost\r\nContent-Type: image/jpeg\r\n"


async def slow(port: int) -> None:
    """Send a byte of a head a second; when the connection is closed, over another one."""
    while True:
        with contextlib.suppress(OSError):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(HEAD + b"X-Padding: ")
            while not reader.at_eof():
                await asyncio.sleep(1)
                writer.write(b"a")
                await writer.drain()
            writer.close()


async def break_off(port: int, upload: bytes) -> None:
    """Send half of an upload, then reset the connection."""
    _, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(HEAD + b"Content-Length: %d\r\n\r\n" % len(upload) + upload[: len(upload) // 2])
    await writer.drain()
    reset = struct.pack("ii", 1, 0)
    writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, reset)
    writer.transport.abort()


def crowd(port: int, upload: bytes) -> None:
    """Have connections ask and never read, or stop in the middle of an upload, for ever."""
    print("begun", flush=True)
    resource.setrlimit(resource.RLIMIT_NOFILE, (2 * (UNREAD + STOPPED),) * 2)
    upload = upload * (1_000_000 // len(upload) + 1)
    begun = HEAD + b"Content-Length: %d\r\n\r\n" % len(upload) + upload[: len(upload) * 95 // 100]
    poll = select.poll()
    open_: dict[int, tuple[socket.socket, bytes, memoryview]] = {}
    due = [(0.0, one) for one in [ASK * 8] * UNREAD + [begun] * STOPPED]
    while True:
        while due and due[0][0] <= time.monotonic():
            whole = due.pop(0)[1]
            connection = socket.socket()
            connection.setblocking(False)
            connection.connect_ex(("127.0.0.1", port))
            open_[connection.fileno()] = connection, whole, memoryview(whole)
            poll.register(connection, select.POLLOUT)
        for descriptor, event in poll.poll(50):
            connection, whole, left = open_[descriptor]
            try:
                left = left[connection.send(left) :]
                if event & (select.POLLHUP | select.POLLERR):
                    raise ConnectionResetError
            except BlockingIOError:
                continue
            except OSError:
                poll.unregister(connection)
                connection.close()
                del open_[descriptor]
                due.append((time.monotonic() + AGAIN_S, whole))
                continue
            open_[descriptor] = connection, whole, left
            if not left:
                poll.modify(connection, 0)


async def attack(port: int, upload: bytes) -> None:
    """Be a bad client in many ways at once, until cancelled."""
    print("begun", flush=True)
    loop = asyncio.get_running_loop()
    async with asyncio.TaskGroup() as attackers:
        for _ in range(SLOW):
            attackers.create_task(slow(port))
        due = loop.time()
        while True:
            attackers.create_task(break_off(port, upload))
            due += 1 / BROKEN_PER_S
            await asyncio.sleep(max(0.0, due - loop.time()))


@contextlib.contextmanager
def attacked(kind: str, port: int, image: str) -> Iterator[None]:
    """Have a process of its own attack a server."""
    attacker = subprocess.Popen(
        [sys.executable, "-m", "benchmarks.bad_clients", kind, str(port), image],
        cwd=ROOT,
        stdout=subprocess.PIPE,
    )
    try:
        assert attacker.stdout is not None  # noqa: S101 - it is a pipe
        attacker.stdout.readline()  # it begins
        time.sleep(SETTLE_S)
        yield
        if attacker.poll() is not None:
            raise RuntimeError("the attack ended early")
    finally:
        attacker.kill()
        attacker.communicate()


def main() -> None:
    """Measure and print the table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.bad_clients", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--engine", choices=["elsewhere", "here"], default="elsewhere")
    parser.add_argument("--model", type=Path, help="the artifact that runs here")
    parser.add_argument("--seconds", type=float, default=6, help="of each measurement")
    parser.add_argument("--repeats", type=int, default=5, help="interleaved; medians are kept")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        images = [str(path) for path in corpus.write(folder)]
        if options.engine == "elsewhere":
            options.model = folder / "free.onnx"
            null_model.write(options.model)
        with running([overload.layout(options.engine, options.model)]) as (server,):
            vectors = [_embed(server.port, Path(image).read_bytes()) for image in images]
            plan = load.Plan(server.port, "/embed", images, vectors, GOOD, options.seconds)
            rounds: dict[str, list[dict[str, Any]]] = {"alone": [], **{one: [] for one in BAD}}
            for _ in range(options.repeats):
                rounds["alone"].append(carry_out("benchmarks.load", asdict(plan)))
                for name, kind in BAD.items():
                    with attacked(kind, server.port, images[0]):
                        rounds[name].append(carry_out("benchmarks.load", asdict(plan)))
                    print(f"{server.resident_mb():.0f} MB resident after {name}", flush=True)
            seen = _refusals(server.port)
    print(_table(rounds))
    print(f"\nbroken uploads and slow connections that the service counted: {seen}")


def _embed(port: int, image: bytes) -> list[float]:
    connection = http.client.HTTPConnection("127.0.0.1", port)
    connection.request("POST", "/embed", image, {"Content-Type": "image/jpeg"})
    vector: list[float] = json.loads(connection.getresponse().read())["embeddings"][0]
    return vector


def _refusals(port: int) -> dict[str, float]:
    connection = http.client.HTTPConnection("127.0.0.1", port)
    connection.request("GET", "/metrics")
    lines = connection.getresponse().read().decode().splitlines()
    wanted = ("swin_refused_connections_total", "swin_rejected_total")
    pairs = (line.rsplit(" ", 1) for line in lines if line.startswith(wanted))
    return {name: float(value) for name, value in pairs if float(value)}


def _table(rounds: dict[str, list[dict[str, Any]]]) -> str:
    lines = ["| 8 good clients | images/s | of that alone | p50 / p99 ms | wrong |"]
    lines.append("| --- " * 5 + "|")
    alone = statistics.median(one["images_per_s"] for one in rounds["alone"])
    for name, found in rounds.items():
        rate = statistics.median(one["images_per_s"] for one in found)
        p50, p99 = (statistics.median(one[key] for one in found) for key in ("p50_ms", "p99_ms"))
        wrong = sum(one["wrong"] for one in found)
        cells = (name, f"{rate:.1f}", f"{rate / alone:.1%}", f"{p50:.0f} / {p99:.0f}", str(wrong))
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


if __name__ == "__main__":
    if sys.argv[1:2] == ["attack"]:
        asyncio.run(attack(int(sys.argv[2]), Path(sys.argv[3]).read_bytes()))
    elif sys.argv[1:2] == ["crowd"]:
        crowd(int(sys.argv[2]), Path(sys.argv[3]).read_bytes())
    else:
        main()
