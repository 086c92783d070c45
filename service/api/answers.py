"""What the doors share: a request's images in, all of its embeddings out, or one error."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from fastapi import Request

from service.batcher import Embedding, Vector
from service.embedder import Embedder
from service.errors import RequestTimeout, ServiceError, TooManyImages
from service.settings import Settings


@dataclass(frozen=True)
class Upload:
    """An encoded image and the part of the request it came in, such as `files[1]`."""

    param: str | None
    data: bytes


def embedder(request: Request) -> Embedder:
    """The running service's embedder; raises NotReady while there is none."""
    loaded: Embedder = request.app.state.lifecycle.embedder
    return loaded


async def embed_all(request: Request, uploads: Sequence[Upload]) -> list[Embedding]:
    """Embed a request's images, as a whole: the first error ends it and drops what is left.

    Raises:
        ServiceError: with the `param` of the image at fault.
    """
    settings: Settings = request.app.state.settings
    if len(uploads) > settings.max_images_per_request:
        raise TooManyImages(
            f"{len(uploads)} images in a request, at most {settings.max_images_per_request} allowed"
        )
    timeout_s = settings.request_timeout_s
    futures = embedder(request).submit([upload.data for upload in uploads], timeout_s)
    answers = [asyncio.wrap_future(future) for future in futures]
    try:
        async with asyncio.timeout(timeout_s):
            await asyncio.gather(*answers)
    except TimeoutError:
        raise RequestTimeout(f"no answer within {timeout_s:g} s; try again later") from None
    except ServiceError as error:
        failed = next(i for i, answer in enumerate(answers) if _error(answer) is error)
        error.param = uploads[failed].param
        raise
    finally:
        for answer in answers:
            answer.cancel()
    return [answer.result() for answer in answers]


def unit_length(vector: Vector) -> Vector:
    """A vector over its L2 norm: float32 `[dim]`. One at a time, so that its bits are its own."""
    return vector / np.linalg.norm(vector)


def _error(answer: "asyncio.Future[Embedding]") -> BaseException | None:
    return answer.exception() if answer.done() and not answer.cancelled() else None
