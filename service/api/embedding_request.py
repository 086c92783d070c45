"""What the doors share: a request's images in, all of its embeddings out, or one error."""

import asyncio
import contextlib
import re
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from concurrent.futures import Future
from dataclasses import dataclass

from fastapi import Request

from service.engine.embedder import Embedder
from service.errors import ClientLeft, InvalidRequest, RequestTimeout, ServiceError, TooManyImages
from service.observability import traces
from service.observability.metrics import Metrics
from service.settings import Settings
from service.types import Embedding, Image

TIMEOUT_HEADER = "X-Request-Timeout-Ms"
MILLISECONDS = re.compile(r"[0-9]{1,9}")


@dataclass(frozen=True)
class Upload:
    """An image and the part of the request it came in, such as `files[1]`."""

    param: str | None
    data: Image


def embedder(request: Request) -> Embedder:
    """The embedder that embedded this request's images, before that the one that serves now.

    Raises:
        NotReady: there is none.
    """
    loaded: Embedder = getattr(request.state, "embedder", request.app.state.lifecycle.embedder)
    return loaded


async def embed_all(request: Request, uploads: Sequence[Upload]) -> list[Embedding]:
    """Embed an HTTP request's images, as a whole, and note what its trace should tell.

    Raises:
        ServiceError: with the `param` of the image at fault.
    """
    request.state.images = len(uploads)
    request.state.embedder = embedder(request)
    left_s = _left_s(request)
    with abandonable(request):
        settings: Settings = request.app.state.settings
        embeddings = await compute(request.state.embedder, settings, uploads, left_s)
    request.state.stages = stages(embeddings)
    traces.record(request.state.stages)
    return embeddings


@contextlib.contextmanager
def abandonable(request: Request) -> Iterator[None]:
    """End the work within when the connection it is for is lost; see `connections.Connection`.

    Raises:
        ClientLeft: it was.
    """
    task = asyncio.current_task()
    left = False

    def abandon() -> None:
        nonlocal left
        if task is not None:
            left = task.cancel()

    request.state.abandon = abandon
    try:
        yield
    except asyncio.CancelledError:
        if not left:
            raise
        raise ClientLeft("the client left before its answer was ready") from None
    finally:
        del request.state.abandon


@contextlib.asynccontextmanager
async def in_time(request: Request) -> AsyncIterator[None]:
    """End the work within when the request's time is up, or nobody waits for it any more.

    Time spent here is not there for embedding.

    Raises:
        RequestTimeout: time is up.
        ClientLeft: the connection was lost.
        InvalidRequest: the client asks for what is no time.
    """
    with abandonable(request):
        try:
            async with asyncio.timeout(_left_s(request)):
                yield
        except TimeoutError:
            raise _late(_timeout_s(request)) from None


async def compute(
    embedder: Embedder, settings: Settings, uploads: Sequence[Upload], timeout_s: float
) -> list[Embedding]:
    """Embed a request's images, as a whole: the first error ends it and drops what is left.

    Args:
        embedder: what embeds them; the one whose card the caller answers with.
        settings: the limits of a request.
        uploads: the request's images.
        timeout_s: seconds after which no answer is of use.

    Raises:
        ServiceError: with the `param` of the image at fault.
    """
    allow(settings, len(uploads))
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
        return [future.result() for future in futures]
    finally:
        for future in futures:
            future.cancel()


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


def allow(settings: Settings, images: int) -> None:
    """Check a request's number of images, before more is done for them.

    Raises:
        TooManyImages: more than `SWIN_MAX_IMAGES_PER_REQUEST`.
    """
    if images > settings.max_images_per_request:
        raise TooManyImages(
            f"{images} images in a request, at most {settings.max_images_per_request} allowed"
        )


def stages(embeddings: Sequence[Embedding]) -> dict[str, float]:
    """Seconds in each stage, of the image that was longest in it."""
    return {
        "decode": max(embedding.decode_s for embedding in embeddings),
        "queue": max(embedding.queue_s for embedding in embeddings),
        "inference": max(embedding.inference_s for embedding in embeddings),
    }


@contextlib.contextmanager
def encoding(request: Request) -> Iterator[None]:
    """Time the making of an answer's body, for the metrics and the request's trace."""
    started = time.monotonic()
    yield
    metrics: Metrics = request.app.state.metrics
    seconds = time.monotonic() - started
    metrics.encode.observe(seconds)
    request.state.stages["encode"] = seconds


def _late(timeout_s: float) -> RequestTimeout:
    return RequestTimeout(f"no answer within {round(timeout_s, 2):g} s; try again later")


def _left_s(request: Request) -> float:
    """Seconds until a request's answer is due, which is settled when first asked for."""
    if not hasattr(request.state, "due"):
        request.state.due = time.monotonic() + _timeout_s(request)
    due: float = request.state.due
    return max(0.0, due - time.monotonic())


def _timeout_s(request: Request) -> float:
    """`SWIN_REQUEST_TIMEOUT_S`, or less if the client's `X-Request-Timeout-Ms` asks for less."""
    settings: Settings = request.app.state.settings
    given = request.headers.get(TIMEOUT_HEADER)
    if given is None:
        return settings.request_timeout_s
    if not MILLISECONDS.fullmatch(given):
        raise InvalidRequest(f"{TIMEOUT_HEADER} is a number of milliseconds", param=TIMEOUT_HEADER)
    return min(settings.request_timeout_s, int(given) / 1000)
