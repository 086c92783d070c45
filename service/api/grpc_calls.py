"""Answers gRPC calls: each gets a key check, limits, metrics, a status and a log line."""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from typing import Any, cast

import grpc
from google.protobuf.descriptor import Descriptor
from google.protobuf.message import DecodeError, Message

from service.api import auth
from service.api.middleware import request_id, server_timing
from service.api.request_log import log_request
from service.api.state import Refusal, RequestState, ServiceState
from service.api.wire_format import check_parts
from service.engine.memory_budget import Charge
from service.errors import (
    ClientLeft,
    InternalError,
    InvalidRequest,
    NotReady,
    ServiceError,
    SlowRequest,
    forget_frames,
)

DOOR = "open_inference_grpc"

STATUS = {
    400: grpc.StatusCode.INVALID_ARGUMENT,
    401: grpc.StatusCode.UNAUTHENTICATED,
    404: grpc.StatusCode.NOT_FOUND,
    408: grpc.StatusCode.DEADLINE_EXCEEDED,
    413: grpc.StatusCode.INVALID_ARGUMENT,
    422: grpc.StatusCode.INVALID_ARGUMENT,
    429: grpc.StatusCode.RESOURCE_EXHAUSTED,
    500: grpc.StatusCode.INTERNAL,
    503: grpc.StatusCode.UNAVAILABLE,
    504: grpc.StatusCode.DEADLINE_EXCEEDED,
}

LEAST_READERS = 8
"""Messages that may arrive at once, however small the memory budget."""

PARTS = 1000
"""Parts of a message besides four for each image: names, shapes, parameters."""

LARGE_BYTES = 64 * 1024
"""A message from this size on is parsed in a thread."""

OPEN = {"server_live", "server_ready"}
"""Methods that need no key."""

Context = grpc.aio.ServicerContext[Any, Any]
Method = Callable[[Any, RequestState], Awaitable[Message]]

logger = logging.getLogger(__name__)


class Calls:
    """Answers the calls of a server.

    Args:
        service: has the limits and the keys.
    """

    def __init__(self, service: ServiceState) -> None:
        self._service = service
        settings = service.settings
        # gRPC has a message whole before it is seen here, so only so many may be on their way.
        readers = service.budget.limit // 4 // settings.max_request_bytes
        self._readers = asyncio.Semaphore(max(LEAST_READERS, readers))
        self._most_parts = PARTS + 4 * settings.max_images_per_request

    def handler(self, method: Method, request: type[Message]) -> Any:  # noqa: ANN401 - gRPC's own
        """A method as gRPC calls it.

        Declared with a stream of requests, of which one is read: gRPC then calls once the head is
        there, so that the key is checked, and others can go first, before a message is read.

        Args:
            method: what to call with a request and its state.
            request: the type of the request.
        """

        async def answer(_: object, context: Context) -> bytes:
            return await self._answer(method, request, context)

        return grpc.stream_unary_rpc_method_handler(answer)

    async def _answer(self, method: Method, kind: type[Message], context: Context) -> bytes:
        given = {name: _text(value) for name, value in context.invocation_metadata() or ()}
        metrics = self._service.metrics
        charge = Charge(self._service.budget)
        state = RequestState(request_id(given.get("x-request-id", "")), charge)
        status = ClientLeft.status  # if it is cancelled: the client gave up, or its time is up
        started = time.perf_counter()
        metrics.in_flight.inc()
        try:
            status, answer = await self._answered(method, kind, context, state, given)
        finally:
            charge.release()
            metrics.in_flight.dec()
            seconds = time.perf_counter() - started
            metrics.observe_request(DOOR, "POST", status, seconds, state.id)
            log_request(state, "POST", {"http.route": method.__name__}, DOOR, status, seconds)
        trailers = [("x-request-id", state.id)]
        if state.stages and status == 200:
            trailers.append(("server-timing", server_timing(state.stages)))
        context.set_trailing_metadata(tuple(trailers))
        if (refusal := state.refusal) is not None:
            part = f"{refusal.param}: " if refusal.param else ""
            # Here no request is left, which the frames that `abort` raises through would keep.
            await context.abort(STATUS[status], part + refusal.message)
        return answer

    async def _answered(
        self,
        method: Method,
        kind: type[Message],
        context: Context,
        state: RequestState,
        given: dict[str, str],
    ) -> tuple[int, bytes]:
        """The status and the answer; of an error, which is noted in the state, an empty one."""
        settings = self._service.settings
        try:
            if settings.api_keys and method.__name__ not in OPEN:
                auth.check(settings, _bearer(given.get("authorization", "")))
            request = await self._read(kind, context, state)
            response = await method(request, state)
            return 200, response.SerializeToString()
        except Exception as error:
            failure = error if isinstance(error, ServiceError) else _unforeseen(error)
            self._service.metrics.observe_rejection(failure.code)
            state.refusal = Refusal(failure.code, failure.param, failure.message)
            forget_frames(error)
            return failure.status, b""

    async def _read(self, kind: type[Message], context: Context, state: RequestState) -> Message:
        """The request.

        Raises:
            InvalidRequest: there is none, or it has too many parts.
            QueueFull: there is no memory for it now.
            SlowRequest: it did not arrive in time.
        """
        try:
            async with asyncio.timeout(self._service.settings.read_timeout_s), self._readers:
                data = await context.read()
        except TimeoutError:
            raise SlowRequest("the message did not arrive in time") from None
        if not isinstance(data, bytes):
            raise InvalidRequest("the call has no message")
        state.received = len(data)
        state.charge.add(len(data))
        if len(data) < LARGE_BYTES:
            return self._parse(kind, data)
        return await asyncio.to_thread(self._parse, kind, data)

    def _parse(self, kind: type[Message], data: bytes) -> Message:
        check_parts(data, cast(Descriptor, kind.DESCRIPTOR), self._most_parts)
        try:
            return kind.FromString(data)
        except DecodeError:
            raise InvalidRequest("the request is not a message of this method") from None


def _text(value: str | bytes) -> str:
    return value.decode("latin-1") if isinstance(value, bytes) else value


def _bearer(header: str) -> bytes | None:
    scheme, _, key = header.partition(" ")
    return key.encode("latin-1", "replace") if scheme.lower() == "bearer" else None


def _unforeseen(error: Exception) -> ServiceError:
    """The error to answer with if the fault is ours; the log has the traceback."""
    logger.error("a request failed", exc_info=error)
    if isinstance(error, MemoryError):
        return NotReady("there is not enough memory for the request now")
    return InternalError("the service failed on this request")
