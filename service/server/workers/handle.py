"""A worker process as the supervisor sees it."""

import asyncio
import contextlib
import socket
import sys
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from multiprocessing.connection import Connection

from prometheus_client.core import Metric

from service.server.workers import rpc
from service.server.workers.intake import Intake
from service.server.workers.rpc import Client, Command, Request

SAMPLES_S = 2.0
"""How long a worker may take to send its metrics; after that its last ones are shown."""


@dataclass(eq=False)
class Handle:
    """A worker process, and the connections to it.

    Attributes:
        process: the process.
        commands: sends it commands.
        samples: asks for its metrics.
        intake: of the engine that it serves with; None before it serves.
        giving: held while it is given an engine.
        last: its latest metrics.
    """

    process: asyncio.subprocess.Process
    commands: Client
    samples: Client
    intake: Intake | None = None
    giving: asyncio.Lock = field(default_factory=asyncio.Lock)
    last: Sequence[Metric] = ()

    @property
    def served(self) -> bool:
        """Whether it has ever served."""
        return self.intake is not None

    def kill(self) -> None:
        """End it at once."""
        with contextlib.suppress(ProcessLookupError):
            self.process.kill()

    def tell(self, command: Command) -> None:
        """Give a command, without waiting until it is taken."""

        def send() -> None:
            with contextlib.suppress(ConnectionError):
                self.commands.call(command)

        threading.Thread(target=send, daemon=True).start()

    def count(self) -> None:
        """Ask for its metrics."""
        with contextlib.suppress(ConnectionError, TimeoutError):
            self.last = self.samples.call(None, SAMPLES_S)

    def close(self) -> None:
        """Close the connections to it."""
        self.commands.close()
        self.samples.close()


async def spawn(listeners: Sequence[socket.socket], reply: Callable[[Request], object]) -> Handle:
    """Start a worker: a program of its own, as onnxruntime's threads do not survive a fork.

    Args:
        listeners: where it accepts connections.
        reply: answers what it asks, in threads.
    """
    commands, samples = rpc.pair(), rpc.pair()
    asking = [rpc.pair() for _ in Request]
    theirs = [there for _, there in (commands, samples, *asking)]
    descriptors = [one.fileno() for one in theirs]
    descriptors += [listener.fileno() for listener in listeners]
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "service.server.workers.worker", *map(str, descriptors)),
        pass_fds=descriptors,
        process_group=0,  # the terminal's Ctrl+C is for the supervisor alone
    )
    for one in theirs:
        one.close()
    for ours, _ in asking:
        threading.Thread(target=_answer, args=(ours, reply), daemon=True).start()
    return Handle(process, Client(commands[0]), Client(samples[0]))


def _answer(connection: Connection, reply: Callable[[Request], object]) -> None:
    rpc.serve(connection, reply)
    connection.close()
