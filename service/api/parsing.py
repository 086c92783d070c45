"""Reads JSON bodies: within limits, into declared types, in a thread if they are large.

This bounds the memory and time that a body costs. `msgspec` builds only what a type declares and
stops at the first error. It does not bound how much there is in a body, so `json_cost` counts that
before.
"""

import asyncio
import re
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import msgspec
from fastapi import Request

from service.api.compression import Inflater
from service.api.json_cost import MAX_OBJECTS, MAX_TOKENS, count_objects, count_tokens
from service.api.negotiation import UNTOLD, coding, content_type
from service.api.state import request_state, service_state
from service.errors import InvalidRequest, RequestTooLarge, UnsupportedMediaType

INLINE_BYTES = 32 * 1024
"""The longest text that is parsed on the event loop."""

PIECE_BYTES = 512 * 1024
"""The most of a compressed body that is inflated before it is counted."""

MISSING = re.compile(r"missing required field `(.+?)`")

T = TypeVar("T")
_threads = ThreadPoolExecutor(2, "parsing")


async def parse(size: int, function: Callable[..., T], *arguments: object) -> T:
    """Call a function that parses so many bytes, in one of few threads if they are many."""
    if size <= INLINE_BYTES:
        return function(*arguments)
    return await asyncio.get_running_loop().run_in_executor(_threads, function, *arguments)


async def read_body(request: Request) -> bytes:
    """A request's body, inflated if need be, which the request does not keep as `Request.body`.

    Raises:
        ServiceError: see `_inflated`.
    """
    name = coding(request)
    pieces = _inflated(request, name) if name else request.stream()
    return b"".join([piece async for piece in pieces])


async def _inflated(request: Request, name: str) -> AsyncIterator[bytes]:
    """The pieces of a compressed body, inflated.

    They count against `SWIN_MAX_REQUEST_BYTES`, and in the memory budget until the request is
    answered.

    Raises:
        UnsupportedMediaType: its coding is not read here.
        InvalidRequest: it is damaged or not whole.
        RequestTooLarge: it inflates to more than a request may have.
        QueueFull: there is no memory for it now.
    """
    inflater = Inflater(name)
    limit = service_state(request).settings.max_request_bytes
    charge = request_state(request).charge
    length = 0
    async for data in request.stream():
        inflater.add(data)
        more = bool(data)
        while more:
            most = PIECE_BYTES if length else INLINE_BYTES
            piece = await parse(max(len(inflater.rest), most), inflater.inflate, most)
            length += len(piece)
            if length > limit:
                raise RequestTooLarge(f"the request body inflates to more than {limit} bytes")
            charge.add(len(piece))
            yield piece
            more = len(piece) == most
    inflater.end()


async def read_json(request: Request, decoder: msgspec.json.Decoder[T]) -> T:
    """A request's JSON body. Without a content type, a body that looks like JSON is read too.

    Raises:
        UnsupportedMediaType: the request says that it is something else.
        InvalidRequest: see `decode`.
    """
    media_type = content_type(request)
    untold = media_type in UNTOLD
    if not untold and media_type != "application/json" and not media_type.endswith("+json"):
        raise UnsupportedMediaType(f"cannot read {media_type}: send JSON (application/json)")
    body = await read_body(request)
    if untold and media_type and not body.lstrip()[:1] == b"{":
        raise UnsupportedMediaType(f"cannot read {media_type}: send JSON (application/json)")
    return await parse(len(body), decode, body, decoder)


def decode(body: bytes | memoryview, decoder: msgspec.json.Decoder[T]) -> T:
    """JSON as a decoder's type.

    Raises:
        InvalidRequest: it is not JSON, not of that type, or has too many parts; `param` names the
            first at fault.
    """
    text = bytes(body)
    # Objects first: `count_tokens` takes a step for each string.
    if (objects := count_objects(text)) > MAX_OBJECTS:
        raise InvalidRequest(
            f"the JSON has {objects} strings and objects, at most {MAX_OBJECTS} allowed"
        )
    if (tokens := count_tokens(text)) > MAX_TOKENS:
        raise InvalidRequest(
            f"the JSON takes as long to read as {tokens} commas, brackets and escapes, at most "
            f"{MAX_TOKENS} allowed; send large tensors as binary data, JSON without white space"
        )
    try:
        return decoder.decode(text)
    except msgspec.ValidationError as error:
        message, param = _located(str(error))
        raise InvalidRequest(message, param=param) from None
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise InvalidRequest(f"the body is not JSON: {error}") from None
    except RecursionError:
        raise InvalidRequest("the JSON is nested too deeply") from None


def _located(error: str) -> tuple[str, str | None]:
    """Msgspec's message, and the place in the body that it names: `input[3]`."""
    message, _, path = error.rpartition(" - at `$") if " - at `$" in error else (error, "", "")
    param = path.rstrip("`").removeprefix(".")
    if missing := MISSING.search(message):
        param = f"{param}.{missing[1]}".removeprefix(".")
    return message[:200], param[:200] or None
