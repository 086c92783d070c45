"""Image bytes to vectors: preprocessing, batching and the model joined. No HTTP here."""

import logging
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from functools import partial

import numpy as np

from service.engine import memory, placement
from service.engine.batcher import Batcher
from service.engine.decoders import Decoders, Work
from service.engine.image_queue import Decode, Job
from service.engine.placement import Loaded
from service.errors import NotReady, RequestTimeout, ServiceError
from service.images import decoding
from service.images.preprocess import preprocess
from service.observability.observer import Observer
from service.settings import Settings
from service.types import Embedding, EngineState, Image, Pixels, Vector

STALLED_RUNS = 20
STALLED_S = 4.0
STALLED_DECODE_S = 30.0
"""Far more than the slowest image within the limits takes, and less than anyone waits for."""

logger = logging.getLogger(__name__)


class Embedder:
    """A model and the threads that feed it; `close` ends them.

    Making one warms the model up, so an embedder that exists has embedded an image.

    Raises:
        ArtifactError: the model file cannot be served.
        DeviceError: the device asked for cannot be had.
    """

    def __init__(
        self,
        settings: Settings,
        observer: Observer,
        load: Callable[[Settings], Loaded] = placement.load,
    ) -> None:
        began = time.monotonic()
        decoding.configure(settings.max_image_pixels)
        self._loaded = loaded = load(settings)
        self.on_gpu = loaded.on_gpu
        self.max_batch_size = loaded.max_batch_size
        self.model = loaded.model
        self.card = self.model.card
        self._max_pixels = settings.max_image_pixels
        self._exact = settings.preprocess == "exact"
        self._observer = observer
        try:
            self.batcher = Batcher(
                loaded.lanes,
                max_batch_size=loaded.max_batch_size,
                capacity=settings.max_queue_size,
                max_delay_s=settings.max_queue_delay_ms / 1000,
                on_run=observer.observe_run,
            )
        except BaseException:
            loaded.close()
            raise
        self._decoders = Decoders(loaded.decode_threads) if loaded.decode_threads else None
        memory.give_back()  # what loading parsed and packed is in part freed again
        self.load_s = time.monotonic() - began

    def submit(self, images: Sequence[Image], timeout_s: float) -> list[Future[Embedding]]:
        """Start embedding images, all of them or none; pixels need no decoding.

        Each future gives an `Embedding` or raises a `ServiceError`; cancelling it drops the image's
        work where that has not begun.

        Raises:
            QueueFull: there is no room for all of them.
            NotReady: the embedder is closed.
        """
        try:
            jobs = self.batcher.admit(len(images), time.monotonic() + timeout_s)
        except ServiceError:
            self._observer.count_refused_images(len(images))
            raise
        ready: list[Job] = []
        ahead: list[Work] = []
        for job, image in zip(jobs, images, strict=True):
            job.future.add_done_callback(self._observer.observe_image)
            if isinstance(image, bytes):
                self._observer.observe_bytes(len(image))
                decode = partial(self._decode, job, image)
                if self._decoders is not None:
                    ahead.append(partial(self._decode_ahead, job, decode))
                    continue
                job.image = decode
            else:
                job.height, job.width = image.shape[:2]
                job.image = image
            ready.append(job)
        if ready:
            self.batcher.put(ready)
        if self._decoders is not None:
            self._decoders.submit(ahead)
        return [job.future for job in jobs]

    def check_room(self) -> None:
        """Refuse a request, of which nothing is known yet, where not even one image has room.

        Raises:
            QueueFull: there is none.
            NotReady: the embedder is closed.
        """
        try:
            self.batcher.check_room()
        except ServiceError:
            self._observer.count_refused_images(1)
            raise

    def alive(self) -> bool:
        """Whether all threads are there. One that ended is not started again."""
        return self.batcher.alive and (self._decoders is None or self._decoders.alive)

    def hung(self) -> bool:
        """Whether a thread has been at a run or an image for longer than any should."""
        longest_s = max(STALLED_S, STALLED_RUNS * self.batcher.warm_run_s)
        return (
            self.batcher.longest_run_s() > longest_s or self._longest_decode_s() > STALLED_DECODE_S
        )

    def stalled(self) -> bool:
        """Whether a thread has ended or hangs."""
        return not self.alive() or self.hung()

    def healthy(self) -> bool:
        """Whether the engine makes progress: it is not stalled, and the last run succeeded.

        Free after a success; after a failure it is a real run that has to succeed.
        """
        if self.stalled() or not self._loaded.healthy():
            return False
        if self.batcher.last_run_failed:
            try:
                (job,) = self.batcher.admit(1, time.monotonic() + STALLED_S)
                job.image = self._blank()
                self.batcher.put([job])
                job.future.result(STALLED_S)
            except (ServiceError, TimeoutError):
                return False
        return True

    def state(self) -> EngineState:
        """What it is doing now, for the metrics."""
        batcher = self.batcher
        return EngineState(
            queued=batcher.depth,
            undecoded=batcher.undecoded,
            capacity=batcher.capacity,
            streams=batcher.streams,
            busy=batcher.busy,
            longest_run_s=batcher.longest_run_s(),
        )

    def close(self) -> None:
        """Finish what was submitted and stop."""
        if self._decoders is not None:
            self._decoders.close()
        self.batcher.close()
        self._loaded.close()

    def _longest_decode_s(self) -> float:
        if self._decoders is not None:
            return self._decoders.longest_s()
        return self.batcher.longest_decode_s()

    def _decode(self, job: Job, image: bytes) -> Pixels:
        started = time.monotonic()
        picture = preprocess(image, self.card.preprocessing, self._max_pixels, exact=self._exact)
        job.decode_s = time.monotonic() - started
        job.width, job.height = picture.width, picture.height
        self._observer.observe_picture(picture)
        return picture.pixels

    def _decode_ahead(self, job: Job, decode: Decode) -> None:
        """Decode before a stream asks for it, so that batches are ready when a device is."""
        if job.future.cancelled() or job.expired:
            self.batcher.drop(job, RequestTimeout("the image waited too long to be decoded"))
            return
        try:
            job.image = decode()
        except Exception as error:
            self.batcher.drop(job, error)
            return
        except BaseException:  # this thread ends, and the image still gets an answer
            self.batcher.drop(job, NotReady("the decoder failed", retry_after_s=1))
            raise
        self.batcher.put([job])

    def _blank(self) -> Pixels:
        size = self.card.image_size
        return np.full((size, size, 3), 128, np.uint8)


def unit_length(vector: Vector) -> Vector:
    """A vector over its L2 norm: float32 `[dim]`. One at a time, so that its bits are its own."""
    return vector / np.linalg.norm(vector)
