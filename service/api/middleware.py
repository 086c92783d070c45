"""What every request passes, as plain ASGI: it is named, counted, timed, its body bounded."""

import asyncio
import random
import re
import time
from collections.abc import Awaitable

from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service.api import errors
from service.api.request_log import log_request, trace_attributes
from service.api.state import KEY, RequestState, request_state, service_state
from service.engine.memory_budget import Charge
from service.errors import NotReady, RequestTooLarge
from service.observability import traces
from service.observability.metrics import Metrics

REQUEST_ID = re.compile(r"[\w.:/+=@-]{1,128}", re.ASCII)
"""An identifier that a client may choose: nothing that could break a header or a log line."""


class RequestLog:
    """Names, counts, times and logs requests by door, the first tag of the route that took them.

    The answer carries the client's `X-Request-Id`, or a new one, and `Server-Timing`.
    """

    def __init__(self, app: ASGIApp, metrics: Metrics) -> None:
        self._app = app
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        status = 500
        started = time.perf_counter()
        identifier = request_id(_header(scope, b"x-request-id").decode("latin-1"))
        state = scope[KEY] = RequestState(identifier)

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

        self._metrics.in_flight.inc()
        try:
            await self._app(scope, receive, watched)
        finally:
            self._metrics.in_flight.dec()
            seconds = time.perf_counter() - started
            route = scope.get("route")
            door = (getattr(route, "tags", None) or ["none"])[0]
            self._metrics.observe_request(door, scope["method"], status, seconds, identifier)
            where = {"url.path": scope["path"]} if route is None else {"http.route": route.path}
            log_request(state, scope["method"], where, door, status, seconds)


def request_id(given: str) -> str:
    """The client's own identifier where it is fit for headers and logs, else a new one."""
    if REQUEST_ID.fullmatch(given):
        return given
    return f"{random.getrandbits(128):032x}"


def server_timing(stages: dict[str, float]) -> str:
    """Seconds by stage as a `Server-Timing` header, which has milliseconds."""
    return ", ".join(f"{stage};dur={seconds * 1000:.3f}" for stage, seconds in stages.items())


class ShutdownResponse:
    """Answers 503 to a request that is cancelled because the time to finish it before a stop is up.

    The server would answer it itself, as if it were a bug.
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


class BodyLimit:
    """Ends a request whose body grows over `limit` bytes, declared or not, while it arrives.

    What has arrived is charged to the memory budget until the request is answered; a body that does
    not fit in it is refused before it is kept. What a compressed one inflates to, `compression`
    bounds.
    """

    def __init__(self, app: ASGIApp, limit: int) -> None:
        self._app = app
        self._limit = limit

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        declared = int(_header(scope, b"content-length") or 0)
        state = request_state(scope)
        budget = service_state(scope).budget
        charge = state.charge = Charge(budget)

        def check(length: int) -> None:
            if length > self._limit:
                raise RequestTooLarge(f"the request body may have at most {self._limit} bytes")

        async def counted() -> Message:
            check(declared)
            budget.check(declared - state.received)
            message = await receive()
            if body := message.get("body", b""):
                state.received += len(body)
                check(state.received)
                charge.add(len(body))
            return message

        try:
            await self._app(scope, counted, send)
        finally:
            charge.release()


class HeadAsGet:
    """Has HEAD answered as GET. The server, which saw the method itself, sends no body.

    RFC 9110, 9.1 asks for it wherever there is GET; some health checkers send nothing else.
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
            scope["route"] = inner.get("route")  # for those who count requests by route


def _header(scope: Scope, name: bytes) -> bytes:
    """A request's header, empty if it has none of that name."""
    for key, value in scope["headers"]:
        if key == name:
            found: bytes = value
            return found
    return b""
