"""A stream: decodes the images of a batch, runs the model on them and answers for each."""

import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

import numpy as np

from service.engine.image_queue import Job
from service.errors import NotReady
from service.types import Embedding, Pixels, Vectors

logger = logging.getLogger(__name__)


class RunObserver(Protocol):
    """Told of each run that ended."""

    def __call__(self, size: int, *, succeeded: bool) -> None: ...


Run = Callable[[Sequence[Pixels], bool], Vectors]
"""Images, and whether the run is alone, to their vectors, float32 `[n, dim]`."""


@dataclass(frozen=True)
class Lane:
    """What a stream runs its batches on; lanes may share a device.

    The stream calls `prepare` before anything else; it gives the seconds that a warm run takes.
    """

    run: Run
    device: str = "cpu"
    prepare: Callable[[], float] = lambda: 0.0


class Step(NamedTuple):
    """What a stream is at, since when: it decodes an image or runs the model."""

    runs: bool
    since: float


class Stream:
    """Works on one batch at a time, in one thread.

    Args:
        lane: what it runs batches on.
        alone: whether a run that begins now may use the cores of other streams.
        on_run: told of each run.

    Attributes:
        step: what it is at; None while it waits for a batch.
    """

    def __init__(self, lane: Lane, alone: Callable[[], bool], on_run: RunObserver) -> None:
        self.lane = lane
        self.step: Step | None = None
        self._alone = alone
        self._on_run = on_run

    def begin(self, *, runs: bool) -> None:
        """Note that it decodes or runs from now on."""
        self.step = Step(runs, time.monotonic())

    def work(self, jobs: Sequence[Job]) -> bool:
        """Decode a batch, run the model on what could be decoded, and answer every job.

        Returns:
            Whether the run succeeded, or none was needed.
        """
        try:
            images = []
            for job in jobs:
                self.begin(runs=False)
                if (pixels := _pixels(job)) is not None:
                    images.append((job, pixels))
            if images:
                self._run(images)
        except Exception:
            waiting = sum(not job.future.done() for job in jobs)
            logger.exception("a run of %d images failed", waiting)
            self._on_run(waiting, succeeded=False)
            return False
        else:
            return True
        finally:  # every job gets an answer, even if this thread ends here
            for job in jobs:
                if not job.future.done():
                    job.future.set_exception(_run_failed())
            self.step = None

    def _run(self, images: Sequence[tuple[Job, Pixels]]) -> None:
        """Run the model on a batch and answer its waiters."""
        started = time.monotonic()
        alone = self._alone()
        self.begin(runs=True)
        batch = [pixels for _, pixels in images]  # n of [h, w, 3]
        vectors = self.lane.run(batch, alone)  # [n, dim]
        answers = [
            (job, vector, bool(np.isfinite(vector).all()))
            for (job, _), vector in zip(images, vectors, strict=True)
        ]
        self._on_run(len(images), succeeded=all(sound for _, _, sound in answers))
        inference_s = time.monotonic() - started
        for job, vector, sound in answers:
            if not sound:
                logger.error("a vector has numbers that are not finite")
                job.future.set_exception(_run_failed())
                continue
            queue_s = job.taken_at - job.queued_at
            job.future.set_result(
                Embedding(vector, job.decode_s, queue_s, inference_s, job.width, job.height)
            )


def _run_failed() -> NotReady:
    return NotReady("the model failed on this run", retry_after_s=1)


def _pixels(job: Job) -> Pixels | None:
    """A job's pixels, decoded if they are not yet; None if they can't be, which answers it."""
    # The job lets go of it: what decodes refers to the job, and a file would stay for that circle
    # to be found by the garbage collector, which takes thousands of images.
    image, job.image = job.image, None
    if not callable(image):
        return image
    try:
        return image()
    except Exception as error:
        job.future.set_exception(error)
        return None
