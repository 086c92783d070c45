"""Turns errors into responses: in OpenAI's shape, or flat at `/v2` and in some dialects."""

import logging
import math
from collections.abc import Awaitable, Callable, Mapping
from http import HTTPStatus

import orjson
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.responses import Response

from service.api.open_inference import PREFIX
from service.api.state import Refusal, request_state, service_state
from service.errors import (
    ClientLeft,
    InternalError,
    InvalidApiKey,
    InvalidRequest,
    NotReady,
    RequestTooLarge,
    ServiceError,
    error_body,
)

logger = logging.getLogger(__name__)


def install(app: FastAPI) -> None:
    """Give every error of the app its response, found by class."""
    for kind, handler in HANDLERS.items():
        app.add_exception_handler(kind, handler)
    app.add_exception_handler(Exception, _internal_error)


def error_response(
    request: Request,
    status: int,
    message: str,
    *,
    type_: str,
    code: str,
    param: str | None = None,
    headers: Mapping[str, str] | None = None,
) -> Response:
    """`{"error": {"message", "type", "param", "code"}}`; in some protocols `{"error": message}`."""
    request_state(request).refusal = Refusal(code, param, message)
    if _is_flat(request):
        body = orjson.dumps({"error": f"{param}: {message}" if param else message})
    else:
        body = error_body(message, type_=type_, code=code, param=param)
    return Response(body, status, headers, "application/json")


def _is_flat(request: Request) -> bool:
    """Whether the protocol that a request speaks has errors as `{"error": message}`."""
    path = request.scope["path"].removeprefix(request.scope["root_path"])
    in_v2 = f"{path}/".startswith(f"{PREFIX}/")
    flat: bool = getattr(
        getattr(request.scope.get("route"), "endpoint", None), "flat_errors", in_v2
    )
    return flat


async def service_error(request: Request, error: Exception) -> Response:
    """The response to a `ServiceError`, which is counted."""
    assert isinstance(error, ServiceError)  # noqa: S101 - what the handler is registered for
    service_state(request).metrics.observe_rejection(error.code)
    headers = {}
    if error.retry_after_s is not None:
        headers["Retry-After"] = str(math.ceil(error.retry_after_s))
    if isinstance(error, RequestTooLarge):
        headers["Connection"] = "close"  # what is left of the body is not read
    if isinstance(error, InvalidApiKey):
        headers["WWW-Authenticate"] = "Bearer"
    return error_response(
        request,
        error.status,
        error.message,
        type_=error.type,
        code=error.code,
        param=error.param,
        headers=headers,
    )


async def _validation_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)  # noqa: S101 - what it is registered for
    first = error.errors()[0]
    param = ".".join(str(part) for part in first["loc"][1:]) or None
    return await service_error(request, InvalidRequest(first["msg"], param=param))


async def _http_exception(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)  # noqa: S101 - what the handler is registered for
    code = {404: "not_found", 405: "method_not_allowed"}.get(error.status_code, "invalid_request")
    message = f"{request.method} {request.url.path}: {error.detail}; see /docs for what is served"
    headers = dict(error.headers or {})
    if headers.get("Allow") == "GET":
        headers["Allow"] = "GET, HEAD"  # see middleware.HeadAsGet
    response = error_response(
        request,
        error.status_code,
        message,
        type_="invalid_request_error",
        code=code,
        headers=headers,
    )
    # The log has method, path and code already.
    reason = "" if error.detail == HTTPStatus(error.status_code).phrase else error.detail
    request_state(request).refusal = Refusal(code, None, reason)
    return response


async def _client_left(request: Request, error: Exception) -> Response:
    return await service_error(request, ClientLeft("the client left before its request was read"))


async def _no_memory(request: Request, error: Exception) -> Response:
    logger.error("there is not enough memory for a request", exc_info=error)
    failure = NotReady("there is not enough memory for the request now", retry_after_s=1)
    return await service_error(request, failure)


async def _internal_error(request: Request, error: Exception) -> Response:
    return error_response(
        request,
        InternalError.status,
        "the service failed on this request",
        type_=InternalError.type,
        code=InternalError.code,
        headers={  # this one passes the middleware by
            "X-Request-Id": request_state(request).id,
            "X-Content-Type-Options": "nosniff",
        },
    )


HANDLERS: dict[type[Exception], Callable[[Request, Exception], Awaitable[Response]]] = {
    ServiceError: service_error,
    RequestValidationError: _validation_error,
    HTTPException: _http_exception,
    ClientDisconnect: _client_left,
    MemoryError: _no_memory,
}
