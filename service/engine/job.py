"""An image on its way through the engine, and the request it came with."""

import time
from concurrent.futures import Future
from dataclasses import dataclass, field

from opentelemetry import trace
from opentelemetry.trace import Span

from service.types import Embedding, Pixels


@dataclass(slots=True, eq=False)
class Request:
    """The images of one request, which takes turns with other requests.

    Attributes:
        places: how many of its images hold a place in the queue.
        span: of the request's trace; one that records nothing where it is not traced.
    """

    places: int = 0
    span: Span = field(default_factory=trace.get_current_span)


@dataclass(slots=True, eq=False)
class Job:
    """One image on its way through the engine; cancelling `future` gives it up.

    Attributes:
        request: the request it belongs to.
        deadline: when it is too late for its vector, by `time.monotonic`.
        data: the image file; None once it is being decoded.
        pixels: as the model takes them; None until it is decoded.
        cost_s: estimated seconds of one thread.
        decode_bytes: estimated memory for decoding it; 0 for a small image, which is not counted.
        decode_s, width, height: of the image, once it is decoded.
        queued_at, taken_at: when it began and ended to wait for a stream.
    """

    request: Request
    deadline: float
    data: bytes | None = None
    pixels: Pixels | None = None
    cost_s: float = 0
    decode_bytes: int = 0
    future: Future[Embedding] = field(default_factory=Future)
    decode_s: float = 0
    width: int = 0
    height: int = 0
    queued_at: float = 0
    taken_at: float = 0

    @property
    def expired(self) -> bool:
        """Whether it is too late for its vector."""
        return time.monotonic() >= self.deadline
