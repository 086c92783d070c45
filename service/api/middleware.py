"""What every request passes, as plain ASGI: naming, counting, timing, and bounds on its body."""

import asyncio
import random
import re
import time
from collections.abc import Awaitable

from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service.api import errors
from service.api.request_log import log_request, trace_attributes
from service.api.state import KEY, RequestState, service_state
from service.engine.memory_budget import Charge
from service.errors import NotReady, RequestTooLarge
from service.observability import traces

REQUEST_ID = re.compile(r"[\w.:/+=@-]{1,128}", re.ASCII)
"""Identifiers that clients may choose: they break neither a header nor a log line."""


class BoundedBody:
    """A request's body as it arrives, ended with an error once it grows over `limit` bytes.

    What has arrived is charged to the memory budget; a body that does not fit in it is refused
    before it is kept. A compressed body is bounded again while it is inflated (`parsing`).

    Args:
        receive: gives the next message of the request.
        state: of the request.
        limit: bytes.
        declared: the request's Content-Length; 0 where it has none.
    """

    def __init__(self, receive: Receive, state: RequestState, limit: int, declared: int) -> None:
        self._receive = receive
        self._state = state
        self._limit = limit
        self._declared = declared

    async def receive(self) -> Message:
        """The next message.

        Raises:
            RequestTooLarge: the body has more bytes than it may, or says that it will.
            QueueFull: there is no memory for it now.
        """
        state = self._state
        self._check(self._declared)
        state.charge.budget.check(self._declared - state.received)
        message = await self._receive()
        if body := message.get("body", b""):
            state.received += len(body)
            self._check(state.received)
            state.charge.add(len(body))
        return message

    def _check(self, length: int) -> None:
        if length > self._limit:
            raise RequestTooLarge(f"the request body may have at most {self._limit} bytes")


class RequestLog:
    """Names, bounds, counts, times and logs requests, by the first tag of their route: the door.

    The answer carries the client's `X-Request-Id`, or a new one, and `Server-Timing`.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        status = 500
        started = time.perf_counter()
        service = service_state(scope)
        scope["root_path"] = service.settings.root_path
        identifier = request_id(_header(scope, b"x-request-id").decode("latin-1"))
        state = scope[KEY] = RequestState(identifier, Charge(service.budget))
        declared = int(_header(scope, b"content-length") or 0)
        body = BoundedBody(receive, state, service.settings.max_request_bytes, declared)

        async def watched(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                own = {b"x-request-id": identifier, b"x-content-type-options": "nosniff"}
                traces.describe(trace_attributes(state))
                if state.embedder is not None:
                    own[b"x-model-digest"] = state.embedder.model.digest
                if state.stages:
                    own[b"server-timing"] = server_timing(state.stages)
                given = message.get("headers", ())
                message["headers"] = [
                    *(header for header in given if header[0] not in own),
                    *((name, value.encode("latin-1")) for name, value in own.items()),
                ]
            await send(message)

        service.metrics.in_flight.inc()
        try:
            await self._app(scope, body.receive, watched)
        finally:
            state.charge.release()
            service.metrics.in_flight.dec()
            seconds = time.perf_counter() - started
            route = scope.get("route")
            door = (getattr(route, "tags", None) or ["none"])[0]
            service.metrics.observe_request(door, scope["method"], status, seconds, identifier)
            where = {"url.path": scope["path"]} if route is None else {"http.route": route.path}
            log_request(state, scope["method"], where, door, status, seconds)


def request_id(given: str) -> str:
    """The client's identifier if it may stand in headers and logs, else a new one."""
    if REQUEST_ID.fullmatch(given):
        return given
    return f"{random.getrandbits(128):032x}"


def server_timing(stages: dict[str, float]) -> str:
    """Seconds by stage as a `Server-Timing` header, which has milliseconds."""
    return ", ".join(f"{stage};dur={seconds * 1000:.3f}" for stage, seconds in stages.items())


class ShutdownResponse:
    """Answers 503 to a request that is cancelled because the service stops.

    Without this the server would answer it with 500.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started = False

        async def watched(message: Message) -> None:
            nonlocal started
            started = True
            await send(message)

        try:
            await self._app(scope, receive, watched)
        except asyncio.CancelledError:
            if started:
                return  # the server closes the connection
            stopping = NotReady("the service stops before this could be answered", retry_after_s=1)
            response = await errors.service_error(Request(scope), stopping)
            await response(scope, receive, send)


class HeadAsGet:
    """Answers HEAD as GET; the server leaves the body out.

    RFC 9110, 9.1 requires HEAD wherever there is GET, and some health checkers send only HEAD.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        if scope["type"] != "http" or scope["method"] != "HEAD":
            return self._app(scope, receive, send)
        return self._as_get(scope, receive, send)

    async def _as_get(self, scope: Scope, receive: Receive, send: Send) -> None:
        inner = {**scope, "method": "GET"}
        try:
            await self._app(inner, receive, send)
        finally:
            scope["route"] = inner.get("route")  # for `RequestLog`


def _header(scope: Scope, name: bytes) -> bytes:
    """A request's header, empty if it has none of that name."""
    for key, value in scope["headers"]:
        if key == name:
            found: bytes = value
            return found
    return b""
