"""The errors of the service, each with its HTTP status and code.

`api.errors` turns them into responses; `server.connections` those of requests that no door sees.
"""

from typing import ClassVar

import orjson


class ServiceError(Exception):
    """A request that could not be answered.

    Attributes:
        param: the part of the request at fault, such as `files[1]`, where there is one.
        retry_after_s: seconds after which trying again makes sense, where it does.
    """

    status: ClassVar[int]
    code: ClassVar[str]
    type: ClassVar[str] = "invalid_request_error"

    def __init__(
        self, message: str, *, param: str | None = None, retry_after_s: float | None = None
    ) -> None:
        super().__init__(message)
        self.message = message
        self.param = param
        self.retry_after_s = retry_after_s


class InvalidRequest(ServiceError):
    """The request is malformed."""

    status, code = 400, "invalid_request"


class InvalidApiKey(ServiceError):
    """No API key, or one that is not in `SWIN_API_KEYS`."""

    status, code, type = 401, "invalid_api_key", "authentication_error"


class ModelNotFound(ServiceError):
    """The model named is not the one that is served."""

    status, code = 404, "model_not_found"


class NotAcceptable(ServiceError):
    """The `Accept` header allows none of the formats of the response."""

    status, code = 406, "not_acceptable"


class RequestTooLarge(ServiceError):
    """More bytes than `SWIN_MAX_REQUEST_BYTES`."""

    status, code = 413, "request_too_large"


class ImageTooLarge(ServiceError):
    """More pixels than `SWIN_MAX_IMAGE_PIXELS`."""

    status, code = 413, "image_too_large"


class TooManyImages(ServiceError):
    """More images than `SWIN_MAX_IMAGES_PER_REQUEST`."""

    status, code = 413, "too_many_images"


class UnsupportedMediaType(ServiceError):
    """A content type that is not supported here."""

    status, code = 415, "unsupported_media_type"


class InvalidImage(ServiceError):
    """Not an image, a damaged one, or in a format that is not supported."""

    status, code = 422, "invalid_image"


class QueueFull(ServiceError):
    """As many images are waiting as `SWIN_MAX_QUEUE_SIZE` allows."""

    status, code, type = 429, "queue_full", "rate_limit_error"


class SlowRequest(ServiceError):
    """The request arrives too slowly."""

    status, code, type = 408, "timeout", "timeout_error"


class HeadTooLarge(ServiceError):
    """The head of the request, its URL and headers, is too long."""

    status, code = 431, "request_too_large"


class ClientLeft(ServiceError):
    """Nobody waits for the answer any more; the status is nginx's, for the metrics and the log."""

    status, code = 499, "client_left"


class InternalError(ServiceError):
    """The service failed on this request; its log says how."""

    status, code, type = 500, "internal_error", "server_error"


class NotReady(ServiceError):
    """The service is starting, draining, or its engine failed."""

    status, code, type = 503, "not_ready", "service_unavailable_error"


class RequestTimeout(ServiceError):
    """No answer within `SWIN_REQUEST_TIMEOUT_S`."""

    status, code, type = 504, "timeout", "timeout_error"


class ReloadFailed(ServiceError):
    """The new model file cannot be served; the old model still is."""

    status, code = 409, "reload_failed"


class EngineError(Exception):
    """The engine makes no progress and cannot be brought back; the process has to end."""


class ArtifactError(Exception):
    """The model file cannot be served; the message is one line that says what to do."""


class DeviceError(Exception):
    """The device asked for cannot be used; the message is one line that says why."""


class StartError(Exception):
    """The service cannot start as it is set up; the message is one line that says why."""


def error_body(message: str, *, type_: str, code: str, param: str | None = None) -> bytes:
    """`{"error": {"message", "type", "param", "code"}}`, as OpenAI clients know it."""
    error = {"message": message, "type": type_, "param": param, "code": code}
    return orjson.dumps({"error": error})


def forget_frames(error: BaseException | None) -> None:
    """Drop an error's traceback once it has been handled.

    A frame with the error in a variable forms a reference cycle with it, and keeps its other
    variables, such as a request's images, until a garbage collection.
    """
    while error is not None:
        error.__traceback__ = None
        error = error.__cause__ or error.__context__
