"""What every request passes, as plain ASGI: it is counted and timed, and its body is bounded."""

import time

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service.errors import RequestTooLarge
from service.metrics import Metrics


class Observed:
    """Counts and times requests by door, which is the first tag of the route that took them."""

    def __init__(self, app: ASGIApp, metrics: Metrics) -> None:
        self._app = app
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        status = 500
        started = time.perf_counter()

        async def watched(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        self._metrics.in_flight.inc()
        try:
            await self._app(scope, receive, watched)
        finally:
            self._metrics.in_flight.dec()
            tags = getattr(scope.get("route"), "tags", None) or ["none"]
            seconds = time.perf_counter() - started
            self._metrics.observe_request(tags[0], scope["method"], status, seconds)


class Bounded:
    """Ends a request whose body grows over `limit` bytes, declared or not, while it arrives."""

    def __init__(self, app: ASGIApp, limit: int) -> None:
        self._app = app
        self._limit = limit

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        declared = int(Headers(scope=scope).get("content-length", "0"))
        received = 0

        async def counted() -> Message:
            nonlocal received
            self._check(declared)
            message = await receive()
            received += len(message.get("body", b""))
            self._check(received)
            return message

        await self._app(scope, counted, send)

    def _check(self, length: int) -> None:
        if length > self._limit:
            raise RequestTooLarge(f"the request body may have at most {self._limit} bytes")
