"""A front process as the supervisor sees it."""

import asyncio
import contextlib
import socket
import sys
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from multiprocessing.connection import Connection

from prometheus_client.core import Metric

from service import lines
from service.intake import Intake
from service.lines import Line, Order, Request

SAMPLES_S = 2.0
"""How long a front may take to tell its metrics; after that its last ones are told."""


@dataclass(eq=False)
class Worker:
    """A front process, and the lines to it.

    Attributes:
        process: the process.
        orders: what it is told to do.
        samples: what it has counted.
        intake: the engine it serves with, once it does.
        giving: held while it is given one.
        last: its metrics when it was last asked.
    """

    process: asyncio.subprocess.Process
    orders: Line
    samples: Line
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

    def tell(self, order: Order) -> None:
        """Give an order, without waiting until it is taken."""

        def give() -> None:
            with contextlib.suppress(ConnectionError):
                self.orders.ask(order)

        threading.Thread(target=give, daemon=True).start()

    def count(self) -> None:
        """Ask for its metrics."""
        with contextlib.suppress(ConnectionError, TimeoutError):
            self.last = self.samples.ask(None, SAMPLES_S)

    def close(self) -> None:
        """Hang up."""
        self.orders.close()
        self.samples.close()


async def spawn(listeners: Sequence[socket.socket], reply: Callable[[Request], object]) -> Worker:
    """Start a front: a program of its own, as onnxruntime's threads do not survive a fork.

    Args:
        listeners: where it accepts connections.
        reply: answers what it asks, in threads.
    """
    orders, samples = lines.pair(), lines.pair()
    asking = [lines.pair() for _ in Request]
    theirs = [there for _, there in (orders, samples, *asking)]
    descriptors = [one.fileno() for one in theirs]
    descriptors += [listener.fileno() for listener in listeners]
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "service.front", *map(str, descriptors)),
        pass_fds=descriptors,
        process_group=0,  # the terminal's Ctrl+C is for the supervisor alone
    )
    for one in theirs:
        one.close()
    for ours, _ in asking:
        threading.Thread(target=_answer, args=(ours, reply), daemon=True).start()
    return Worker(process, Line(orders[0]), Line(samples[0]))


def _answer(connection: Connection, reply: Callable[[Request], object]) -> None:
    lines.answer(connection, reply)
    connection.close()
