"""Servers under test: started, waited for, measured and stopped."""

import contextlib
import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
START_S = 90
PROC = Path("/proc")


@dataclass(frozen=True)
class Layout:
    """A way to serve the model: a command with `{port}` in it, and its environment.

    `target` is where images are posted, in a `form` if it takes no bare body; `ready` is a path
    that answers 200 once they may be.
    """

    name: str
    command: tuple[str, ...]
    environment: Mapping[str, str]
    target: str
    ready: str
    form: bool = False


@dataclass(frozen=True)
class Server:
    """A running server; `ready_s` is the time from its start to its first 200."""

    layout: Layout
    port: int
    process: int
    ready_s: float

    def pause(self) -> None:
        """Take the processor from it; parents first, as some watch their children."""
        for process in _family(self.process):
            os.kill(process, signal.SIGSTOP)

    def resume(self) -> None:
        """Give it the processor back."""
        for process in reversed(_family(self.process)):
            os.kill(process, signal.SIGCONT)

    def resident_mb(self) -> float:
        """Memory that its processes hold, shared pages counted once for each, in MB."""
        return sum(_resident_kib(process) for process in _family(self.process)) * 1024 / 1e6


@contextlib.contextmanager
def running(layouts: Sequence[Layout]) -> Iterator[list[Server]]:
    """Start servers one after the other; they are stopped, with all their children, at the end."""
    with contextlib.ExitStack() as stack:
        yield [stack.enter_context(_running(layout)) for layout in layouts]


def carry_out(module: str, plan: Mapping[str, Any]) -> dict[str, Any]:
    """Have a load generator in a process of its own carry out a plan; what it measured."""
    done = subprocess.run(
        [sys.executable, "-m", module],
        input=json.dumps(plan),
        stdout=subprocess.PIPE,
        cwd=ROOT,
        text=True,
        check=True,
    )
    measured: dict[str, Any] = json.loads(done.stdout)
    return measured


@contextlib.contextmanager
def _running(layout: Layout) -> Iterator[Server]:
    port = _free_port()
    started = time.perf_counter()
    process = subprocess.Popen(
        [part.format(port=port) for part in layout.command],
        env=os.environ | layout.environment,
        cwd=ROOT,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        while not _answers(port, layout.ready):
            if process.poll() is not None or time.perf_counter() - started > START_S:
                raise RuntimeError(f"{layout.name} did not start: {' '.join(layout.command)}")
            time.sleep(0.01)
        yield Server(layout, port, process.pid, time.perf_counter() - started)
    finally:
        # Parents first: they would start their children again.
        for one in _family(process.pid):
            with contextlib.suppress(ProcessLookupError):
                os.kill(one, signal.SIGKILL)
        process.wait()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _answers(port: int, path: str) -> bool:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    try:
        connection.request("GET", path)
        return connection.getresponse().status == 200
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def _family(process: int) -> list[int]:
    """A process, its children, theirs and so on; some peers give each a session of its own."""
    children = defaultdict(list)
    for stat in PROC.glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            parent = stat.read_text().rpartition(")")[2].split()[1]
            children[int(parent)].append(int(stat.parent.name))
    found = [process]
    for one in found:
        found += children[one]
    return found


def _resident_kib(process: int) -> int:
    with contextlib.suppress(OSError):
        for line in (PROC / str(process) / "status").read_text().splitlines():
            if line.startswith("VmRSS:"):
                return int(line.split()[1])
    return 0
