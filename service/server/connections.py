"""HTTP/1.1 connections held to limits: how many, how long to send a request, how large its head."""

import asyncio
from http import HTTPStatus
from typing import Any, cast

import httptools
from fastapi import FastAPI
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from service.api.errors import error_body
from service.api.state import KEY, RequestState, ServiceState
from service.engine.lifecycle import Phase
from service.errors import HeadTooLarge, InvalidRequest, NotReady, ServiceError, SlowRequest
from service.server.gathering import Gathering

MAX_HEAD_BYTES = 64 * 1024
MIN_BODY_BYTES_PER_S = 500
"""The slowest body that is waited for, after `read_timeout_s`; mod_reqtimeout's default too.

https://httpd.apache.org/docs/2.4/mod/mod_reqtimeout.html
"""

REASONS: dict[type[ServiceError], str] = {
    NotReady: "too_many",
    SlowRequest: "slow",
    HeadTooLarge: "large_head",
    InvalidRequest: "malformed",
}
"""What `swin_refused_connections` calls them."""


class Connection(HttpToolsProtocol):
    """A connection that is closed when its client is too slow, says too much, or is one too many.

    A request's head has `read_timeout_s` to arrive, its body the same and a second more for every
    `MIN_BODY_BYTES_PER_S`. A client that leaves while its images wait or are embedded takes them
    along: its `RequestState.abandon` is called.
    """

    def __init__(self, *args: Any, **options: Any) -> None:  # noqa: ANN401 - passed through
        super().__init__(*args, **options)
        self._service: ServiceState = cast(FastAPI, self.config.app).state.service
        self._limits = self._service.settings
        self._timer: asyncio.TimerHandle | None = None
        self._awaiting_head = False
        self._awaiting_body = False
        self._unread_bytes = 0  # since the head began, or the last of the body came
        self._body_bytes = 0
        self._body_since = 0.0
        self._refusal: bytes | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        self._gathering = Gathering(transport, self.loop)
        super().connection_made(cast(asyncio.Transport, self._gathering))
        if len(self.connections) > self._limits.max_connections:
            self._refuse(NotReady("too many connections are open"))
            return
        self._await_head()

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_timer()
        cycle = self.cycle
        super().connection_lost(exc)
        if cycle is not None and cycle.disconnected:
            state = cycle.scope.get(KEY)
            if isinstance(state, RequestState) and state.abandon is not None:
                state.abandon()

    def data_received(self, data: bytes) -> None:
        if self._refusal is not None:
            return  # read, and thrown away: closing on what is unread would reset the connection
        self._unread_bytes += len(data)
        try:
            self._parse(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade) as error:
            self._refuse(_told(error))
            return
        if (self._awaiting_head or self._awaiting_body) and self._unread_bytes > MAX_HEAD_BYTES:
            self._refuse(_too_large())

    def on_message_begin(self) -> None:
        # Not for whatever arrives, as uvicorn does: after an empty line, or a body whose answer was
        # early, nothing would set it again, and the connection stay for ever.
        self._unset_keepalive_if_required()
        super().on_message_begin()
        if self._timer is None:
            self._await_head()

    def on_headers_complete(self) -> None:
        if self.parser.should_upgrade():
            return  # _parse reads it again
        self._check_head()
        self._unset_keepalive_if_required()  # set if the request before was answered meanwhile
        super().on_headers_complete()
        self._stop_timer()
        self._awaiting_head = False
        self._awaiting_body = True
        self._unread_bytes = 0
        if self._service.lifecycle.phase is Phase.DRAINING:
            self.cycle.keep_alive = False  # the next request belongs to another server
        # Who says Expect may never send the body.
        self._gathering.lingers = not self.expect_100_continue
        self._body_bytes = 0
        self._body_since = self.loop.time()
        self._timer = self.loop.call_later(self._limits.read_timeout_s, self._body_is_due)

    def on_body(self, body: bytes) -> None:
        self._unread_bytes = 0
        self._body_bytes += len(body)
        super().on_body(body)
        if self.cycle.response_complete and self._body_bytes > self._limits.max_request_bytes:
            self._close()

    def on_message_complete(self) -> None:
        if self.parser.should_upgrade():
            return
        self._stop_timer()
        self._awaiting_body = False
        super().on_message_complete()
        self._gathering.part()

    def on_response_complete(self) -> None:
        last = not self.pipeline
        super().on_response_complete()
        if last and self._refusal is not None and not self.transport.is_closing():
            self._say_refusal()

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

    def _check_head(self) -> None:
        """Check a head that is whole.

        Raises:
            HeadTooLarge: it has more than `MAX_HEAD_BYTES`.
            InvalidRequest: it does not name one host, as RFC 9112, 3.2 asks.
        """
        size, hosts = len(self.url), 0
        for name, value in self.headers:
            size += len(name) + len(value) + len(": \r\n")
            hosts += name == b"host"
        if size > MAX_HEAD_BYTES:
            raise _too_large()
        if hosts > 1 or (hosts == 0 and self.parser.get_http_version() == "1.1"):
            raise InvalidRequest(f"an HTTP/1.1 request has one Host header; this one has {hosts}")

    def _await_head(self) -> None:
        self._awaiting_head = True
        self._unread_bytes = 0
        timeout_s = self._limits.read_timeout_s
        self._timer = self.loop.call_later(timeout_s, self._head_is_due)

    def _head_is_due(self) -> None:
        self._refuse(SlowRequest("the request's head did not arrive in time"))

    def _body_is_due(self) -> None:
        allowed_s = self._limits.read_timeout_s + self._body_bytes / MIN_BODY_BYTES_PER_S
        left_s = self._body_since + allowed_s - self.loop.time()
        if left_s > 0:
            self._timer = self.loop.call_later(left_s, self._body_is_due)
        else:
            self._refuse(SlowRequest("the request's body arrives too slowly"))

    def _close(self) -> None:
        """Close, whatever still arrives."""
        self._gathering.lingers = False
        self.transport.close()

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _refuse(self, error: ServiceError) -> None:
        """Answer without asking the application, after the requests before this one, and close."""
        self._stop_timer()
        self._awaiting_head = False
        self._service.metrics.count_refused_connection(REASONS[type(error)])
        body = error_body(error.message, type_=error.type, code=error.code)
        head = (
            f"HTTP/1.1 {error.status} {HTTPStatus(error.status).phrase}\r\n"
            f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n"
            "Connection: close\r\n\r\n"
        )
        self._refusal = head.encode() + body
        if self._awaiting_body and self.pipeline:
            self.pipeline.popleft()  # the newest, whose body will never be whole
            self._gathering.part()
        elif self._awaiting_body and self.cycle.response_started:
            self._close()  # it has its answer
        elif self._awaiting_body or self.cycle is None or self.cycle.response_complete:
            self._say_refusal()

    def _say_refusal(self) -> None:
        self.transport.write(cast(bytes, self._refusal))
        self._close()


def _told(error: Exception) -> ServiceError:
    """What a client is told of what the parser did not take: our own reason, its, or none."""
    reason = error.__context__
    if isinstance(reason, ServiceError):
        return reason
    known = reason is None and isinstance(error, httptools.HttpParserError)
    return InvalidRequest("this is not an HTTP/1.1 request" + (f": {error}" if known else ""))


def _too_large() -> HeadTooLarge:
    return HeadTooLarge(f"the request's head has more than {MAX_HEAD_BYTES} bytes")
