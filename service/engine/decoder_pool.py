"""Threads that decode images before a stream takes them, so that a GPU finds its batches ready."""

import logging
import threading
import time
from collections.abc import Sequence

from service.engine.decoder import Decoder
from service.engine.fair_queue import FairQueue
from service.engine.image_queue import ImageQueue
from service.engine.job import Job
from service.engine.pace import Pace
from service.errors import NotReady, RequestTimeout

logger = logging.getLogger(__name__)


class DecoderPool:
    """`count` threads that decode admitted images for a queue; requests take turns by cost.

    All threads start with the pool, so that giving them work cannot fail.
    """

    def __init__(self, count: int, decoder: Decoder, queue: ImageQueue) -> None:
        self._decoder = decoder
        self._queue = queue
        self._memory = decoder.memory
        self._jobs = FairQueue()
        self._closed = False
        self._news = threading.Condition(self._memory.lock)
        self._memory.waiting.append(self._news)
        self._pace = Pace(count)
        queue.paces.append(self._pace)
        self._since: dict[int, float] = {}
        self._threads = [
            threading.Thread(target=self._work, name=f"decode-{number}", daemon=True)
            for number in range(count)
        ]
        for thread in self._threads:
            thread.start()

    def put(self, jobs: Sequence[Job]) -> None:
        """Decode the images of a request, in the next free threads."""
        with self._news:
            for job in jobs:
                self._jobs.put(job)
            self._news.notify(len(jobs))

    @property
    def alive(self) -> bool:
        """Whether every thread can take work."""
        return all(thread.is_alive() for thread in self._threads)

    def longest_s(self) -> float:
        """How long the slowest thread has been at its image, in seconds; 0 if all are idle."""
        now = time.monotonic()
        return max((now - since for since in tuple(self._since.values())), default=0.0)

    def close(self) -> None:
        """Finish what was put in and end the threads."""
        with self._news:
            self._closed = True
            self._news.notify_all()
        for thread in self._threads:
            thread.join()

    def _work(self) -> None:
        thread = threading.get_ident()
        while (job := self._take()) is not None:
            self._since[thread] = began = time.monotonic()
            try:
                self._decode(job)
            finally:
                del self._since[thread]
                self._pace.observe(job.cost_s, time.monotonic() - began)

    def _take(self) -> Job | None:
        """Wait for an image that there is room to decode; None once closed and all is taken."""
        with self._news:
            while (job := self._jobs.take(self._memory.fits)) is None:
                if self._closed and not self._jobs:
                    return None
                self._news.wait()
            self._memory.reserve(job)
            return job

    def _decode(self, job: Job) -> None:
        if job.future.cancelled() or job.expired:
            self._memory.release(job)
            self._queue.drop(job, RequestTimeout("the image waited too long to be decoded"))
            return
        try:
            self._decoder.decode(job)
        except Exception as error:
            self._queue.drop(job, error)
            return
        except BaseException:  # this thread ends, and the image still gets an answer
            self._queue.drop(job, NotReady("the decoder failed", retry_after_s=1))
            raise
        self._queue.put([job])
