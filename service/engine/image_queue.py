"""Images that wait for a stream: a bounded queue in which requests take turns."""

import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field

from service.engine.fair_queue import Turns
from service.errors import QueueFull
from service.types import Embedding, Pixels

RECENT = 32
"""Batches over which the pace is averaged."""


Decode = Callable[[], Pixels]
"""Makes the pixels of an image; called once, when its turn has come."""


@dataclass(slots=True, eq=False)
class Job:
    """One image on its way. Whoever waits for it holds `future`, and gives up by cancelling it.

    `request` holds those of the images that came with it which wait for a stream. `image` is there
    once it waits too: pixels as the model takes them, or what will make them.
    """

    deadline: float
    request: "deque[Job]"
    future: Future[Embedding] = field(default_factory=Future)
    image: Pixels | Decode | None = None
    decode_s: float = 0
    width: int = 0
    height: int = 0
    queued_at: float = 0
    taken_at: float = 0

    @property
    def expired(self) -> bool:
        return time.monotonic() >= self.deadline


class Waiting:
    """The queue. Whoever calls holds the lock of those who share it.

    A place is taken before the image is decoded and given back when a stream takes the image or it
    is dropped; so `depth` counts every image that waits, `queued` those of them that a stream may
    take, and `decoded` those of these that it need not decode.
    """

    def __init__(self, capacity: int) -> None:
        self.capacity = capacity
        self.depth = 0
        self.queued = 0
        self.decoded = 0
        self.image_s = 0.0
        self._turns: Turns[Job] = Turns()

    def check_room(self, count: int) -> None:
        """Whether `count` more images have room.

        Raises:
            QueueFull: they have not; it says when they will have, at the recent pace.
        """
        if self.depth + count > self.capacity:
            missing = self.depth + count - self.capacity
            raise QueueFull(
                f"the queue is full: {self.depth} of at most {self.capacity} images are waiting; "
                "try again later",
                retry_after_s=max(1.0, missing * self.image_s),
            )

    def admit(self, count: int, deadline: float) -> list[Job]:
        """Take places for the images of a request, or none.

        Raises:
            QueueFull: there are not that many left.
        """
        self.check_room(count)
        self.depth += count
        request: deque[Job] = deque()
        return [Job(deadline, request) for _ in range(count)]

    def put(self, job: Job) -> None:
        """Have an admitted image wait for its turn."""
        job.queued_at = time.monotonic()
        self._turns.put(job, job.request)
        self.queued += 1
        self.decoded += not callable(job.image)

    def leave(self) -> None:
        """Give back the place of an image that was admitted and not put."""
        self.depth -= 1

    def oldest(self) -> Job:
        """The image that is next."""
        return self._turns.first()

    def next(self) -> Job:
        """Take the first image of the request whose turn it is."""
        job = self._turns.next()
        self.queued -= 1
        self.decoded -= not callable(job.image)
        self.depth -= 1
        return job

    def observe_pace(self, image_s: float) -> None:
        """Learn in how many seconds the streams together took one image more."""
        self.image_s += (image_s - self.image_s) / RECENT if self.image_s else image_s
