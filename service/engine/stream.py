"""A stream: one thread that decodes a batch, runs the model on it and answers, again and again."""

import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from service.engine.decoder import Decoder
from service.engine.job import Job
from service.errors import NotReady
from service.observability import traces
from service.observability.observer import Observer
from service.types import Embedding, Pixels, Vectors

logger = logging.getLogger(__name__)

Run = Callable[[Sequence[Pixels]], Vectors]
"""From the pixels of `n` images to their vectors, float32 `[n, dim]`."""


@dataclass(eq=False)
class Lane:
    """What a stream runs its batches on; lanes may share a device.

    The stream calls `prepare` first; it returns the seconds that a warm run takes.

    Attributes:
        busy: whether its stream has a batch.
    """

    run: Run
    device: str = "cpu"
    prepare: Callable[[], float] = lambda: 0.0
    busy: bool = False


class Step(NamedTuple):
    """Whether a stream runs the model or decodes an image, and since when."""

    runs: bool
    since: float


class Stream:
    """Works on one batch at a time, in one thread.

    Args:
        lane: what it runs batches on.
        decoder: decodes the images that are not decoded yet.
        observer: told of each run.

    Attributes:
        step: its current step; None while it waits for a batch.
        last_run: when its last run ended, and whether the model failed on it.
    """

    def __init__(self, lane: Lane, decoder: Decoder, observer: Observer) -> None:
        self.lane = lane
        self.step: Step | None = None
        self.last_run = (0.0, False)
        self._decoder = decoder
        self._observer = observer

    def begin(self) -> None:
        """Note that it has a batch."""
        self.lane.busy = True
        self.step = Step(runs=False, since=time.monotonic())

    def work(self, jobs: Sequence[Job]) -> None:
        """Decode a batch, run the model on what could be decoded, and answer every job."""
        try:
            decoded = [job for job in jobs if self._decode(job)]
            if decoded:
                self._run(decoded)
        except Exception:
            waiting = sum(not job.future.done() for job in jobs)
            logger.exception("a run of %d images failed", waiting)
            self._observe_run(waiting, succeeded=False)
        finally:  # every job gets an answer, even if this thread ends here
            for job in jobs:
                if not job.future.done():
                    job.future.set_exception(_run_failed())
            self.step = None
            self.lane.busy = False

    def _decode(self, job: Job) -> bool:
        """Decode a job's image; whether that worked. An error is the job's answer."""
        self.step = Step(runs=False, since=time.monotonic())
        try:
            self._decoder.decode(job)
        except Exception as error:
            job.future.set_exception(error)
            return False
        return True

    def _run(self, jobs: Sequence[Job]) -> None:
        """Run the model on decoded images and answer their jobs."""
        started = time.monotonic()
        self.step = Step(runs=True, since=started)
        batch = [job.pixels for job in jobs if job.pixels is not None]  # n of [h, w, 3]
        with traces.run([job.request.span for job in jobs]):
            vectors = self.lane.run(batch)  # [n, dim]
        answers = [
            (job, vector, bool(np.isfinite(vector).all()))
            for job, vector in zip(jobs, vectors, strict=True)
        ]
        self._observe_run(len(jobs), succeeded=all(sound for _, _, sound in answers))
        inference_s = time.monotonic() - started
        for job, vector, sound in answers:
            job.pixels = None
            if not sound:
                logger.error("a vector has numbers that are not finite")
                job.future.set_exception(_run_failed())
                continue
            queue_s = job.taken_at - job.queued_at
            job.future.set_result(
                Embedding(vector, job.decode_s, queue_s, inference_s, job.width, job.height)
            )

    def _observe_run(self, size: int, *, succeeded: bool) -> None:
        self.last_run = (time.monotonic(), not succeeded)
        self._observer.observe_run(size, succeeded=succeeded)


def _run_failed() -> NotReady:
    return NotReady("the model failed on this run", retry_after_s=1)
