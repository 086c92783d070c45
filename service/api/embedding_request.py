"""Embeds the images of a request: all embeddings, or the first error. All doors use this."""

import asyncio
import contextlib
import re
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from concurrent.futures import Future
from dataclasses import dataclass

from fastapi import Request

from service.api.state import RequestState, ServiceState, request_state, service_state
from service.engine.embedder import Embedder
from service.errors import ClientLeft, InvalidRequest, RequestTimeout, ServiceError, TooManyImages
from service.observability import traces
from service.settings import Settings
from service.types import Embedding, Image

TIMEOUT_HEADER = "X-Request-Timeout-Ms"
MILLISECONDS = re.compile(r"[0-9]{1,9}")


@dataclass(frozen=True)
class Upload:
    """An image and the part of the request it came in, such as `files[1]`."""

    param: str | None
    data: Image


async def embed_all(
    service: ServiceState,
    state: RequestState,
    embedder: Embedder,
    uploads: Sequence[Upload],
    timeout_s: float,
) -> list[Embedding]:
    """Embed a request's images, as a whole: the first error ends it and drops what is left.

    Args:
        service: has the limits.
        state: of the request; records the number of images, the embedder and the stages.
        embedder: embeds them; the answer describes its model.
        uploads: the images.
        timeout_s: seconds after which the answer is too late.

    Raises:
        ServiceError: with the `param` of the image at fault.
    """
    state.images = len(uploads)
    state.embedder = embedder
    check_count(service.settings, len(uploads))
    with abandonable(state):
        futures = embedder.submit([upload.data for upload in uploads], timeout_s)
        try:
            await _settled(futures, timeout_s)
            for upload, future in zip(uploads, futures, strict=True):
                if future.done() and (error := future.exception()):
                    if isinstance(error, ServiceError):
                        error.param = upload.param
                    raise error
            if not all(future.done() for future in futures):
                raise _late(timeout_s)
            embeddings = [future.result() for future in futures]
        finally:
            for future in futures:
                future.cancel()
    state.stages = {
        "decode": max(embedding.decode_s for embedding in embeddings),
        "queue": max(embedding.queue_s for embedding in embeddings),
        "inference": max(embedding.inference_s for embedding in embeddings),
    }
    traces.record(state.stages)
    return embeddings


async def _settled(futures: Sequence[Future[Embedding]], timeout_s: float) -> None:
    """Wait until all are answered, one has failed, or time is up: the loop is woken once."""
    loop = asyncio.get_running_loop()
    settled = loop.create_future()
    answered: list[Future[Embedding]] = []

    def wake() -> None:
        if not settled.done():
            settled.set_result(None)

    def answer(future: Future[Embedding]) -> None:
        """Note an answer, in the thread that gives it."""
        answered.append(future)
        if len(answered) == len(futures) or (not future.cancelled() and future.exception()):
            loop.call_soon_threadsafe(wake)

    for future in futures:
        future.add_done_callback(answer)
    timer = loop.call_later(timeout_s, wake)
    try:
        await settled
    finally:
        timer.cancel()


@contextlib.contextmanager
def abandonable(state: RequestState) -> Iterator[None]:
    """End the work in this block when the connection is lost; see `connections.Connection`.

    Raises:
        ClientLeft: the connection was lost.
    """
    task = asyncio.current_task()
    left = False

    def abandon() -> None:
        nonlocal left
        if task is not None:
            left = task.cancel()

    state.abandon = abandon
    try:
        yield
    except asyncio.CancelledError:
        if not left:
            raise
        raise ClientLeft("the client left before its answer was ready") from None
    finally:
        state.abandon = None


@contextlib.asynccontextmanager
async def in_time(request: Request) -> AsyncIterator[None]:
    """End the work in this block when the request's time is up or its client has left.

    This time counts: embedding has what is left.

    Raises:
        RequestTimeout: time is up.
        ClientLeft: the connection was lost.
        InvalidRequest: the client's timeout is not a number.
    """
    with abandonable(request_state(request)):
        try:
            async with asyncio.timeout(left_s(request)):
                yield
        except TimeoutError:
            raise _late(_timeout_s(request)) from None


def check_count(settings: Settings, images: int) -> None:
    """Check a request's number of images, before more is done for them.

    Raises:
        TooManyImages: more than `SWIN_MAX_IMAGES_PER_REQUEST`.
    """
    if images > settings.max_images_per_request:
        raise TooManyImages(
            f"{images} images in a request, at most {settings.max_images_per_request} allowed"
        )


@contextlib.contextmanager
def timed_encoding(service: ServiceState, state: RequestState) -> Iterator[None]:
    """Time the making of an answer's body, for the metrics and the request's trace."""
    started = time.monotonic()
    yield
    seconds = time.monotonic() - started
    service.metrics.encode.observe(seconds)
    state.stages["encode"] = seconds


def _late(timeout_s: float) -> RequestTimeout:
    return RequestTimeout(f"no answer within {round(timeout_s, 2):g} s; try again later")


def left_s(request: Request) -> float:
    """Seconds until a request's answer is due. The first call fixes the time.

    Raises:
        InvalidRequest: the client's timeout is not a number.
    """
    state = request_state(request)
    if state.due is None:
        state.due = time.monotonic() + _timeout_s(request)
    return max(0.0, state.due - time.monotonic())


def _timeout_s(request: Request) -> float:
    """`SWIN_REQUEST_TIMEOUT_S`, or less if the client's `X-Request-Timeout-Ms` asks for less."""
    longest_s = service_state(request).settings.request_timeout_s
    given = request.headers.get(TIMEOUT_HEADER)
    if given is None:
        return longest_s
    if not MILLISECONDS.fullmatch(given):
        raise InvalidRequest(f"{TIMEOUT_HEADER} is a number of milliseconds", param=TIMEOUT_HEADER)
    return min(longest_s, int(given) / 1000)
