"""Writes answers, and notices when the client does not read them."""

import asyncio
import fcntl
import socket
import struct
import termios
from typing import Protocol

from service.engine.memory_budget import Charge
from service.server.progress import Progress

MAX_UNSENT_BYTES = 128 * 1024
"""What the kernel keeps of an answer that is not read; the rest stays here, where it is counted."""


class Reader(Protocol):
    """The connection, as told of its client's reading."""

    def close_after_request(self) -> None:
        """Close, once the request has been read to its end."""

    def on_answer_read(self) -> None:
        """The client has read some more."""

    def on_answer_stalled(self) -> None:
        """The client has stopped reading, or reads too slowly."""


class AnswerWriter:
    """The transport that uvicorn writes answers to.

    From `watch` until everything is sent, the client has to read at a minimum speed.

    Args:
        transport: the connection's.
        reader: is told how the client reads.
        charge: of the memory budget, for what the client has not read.
        window_s: seconds in which it has to read `progress.MIN_BYTES_PER_S` each.
        longest_s: seconds in which it has to read everything.
    """

    def __init__(
        self,
        transport: asyncio.Transport,
        reader: Reader,
        charge: Charge,
        window_s: float,
        longest_s: float,
    ) -> None:
        self.charge = charge
        self._transport = transport
        self._reader = reader
        self._window_s = window_s
        self._longest_s = longest_s
        self._loop = asyncio.get_running_loop()
        self._timer: asyncio.TimerHandle | None = None
        self._progress: Progress | None = None
        self._written_bytes = 0
        self._read_bytes = 0
        self._socket: socket.socket | None = transport.get_extra_info("socket")
        if self._socket is not None and hasattr(socket, "TCP_NOTSENT_LOWAT"):
            self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT, MAX_UNSENT_BYTES)

    def write(self, data: bytes) -> None:
        """Send, or keep until the client reads."""
        self._written_bytes += len(data)
        self._transport.write(data)

    def close(self) -> None:
        """Close, once the request has been read to its end."""
        self._reader.close_after_request()

    def is_closing(self) -> bool:
        """Whether the transport is closed, or will be once everything is sent."""
        return self._transport.is_closing()

    def watch(self) -> None:
        """Begin to look at how the client reads."""
        if self._timer is None:
            now = self._loop.time()
            self._read_bytes = self._acknowledged()
            self._progress = Progress(now, self._read_bytes, self._window_s, self._longest_s)
            self.charge.set(self._transport.get_write_buffer_size())
            self._look_later()

    def unwatch(self) -> None:
        """Look no more."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
            self.charge.set(0)

    def _look_later(self) -> None:
        assert self._progress is not None  # noqa: S101 - `watch` made it
        self._timer = self._loop.call_later(self._progress.check_after_s, self._look)

    def _look(self) -> None:
        assert self._progress is not None  # noqa: S101 - `watch` made it
        read = self._acknowledged()
        self.charge.set(self._transport.get_write_buffer_size())
        if read > self._read_bytes:
            self._read_bytes = read
            self._reader.on_answer_read()
        if self._progress.stalled(self._loop.time(), read):
            self._timer = None
            self._reader.on_answer_stalled()
        else:
            self._look_later()

    def _acknowledged(self) -> int:
        """Bytes that the client's machine has received."""
        return self._written_bytes - self._transport.get_write_buffer_size() - self._in_kernel()

    def _in_kernel(self) -> int:
        """Bytes that the kernel has and the client's has not; it says so on Linux."""
        if self._socket is None:
            return 0
        try:
            size = fcntl.ioctl(self._socket.fileno(), termios.TIOCOUTQ, bytes(4))
        except OSError:
            return 0
        return int(struct.unpack("i", size)[0])
