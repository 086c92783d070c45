"""HTTP/1.1 connections held to limits: how many, how slow, and how large the head of a request."""

import asyncio
import socket
import struct
from http import HTTPStatus
from typing import Any, cast

import httptools
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from service.api.state import KEY, RequestState, ServiceState
from service.engine.lifecycle import Phase
from service.engine.memory_budget import Charge
from service.errors import (
    HeadTooLarge,
    InvalidRequest,
    NotReady,
    ServiceError,
    SlowRequest,
    error_body,
)
from service.server.answer_writer import AnswerWriter
from service.server.places import PROBES, Places
from service.server.progress import Progress

MAX_HEAD_BYTES = 64 * 1024

PROBE_S = 1.0
"""How long a connection in the reserve has to ask for a probe."""

ASK_S = 1.0
"""How long after its client sends no more an answer may take before we ask whether it reads."""

TCP_CLOSE = 7
"""The state of a connection that was reset, as Linux numbers it in TCP_INFO."""

LINGER_S = 5.0
"""How long a client may go on sending after its answer. Closing earlier would reset the connection
before the client has read the answer."""

REASONS: dict[type[ServiceError], str] = {
    NotReady: "too_many",
    SlowRequest: "slow",
    HeadTooLarge: "large_head",
    InvalidRequest: "malformed",
}
"""The `reason` of `swin_refused_connections_total` for each error."""


class Connection(HttpToolsProtocol):
    """A connection that is closed when its client is too slow, sends too much, or is one too many.

    A request's head has `read_timeout_s` to arrive. Its body and its answer have to move at
    `MIN_BYTES_PER_S` in every window of that length, and be through within `transfer_timeout_s`.
    When the connection is lost, the request's work is dropped: its `abandon` is called.

    Args:
        service: settings, metrics and lifecycle of the application.
        places: where connections are counted.
        options: uvicorn's own.
    """

    def __init__(self, service: ServiceState, places: Places, **options: Any) -> None:  # noqa: ANN401
        super().__init__(**options)
        self._service = service
        self._limits = service.settings
        self._places = places
        self._in_reserve = False
        self._timer: asyncio.TimerHandle | None = None  # for the head, the body, or lingering
        self._awaiting_head = False
        self._awaiting_body = False
        self._unread_bytes = 0  # since the head began, or the last of the body came
        self._body_bytes = 0
        self._body_progress: Progress | None = None
        self._answer_unread = False  # it is complete, but the client has not read it
        self._client_done = False  # it closed its sending side
        self._lingering = False
        self._refusal: bytes | None = None
        self._client_sends = True  # after a refusal, so that closing would cost it the answer

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        limits = self._limits
        charge = Charge(self._service.budget)
        self._writer = AnswerWriter(
            transport, self, charge, limits.read_timeout_s, limits.transfer_timeout_s
        )
        self._places.enter(self, self.loop.time())
        self._in_reserve = self._places.crowded()
        if self._places.full():
            self._refuse(_crowded())
        else:
            self._await_head()

    def connection_lost(self, exc: Exception | None) -> None:
        self._places.leave(self)
        self._stop_timer()
        self._writer.unwatch()
        self._writer.charge.release()
        cycle = self.cycle
        super().connection_lost(exc)
        if cycle is not None and cycle.disconnected:
            state = cycle.scope.get(KEY)
            if isinstance(state, RequestState) and state.abandon is not None:
                state.abandon()

    def data_received(self, data: bytes) -> None:
        if self._refusal is not None:
            return  # read and thrown away, see LINGER_S
        self._places.active(self, self.loop.time())
        self._unread_bytes += len(data)
        try:
            self._parse(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade) as error:
            self._refuse(_as_service_error(error))
            return
        if (self._awaiting_head or self._awaiting_body) and self._unread_bytes > MAX_HEAD_BYTES:
            self._refuse(_head_too_large())

    def eof_received(self) -> bool:  # type: ignore[override]
        """Stay open while answers are to be written or read: the client only sends no more."""
        answered = self.cycle is None or self.cycle.response_complete
        if self._awaiting_body or self._lingering or (answered and not self._answer_unread):
            return False
        self._client_done = True
        self._awaiting_head = False
        self._stop_timer()
        self.cycle.keep_alive = False
        self._timer = self.loop.call_later(ASK_S, self._ask_whether_client_reads)
        return True

    def _ask_whether_client_reads(self) -> None:
        """Tell a client that sends no more from one that left, by an interim response.

        TCP shows the difference only once something is written: a client that left answers with a
        reset. Others skip the response, as RFC 9110 (15.2) has every HTTP/1.1 client do.
        """
        if self.cycle.response_started or self.scope["http_version"] != "1.1":
            return
        self.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        self._timer = self.loop.call_later(ASK_S, self._end_if_reset)

    def _end_if_reset(self) -> None:
        connection = self.transport.get_extra_info("socket")
        if connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 1)[0] == TCP_CLOSE:
            self.transport.abort()

    def resume_writing(self) -> None:
        super().resume_writing()
        self._writer.unwatch()
        self.on_answer_read()
        if self._answer_unread:
            self._answer_unread = False
            self.on_response_complete()

    def pause_writing(self) -> None:
        super().pause_writing()
        self._writer.watch()
        budget = self._service.budget
        if budget.held > budget.limit and not budget.make_room():
            self.evict()

    def timeout_keep_alive_handler(self) -> None:
        self._close()

    # What the parser found.

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
        self._check_place()
        self._unset_keepalive_if_required()  # set if the request before was answered meanwhile
        super().on_headers_complete()
        self.cycle.transport = cast(asyncio.Transport, self._writer)
        self._stop_timer()
        self._awaiting_head = False
        self._awaiting_body = True
        self._unread_bytes = 0
        self._keep_alive()
        self._body_bytes = 0
        self._body_progress = Progress(
            self.loop.time(), 0, self._limits.read_timeout_s, self._limits.transfer_timeout_s
        )
        self._look_at_body_later()

    def on_body(self, body: bytes) -> None:
        self._unread_bytes = 0
        self._body_bytes += len(body)
        if self._lingering:
            return
        super().on_body(body)
        if self.cycle.response_complete and self._body_bytes > self._limits.max_request_bytes:
            self._close()

    def on_message_complete(self) -> None:
        if self.parser.should_upgrade():
            return
        self._stop_timer()
        self._awaiting_body = False
        super().on_message_complete()
        if self._lingering:
            self._close()

    # What becomes of the answer.

    def on_response_complete(self) -> None:
        if self.flow.write_paused and not self.transport.is_closing():
            self._answer_unread = True  # the next request waits until there is room for its answer
            return
        last = not self.pipeline
        super().on_response_complete()
        if last and self._refusal is not None and not self.transport.is_closing():
            self._write_refusal()
        elif last and self._client_done:
            self._close()

    def close_after_request(self) -> None:
        """Close, once the request has been read to its end or the client's time is up."""
        self.pipeline.clear()
        if self._awaiting_body and (self._body_bytes or not self.expect_100_continue):
            self._linger()
        else:
            self._close()

    def on_answer_read(self) -> None:
        """The client has read some more."""
        self._places.active(self, self.loop.time())

    def on_answer_stalled(self) -> None:
        """The client has stopped reading, or reads too slowly."""
        self._service.metrics.count_refused_connection("unread")
        self._abort()

    # What places want to know.

    def awaits_client(self) -> bool:
        """Whether the next step is the client's: a request, the rest of one, reading an answer."""
        if self.flow.write_paused:
            return True
        if self.pipeline or self.flow.read_paused:
            return False
        return self._awaiting_body or self.cycle is None or self.cycle.response_complete

    def held_bytes(self) -> int:
        """Of a body that is not complete and answers that are not read."""
        body = self._body_charge()
        return self._writer.charge.size + (body.size if body else 0)

    def evict(self) -> None:
        """Close at once."""
        self._service.metrics.count_refused_connection("idle")
        if body := self._body_charge():
            body.release()
        self._writer.charge.release()
        self._abort()

    def _abort(self) -> None:
        """Close at once. What the client did not read, the kernel would keep for minutes."""
        if self.flow.write_paused:
            connection = self.transport.get_extra_info("socket")
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.transport.abort()

    def _body_charge(self) -> Charge | None:
        state = None if self.cycle is None else self.cycle.scope.get(KEY)
        return state.charge if isinstance(state, RequestState) else None

    def _parse(self, data: bytes | memoryview) -> None:
        """Parse what arrived; an `Upgrade` is ignored, as RFC 9110, 7.8 allows.

        The parser takes whatever follows the head of a request with one for another protocol, its
        body too, so that head is read again without.

        Raises:
            httptools.HttpParserError: it is not HTTP.
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
        """The head that was read, without its `Upgrade` headers."""
        version = self.parser.get_http_version().encode()
        headers = [(name, value) for name, value in self.headers if name != b"upgrade"]
        lines = [b"%s %s HTTP/%s" % (self.parser.get_method(), self.url, version)]
        lines += [b"%s: %s" % header for header in headers]
        return b"\r\n".join([*lines, b"", b""])

    def _check_head(self) -> None:
        """Check a complete head.

        Raises:
            HeadTooLarge: it has more than `MAX_HEAD_BYTES`.
            InvalidRequest: it does not name one host, as RFC 9112, 3.2 asks.
        """
        size, hosts = len(self.url), 0
        for name, value in self.headers:
            size += len(name) + len(value) + len(": \r\n")
            hosts += name == b"host"
        if size > MAX_HEAD_BYTES:
            raise _head_too_large()
        if hosts > 1 or (hosts == 0 and self.parser.get_http_version() == "1.1"):
            raise InvalidRequest(f"an HTTP/1.1 request has one Host header; this one has {hosts}")

    def _check_place(self) -> None:
        """Let a connection in the reserve ask for a probe alone, as long as it is crowded.

        Raises:
            NotReady: it asks for something else.
        """
        self._in_reserve = self._in_reserve and self._places.crowded()
        if self._in_reserve and self.url.partition(b"?")[0] not in PROBES:
            raise _crowded()

    def _keep_alive(self) -> None:
        """Say whether the connection stays open after the answer."""
        cycle = self.cycle
        if self._in_reserve or self._service.lifecycle.phase is Phase.DRAINING:
            cycle.keep_alive = False
        elif self.parser.get_http_version() == "1.0" and self.parser.should_keep_alive():
            cycle.keep_alive = True  # uvicorn does not know that HTTP/1.0 can ask for it
            cycle.default_headers = [*cycle.default_headers, (b"connection", b"keep-alive")]

    def _await_head(self) -> None:
        self._awaiting_head = True
        self._unread_bytes = 0
        timeout_s = self._limits.read_timeout_s
        if self._in_reserve:
            timeout_s = min(timeout_s, PROBE_S)
        self._timer = self.loop.call_later(timeout_s, self._head_is_due)

    def _head_is_due(self) -> None:
        slow = SlowRequest("the request's head did not arrive in time")
        self._refuse(_crowded() if self._in_reserve else slow)

    def _look_at_body_later(self) -> None:
        assert self._body_progress is not None  # noqa: S101 - set when the head was complete
        self._timer = self.loop.call_later(self._body_progress.check_after_s, self._look_at_body)

    def _look_at_body(self) -> None:
        assert self._body_progress is not None  # noqa: S101 - set when the head was complete
        if self.flow.read_paused:
            self._body_progress.excuse(self._body_bytes)
        if self._body_progress.stalled(self.loop.time(), self._body_bytes):
            self._refuse(SlowRequest("the request's body arrives too slowly"))
        else:
            self._look_at_body_later()

    def _linger(self) -> None:
        """Send no more, and read what the client still sends, for `LINGER_S` at most."""
        self._stop_timer()
        self._lingering = True
        self.transport.write_eof()
        self._timer = self.loop.call_later(LINGER_S, self._close)

    def _close(self) -> None:
        """Close as soon as the client has read what was written."""
        self.transport.close()
        if self.transport.get_write_buffer_size():
            self._writer.watch()

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
        retry = "Retry-After: 1\r\n" if isinstance(error, NotReady) else ""
        head = (
            f"HTTP/1.1 {error.status} {HTTPStatus(error.status).phrase}\r\n"
            f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n{retry}"
            "Connection: close\r\n\r\n"
        )
        self._refusal = head.encode() + body
        self._client_sends = not isinstance(error, SlowRequest)
        if self._awaiting_body and self.pipeline:
            self.pipeline.popleft()  # the newest, whose body will never be whole
        elif self._awaiting_body and self.cycle.response_started:
            self._close()  # it has its answer
        elif self._awaiting_body or self.cycle is None or self.cycle.response_complete:
            self._write_refusal()

    def _write_refusal(self) -> None:
        self._writer.write(cast(bytes, self._refusal))
        if self._client_sends:
            self._linger()
        else:
            self._close()


def _as_service_error(error: Exception) -> ServiceError:
    """The error to answer a malformed request with: our own reason, or the parser's."""
    reason = error.__context__
    if isinstance(reason, ServiceError):
        return reason
    known = reason is None and isinstance(error, httptools.HttpParserError)
    return InvalidRequest("this is not an HTTP/1.1 request" + (f": {error}" if known else ""))


def _crowded() -> NotReady:
    return NotReady("too many connections are open")


def _head_too_large() -> HeadTooLarge:
    return HeadTooLarge(f"the request's head has more than {MAX_HEAD_BYTES} bytes")
