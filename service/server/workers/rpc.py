"""Remote calls between two processes of the service, over a socket."""

import contextlib
import socket
import threading
from collections.abc import Callable, Iterator, Sequence
from enum import Enum, auto
from multiprocessing.connection import Connection
from typing import Any

Question = Any
Answer = Any
"""What can be pickled; both ends are of the same service."""


AT_ONCE = 253
"""The most open files that Linux sends in one message (SCM_MAX_FD)."""


class Command(Enum):
    """The supervisor's commands to a worker, besides the engine's offers."""

    DRAIN = auto()
    STOP = auto()


class Request(Enum):
    """A worker's questions to the supervisor."""

    SETTINGS = auto()
    METRICS = auto()
    RELOAD = auto()


class Client:
    """The calling end. Any thread may call; calls run one at a time."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._lock = threading.Lock()
        self._asked = 0

    def call(
        self,
        question: Question,
        timeout_s: float | None = None,
        descriptors: Sequence[int] = (),
    ) -> Answer:
        """Ask, and wait for the answer.

        Args:
            question: what to ask.
            timeout_s: how long to wait; a later answer is discarded.
            descriptors: open files to send; the other end gets them with `received`.

        Raises:
            TimeoutError: no answer within that time.
            ConnectionError: the other process is gone.
            Exception: any error that the other end raised.
        """
        with self._lock:
            self._asked += 1
            try:
                self._connection.send((self._asked, question))
                if descriptors:
                    _hand_over(self._connection, descriptors)
                answer = self._awaited(timeout_s)
            except (EOFError, OSError) as error:
                if isinstance(error, TimeoutError):
                    raise
                raise ConnectionError("the other process is gone") from error
        if isinstance(answer, Exception):
            raise answer
        return answer

    def close(self) -> None:
        """Close the connection, which ends `serve` at the other end."""
        self._connection.close()

    def _awaited(self, timeout_s: float | None) -> Answer:
        while self._connection.poll(timeout_s):
            number, answer = self._connection.recv()
            if number == self._asked:
                return answer
        raise TimeoutError("no answer in time")


def serve(connection: Connection, reply: Callable[[Question], Answer]) -> None:
    """Answer questions until the other end closes; an error that `reply` raises is sent back."""
    with contextlib.suppress(EOFError, OSError):
        while True:
            number, question = connection.recv()
            try:
                given = reply(question)
            except Exception as error:
                given = error
            connection.send((number, given))


def pair() -> tuple[Connection, Connection]:
    """Both ends of a new connection."""
    one, other = socket.socketpair()
    return Connection(one.detach()), Connection(other.detach())


def received(connection: Connection, count: int) -> list[int]:
    """The open files that came with the current question.

    Raises:
        EOFError: the other process is gone, or this one may have no more open files.
    """
    descriptors: list[int] = []
    with _socket(connection) as channel:
        while len(descriptors) < count:
            _, some, flags, _ = socket.recv_fds(channel, 1, count - len(descriptors))
            if not some or flags & socket.MSG_CTRUNC:
                raise EOFError("not all open files came")
            descriptors += some
    return descriptors


def _hand_over(connection: Connection, descriptors: Sequence[int]) -> None:
    with _socket(connection) as channel:
        for first in range(0, len(descriptors), AT_ONCE):
            socket.send_fds(channel, [b"\0"], list(descriptors[first : first + AT_ONCE]))


@contextlib.contextmanager
def _socket(connection: Connection) -> Iterator[socket.socket]:
    """The socket beneath a connection, for as long as it takes."""
    channel = socket.socket(fileno=connection.fileno())
    try:
        yield channel
    finally:
        channel.detach()
