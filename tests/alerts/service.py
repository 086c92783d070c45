"""A service on a port of its own that is broken, killed and started again."""

import contextlib
import http.client
import os
import resource
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

from tests.faults.trial import post

ROOT = Path(__file__).parents[2]


class Service:
    """A process, started again by `start` as a supervisor would."""

    def __init__(
        self, port: int, model: Path, program: tuple[str, ...], trained: Path, **settings: object
    ) -> None:
        self.port, self.model, self.trained = port, model, trained
        self._program = program
        given = {"port": port, "model": model, "stall_exit_s": 600} | settings
        self._environment = {f"SWIN_{name.upper()}": str(value) for name, value in given.items()}
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def host(self) -> str:
        """Where it is to be asked."""
        return f"127.0.0.1:{self.port}"

    def start(self) -> None:
        """Start it, or start it again; ready when this returns."""
        self.process = subprocess.Popen(
            [sys.executable, "-W", "ignore", *self._program],
            env=os.environ | self._environment,
            cwd=ROOT,
            stderr=subprocess.DEVNULL,
            preexec_fn=lambda: resource.setrlimit(  # a usual limit, whatever this machine's is
                resource.RLIMIT_NOFILE, (1024, resource.getrlimit(resource.RLIMIT_NOFILE)[1])
            ),
        )
        self.wait_until_ready()

    def wait_until_ready(self) -> None:
        """Wait until it takes requests."""
        assert self.process is not None
        while True:
            with contextlib.suppress(OSError, http.client.HTTPException):
                urllib.request.urlopen(f"http://{self.host}/health/ready", timeout=5).close()
                return
            assert self.process.poll() is None
            time.sleep(0.1)

    def signal(self, number: int) -> None:
        """Send the process a signal."""
        assert self.process is not None
        self.process.send_signal(number)

    def kill(self) -> None:
        """End it, whatever it is at."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()

    def post(self, image: bytes) -> int:
        """The status of the answer to an image."""
        return post(self.host, image)[0]

    @contextlib.contextmanager
    def traffic(self, image: Callable[[], bytes], clients: int = 1) -> Iterator[None]:
        """Clients that post one image after the other meanwhile."""
        stop = threading.Event()

        def client() -> None:
            while not stop.is_set():
                if self.post(image()) != 200:
                    time.sleep(0.05)

        threads = [threading.Thread(target=client) for _ in range(clients)]
        for thread in threads:
            thread.start()
        try:
            yield
        finally:
            stop.set()
            for thread in threads:
                thread.join()
