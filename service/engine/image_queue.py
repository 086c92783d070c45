"""The bounded queue of images: how many may wait, for how long, and which is next."""

import threading
import time
from collections.abc import Sequence

from service.engine.decode_memory import DecodeMemory
from service.engine.fair_queue import FairQueue
from service.engine.job import Job
from service.engine.pace import Pace
from service.errors import NotReady, QueueFull, RequestTimeout

MARGIN = 1.25
"""A request is refused unless it has this many times the estimated wait left: estimates err."""


class ImageQueue:
    """Images that wait for a stream.

    An image takes a place before it is decoded, and gives it back when a stream takes the image or
    the image is dropped.

    Args:
        capacity: most images that may wait.
        memory: for decoding; its lock guards the queue too.
        wakes: how many idle streams a new image wakes.

    Attributes:
        news: notified when an image may be there to take; its lock is that of `memory`.
        depth: images that hold a place.
        queued: those of them that a stream may take.
        decoded: those of `queued` that are decoded already.
        paces: of the threads that work on images, in groups; the slowest group sets the pace.
    """

    def __init__(self, capacity: int, memory: DecodeMemory, wakes: int) -> None:
        self.capacity = capacity
        self.news = threading.Condition(memory.lock)
        memory.waiting.append(self.news)
        self.depth = 0
        self.queued = 0
        self.decoded = 0
        self.closed = False
        self._memory = memory
        self._wakes = wakes
        self._jobs = FairQueue()
        self._cost_s = 0.0  # of all that hold a place
        self._requests = 0  # that hold a place
        self.paces: list[Pace] = []

    def check_room(self, count: int = 1) -> None:
        """Check that `count` more images have room, and take no place.

        Raises:
            QueueFull: they have none; try again when all that waits now is done.
            NotReady: the queue is closed.
        """
        if self.closed:
            raise NotReady("the service is shutting down", retry_after_s=1)
        if self.depth + count > self.capacity:
            raise QueueFull(
                f"the queue is full: {self.depth} of at most {self.capacity} images are waiting; "
                "try again later",
                retry_after_s=max(1.0, self._seconds(self._cost_s)),
            )

    def admit(self, jobs: Sequence[Job]) -> None:
        """Give the images of a request a place each, or none of them.

        Raises:
            QueueFull: there are not that many places, or their turn would come too late.
            NotReady: the queue is closed.
        """
        with self.news:
            self.check_room(len(jobs))
            self._check_time(jobs)
            for job in jobs:
                self.depth += 1
                self._cost_s += job.cost_s
                self._requests += not job.request.places
                job.request.places += 1

    def _check_time(self, jobs: Sequence[Job]) -> None:
        """Refuse a request that would not be done in time if what waits goes on as it does now.

        Requests take turns by cost, so each waiting request gets ahead of this one by at most this
        one's own cost, and all together by at most what they cost.
        """
        own_s = sum(job.cost_s for job in jobs)
        ahead_s = min(self._cost_s, self._requests * own_s)
        left_s = min((job.deadline for job in jobs), default=0.0) - time.monotonic()
        if ahead_s and MARGIN * self._seconds(ahead_s + own_s) > left_s:
            raise QueueFull(
                f"the answer would take about {self._seconds(ahead_s + own_s):.1f} s, and the "
                f"request has {max(0.0, left_s):.1f} s left; try again later",
                retry_after_s=max(1.0, self._seconds(self._cost_s)),
            )

    def _seconds(self, cost_s: float) -> float:
        """In how many seconds work of an estimated cost is done."""
        return max((pace.seconds(cost_s) for pace in self.paces), default=0.0)

    def put(self, jobs: Sequence[Job]) -> None:
        """Queue admitted images at once, so that one stream may take all of them."""
        with self.news:
            for job in jobs:
                job.queued_at = time.monotonic()
                self._jobs.put(job)
                self.queued += 1
                self.decoded += job.data is None
            self.news.notify(self._wakes)

    def drop(self, job: Job, error: Exception) -> None:
        """Answer an admitted image that will not be queued."""
        with self.news:
            self._leave(job)
        if job.future.set_running_or_notify_cancel():
            job.future.set_exception(error)

    def close(self) -> None:
        """Admit no more images; those that wait are still taken."""
        with self.news:
            self.closed = True
            self.news.notify_all()

    def _leave(self, job: Job) -> None:
        """Give back the place of an image."""
        self.depth -= 1
        job.request.places -= 1
        self._requests -= not job.request.places
        self._cost_s = self._cost_s - job.cost_s if self.depth else 0.0  # rounding ends here

    def first(self) -> Job | None:
        """The image that is next, if one may be taken now; the caller holds the lock."""
        return self._jobs.first(self._memory.fits)

    def take(self, most: int) -> list[Job]:
        """Take the next images, at most `most`; the caller holds the lock.

        Images that were given up or are too late are left out.
        """
        jobs: list[Job] = []
        while len(jobs) < most and (job := self._jobs.take(self._memory.fits)) is not None:
            self.queued -= 1
            self.decoded -= job.data is None
            self._leave(job)
            if not job.future.set_running_or_notify_cancel():
                continue
            if job.expired:
                job.future.set_exception(RequestTimeout("the image waited too long in the queue"))
                continue
            job.taken_at = time.monotonic()
            self._memory.reserve(job)
            jobs.append(job)
        if self.queued:
            self.news.notify(self._wakes)
        return jobs
