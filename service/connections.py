"""HTTP/1.1 connections held to limits: how many, how long to send a request, how large its head."""

import asyncio
from http import HTTPStatus
from typing import Any, cast

import httptools
from fastapi import FastAPI
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from service.api.errors import error_body
from service.errors import HeadTooLarge, InvalidRequest, NotReady, ServiceError, SlowRequest
from service.lifecycle import Phase
from service.settings import Settings

MAX_HEAD_BYTES = 64 * 1024
MIN_BODY_BYTES_PER_S = 500
"""The slowest body that is waited for, after `read_timeout_s`; mod_reqtimeout's default too.

https://httpd.apache.org/docs/2.4/mod/mod_reqtimeout.html
"""


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


class Connection(HttpToolsProtocol):
    """A connection that is closed when its client is too slow, says too much, or is one too many.

    A request's head has `read_timeout_s` to arrive, its body the same and a second more for every
    `MIN_BODY_BYTES_PER_S`. A client that leaves while its images wait or are embedded takes them
    along: what the door put in the request's state as `abandon` is called.
    """

    def __init__(self, *args: Any, **options: Any) -> None:  # noqa: ANN401 - passed through
        super().__init__(*args, **options)
        self._service = cast(FastAPI, self.config.app).state
        self._limits: Settings = self._service.settings
        self._timer: asyncio.TimerHandle | None = None
        self._awaiting_head = False
        self._head_bytes = 0
        self._body_bytes = 0
        self._body_since = 0.0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        self._gathering = Gathering(transport, self.loop)
        super().connection_made(cast(asyncio.Transport, self._gathering))
        if len(self.connections) > self._limits.max_connections:
            self._refuse(NotReady("too many connections are open"), reason="too_many")
            return
        self._await_head()

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_timer()
        cycle = self.cycle
        super().connection_lost(exc)
        if cycle is not None and cycle.disconnected:
            abandon = cycle.scope.get("state", {}).get("abandon")
            if abandon is not None:
                abandon()

    def data_received(self, data: bytes) -> None:
        self._unset_keepalive_if_required()
        self._head_bytes += len(data)
        try:
            self._parse(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade):
            no_http = InvalidRequest("this is not an HTTP/1.1 request")
            self._refuse(no_http, reason="malformed")
            return
        if self._awaiting_head and self._head_bytes > MAX_HEAD_BYTES:
            too_large = HeadTooLarge(f"the request's head has more than {MAX_HEAD_BYTES} bytes")
            self._refuse(too_large, reason="large_head")

    def on_message_begin(self) -> None:
        super().on_message_begin()
        if self._timer is None:
            self._await_head()

    def on_headers_complete(self) -> None:
        if self.parser.should_upgrade():
            return  # _parse reads it again
        self._stop_timer()
        self._awaiting_head = False
        super().on_headers_complete()
        if self._service.lifecycle.phase is Phase.DRAINING:
            self.cycle.keep_alive = False  # the next request belongs to another server
        # Who says Expect may never send the body.
        self._gathering.lingers = not self.expect_100_continue
        self._body_bytes = 0
        self._body_since = self.loop.time()
        self._timer = self.loop.call_later(self._limits.read_timeout_s, self._body_is_due)

    def on_body(self, body: bytes) -> None:
        self._body_bytes += len(body)
        super().on_body(body)
        if self.cycle.response_complete and self._body_bytes > self._limits.max_request_bytes:
            self._close()

    def on_message_complete(self) -> None:
        if self.parser.should_upgrade():
            return
        self._stop_timer()
        super().on_message_complete()
        self._gathering.part()

    def _parse(self, data: bytes | memoryview) -> None:
        """Parse what arrived; an `Upgrade` is ignored, as RFC 9110, 7.8 allows.

        The parser takes whatever follows the head of a request with one for another protocol, its
        body too, so that head is read again without.

        Raises:
            httptools.HttpParserError: it is no HTTP.
            httptools.HttpParserUpgrade: it is a `CONNECT`, after which no HTTP can follow.
        """
        while True:
            try:
                self.parser.feed_data(data)
                return
            except httptools.HttpParserUpgrade as upgrade:
                (end,) = upgrade.args
                data = memoryview(data)[end:]
            head = self._head_without_upgrade()
            self.parser = httptools.HttpRequestParser(self)
            self.parser.set_dangerous_leniencies(lenient_data_after_close=True)  # as uvicorn's
            self.parser.feed_data(head)

    def _head_without_upgrade(self) -> bytes:
        """The head of the request that was read, as it came but for `Upgrade`."""
        version = self.parser.get_http_version().encode()
        headers = [(name, value) for name, value in self.headers if name != b"upgrade"]
        lines = [b"%s %s HTTP/%s" % (self.parser.get_method(), self.url, version)]
        lines += [b"%s: %s" % header for header in headers]
        return b"\r\n".join([*lines, b"", b""])

    def _await_head(self) -> None:
        self._awaiting_head = True
        self._head_bytes = 0
        timeout_s = self._limits.read_timeout_s
        self._timer = self.loop.call_later(timeout_s, self._head_is_due)

    def _head_is_due(self) -> None:
        self._refuse(SlowRequest("the request's head did not arrive in time"), reason="slow")

    def _body_is_due(self) -> None:
        allowed_s = self._limits.read_timeout_s + self._body_bytes / MIN_BODY_BYTES_PER_S
        left_s = self._body_since + allowed_s - self.loop.time()
        if left_s > 0:
            self._timer = self.loop.call_later(left_s, self._body_is_due)
        elif self.cycle.response_started:
            self._close()
        else:
            self._refuse(SlowRequest("the request's body arrives too slowly"), reason="slow")

    def _close(self) -> None:
        """Close, whatever still arrives."""
        self._gathering.lingers = False
        self.transport.close()

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _refuse(self, error: ServiceError, *, reason: str) -> None:
        """Answer without asking the application, and close."""
        self._stop_timer()
        self._awaiting_head = False
        self._service.metrics.count_refused_connection(reason)
        body = error_body(error.message, type_=error.type, code=error.code)
        head = (
            f"HTTP/1.1 {error.status} {HTTPStatus(error.status).phrase}\r\n"
            f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n"
            "Connection: close\r\n\r\n"
        )
        self.transport.write(head.encode() + body)
        self._close()
