"""What every gRPC call gets: a key check, metrics, a status for errors, trailers, a log line."""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

import grpc
from google.protobuf.message import DecodeError

from service.api import auth
from service.api.middleware import request_id, server_timing
from service.api.request_log import log_request
from service.api.state import Refusal, RequestState, ServiceState
from service.errors import ClientLeft, InternalError, InvalidRequest, NotReady, ServiceError

DOOR = "open_inference_grpc"

STATUS = {
    400: grpc.StatusCode.INVALID_ARGUMENT,
    401: grpc.StatusCode.UNAUTHENTICATED,
    404: grpc.StatusCode.NOT_FOUND,
    413: grpc.StatusCode.INVALID_ARGUMENT,
    422: grpc.StatusCode.INVALID_ARGUMENT,
    429: grpc.StatusCode.RESOURCE_EXHAUSTED,
    500: grpc.StatusCode.INTERNAL,
    503: grpc.StatusCode.UNAVAILABLE,
    504: grpc.StatusCode.DEADLINE_EXCEEDED,
}

Context = grpc.aio.ServicerContext[Any, Any]
Message = TypeVar("Message")

logger = logging.getLogger(__name__)

OPEN = {"server_live", "server_ready"}
"""Methods that need no key."""


def reader(parse: Callable[[bytes], Message]) -> Callable[[bytes], Message | InvalidRequest]:
    """A parser of requests that returns its error, for `observed` to answer.

    What it raised, gRPC would answer itself: as UNKNOWN, not counted, with a traceback in the log.
    """

    def read(data: bytes) -> Message | InvalidRequest:
        try:
            return parse(data)
        except DecodeError:
            return InvalidRequest("the request is not a message of this method")

    return read


def observed(
    service: ServiceState, method: Callable[[Any, RequestState], Awaitable[Message]]
) -> Callable[[Any, Context], Awaitable[Message]]:
    """A method as gRPC calls it, with all of that around it."""

    async def answer(request: Any, context: Context) -> Message:  # noqa: ANN401 - any request
        given = dict(context.invocation_metadata() or ())
        identifier = request_id(_text(given.get("x-request-id", "")))
        state = RequestState(identifier)
        status = 500
        started = time.perf_counter()
        service.metrics.in_flight.inc()
        try:
            if service.settings.api_keys and method.__name__ not in OPEN:
                auth.check(service.settings, _bearer(_text(given.get("authorization", ""))))
            if isinstance(request, InvalidRequest):
                raise request
            response = await method(request, state)
            status = 200
        except asyncio.CancelledError:  # the client gave up, or its deadline passed
            status = ClientLeft.status
            raise
        except Exception as error:
            failure = error if isinstance(error, ServiceError) else _unforeseen(error)
            status = failure.status
            service.metrics.observe_rejection(failure.code)
            state.refusal = Refusal(failure.code, failure.param, failure.message)
            message = f"{failure.param}: {failure.message}" if failure.param else failure.message
            context.set_trailing_metadata((("x-request-id", identifier),))
            await context.abort(STATUS[status], message)
            raise  # abort has raised already
        finally:
            service.metrics.in_flight.dec()
            seconds = time.perf_counter() - started
            service.metrics.observe_request(DOOR, "POST", status, seconds, identifier)
            log_request(state, "POST", {"http.route": method.__name__}, DOOR, status, seconds)
        trailers = [("x-request-id", identifier)]
        if state.stages:
            trailers.append(("server-timing", server_timing(state.stages)))
        context.set_trailing_metadata(tuple(trailers))
        return response

    return answer


def _text(value: str | bytes) -> str:
    return value.decode("latin-1") if isinstance(value, bytes) else value


def _bearer(header: str) -> bytes | None:
    scheme, _, key = header.partition(" ")
    return key.encode("latin-1", "replace") if scheme.lower() == "bearer" else None


def _unforeseen(error: Exception) -> ServiceError:
    """What a caller is told of an error that is not the request's; the log has all of it."""
    logger.error("a request failed", exc_info=error)
    if isinstance(error, MemoryError):
        return NotReady("there is not enough memory for the request now")
    return InternalError("the service failed on this request")
