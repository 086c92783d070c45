"""What a connection writes, in as few packets as can be."""

import asyncio
from typing import Any


class Gathering:
    """A transport that sends in one piece what is written to it in one turn of the event loop.

    While it `lingers` it is not closed: the client is still sending, and closing would reset the
    connection before it has read its answer.

    uvicorn writes the head of an answer and then its body. Each write may wake a client that takes
    the core from the event loop, while all threads wait for its interpreter lock
    (docs/decisions.md).
    """

    def __init__(self, transport: asyncio.Transport, loop: asyncio.AbstractEventLoop) -> None:
        self._transport = transport
        self._loop = loop
        self._pieces: list[bytes] = []
        self._closing = False
        self.lingers = False

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - the transport's own
        return getattr(self._transport, name)

    def write(self, data: bytes) -> None:
        """Send this with what else is written in this turn."""
        if not self._pieces:
            self._loop.call_soon(self._send)
        self._pieces.append(data)

    def close(self) -> None:
        """Send what was written, then close, once it does not linger any more."""
        self._send()
        self._closing = True
        if not self.lingers:
            self._transport.close()

    def part(self) -> None:
        """Linger no more: close, if that was asked for."""
        self.lingers = False
        if self._closing:
            self._transport.close()

    def _send(self) -> None:
        if self._pieces:
            self._transport.write(b"".join(self._pieces))
            self._pieces.clear()
