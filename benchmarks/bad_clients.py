"""`python -m benchmarks.bad_clients --model FILE`: what good clients keep beside bad ones.

Eight good clients post photos in a closed loop, alone and beside 200 connections that send a byte
of their head a second and 50 uploads a second that break off in the middle; interleaved, medians
count. As in `benchmarks.overload` the engine is elsewhere by default: the attackers share the
machine.
"""

import argparse
import asyncio
import contextlib
import http.client
import json
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
GOOD = 8
SETTLE_S = 2.0
"""Time for all slow connections to be there."""

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


async def attack(port: int, upload: bytes) -> None:
    """Be a bad client in many ways at once, until cancelled."""
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
def attacked(port: int, image: str) -> Iterator[None]:
    """Have a process of its own attack a server."""
    attacker = subprocess.Popen(
        [sys.executable, "-m", "benchmarks.bad_clients", "attack", str(port), image],
        cwd=ROOT,
    )
    try:
        time.sleep(SETTLE_S)
        yield
        if attacker.poll() is not None:
            raise RuntimeError("the attack ended early")
    finally:
        attacker.kill()
        attacker.wait()


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
            rounds: dict[str, list[dict[str, Any]]] = {"alone": [], "beside bad ones": []}
            for _ in range(options.repeats):
                rounds["alone"].append(carry_out("benchmarks.load", asdict(plan)))
                with attacked(server.port, images[0]):
                    beside = carry_out("benchmarks.load", asdict(plan))
                rounds["beside bad ones"].append(beside)
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
    else:
        main()
