"""Image bytes to vectors: preprocessing, batching and the model joined. No HTTP here."""

import logging
import math
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future

import numpy as np

from service.engine import memory, memory_plan, placement
from service.engine.batcher import Batcher
from service.engine.decode_memory import BYTES_PER_THREAD, DecodeMemory
from service.engine.decoder import Decoder
from service.engine.decoder_pool import DecoderPool
from service.engine.job import Job, Request
from service.engine.placement import Placement
from service.errors import ServiceError
from service.images import cost, decoding
from service.observability.observer import Observer
from service.settings import Settings
from service.types import Embedding, EngineState, Image, Vector

STALLED_RUNS = 20
STALLED_S = 4.0
STALLED_DECODE_S = 30.0
"""Far more than the slowest allowed image takes, and less than a client waits."""

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
        load: Callable[[Settings], Placement] = placement.load,
    ) -> None:
        began = time.monotonic()
        decoding.configure(settings.max_image_pixels)
        self._observer = observer
        self._placement = placed = load(settings)
        self.on_gpu = placed.on_gpu
        self.max_batch_size = placed.max_batch_size
        self.model = placed.model
        self.card = self.model.card
        self._costs = cost.Estimates(
            self.card.preprocessing, settings.max_image_pixels, exact=settings.preprocess == "exact"
        )
        try:
            self._start(settings)
        except BaseException:
            placed.close()
            raise
        memory.give_back()  # loading leaves much free memory
        self.load_s = time.monotonic() - began

    def _start(self, settings: Settings) -> None:
        """Start the threads that decode and run."""
        placed = self._placement
        threads = placed.decode_threads or len(placed.lanes)
        room = DecodeMemory(min(memory_plan.decode_bytes(settings), threads * BYTES_PER_THREAD))
        decoder = Decoder(self.card.preprocessing, settings, room, self._observer)
        self.batcher = Batcher(
            placed.lanes,
            decoder,
            self._observer,
            max_batch_size=placed.max_batch_size,
            capacity=settings.max_queue_size,
            max_delay_s=settings.max_queue_delay_ms / 1000,
        )
        self._queue = self.batcher.queue
        self._run_s = self.batcher.warm_run_s / placed.max_batch_size
        ahead = placed.decode_threads
        self._pool = DecoderPool(ahead, decoder, self._queue) if ahead else None

    def submit(self, images: Sequence[Image], timeout_s: float) -> list[Future[Embedding]]:
        """Start embedding images, all of them or none; pixels need no decoding.

        Each future gives an `Embedding` or raises a `ServiceError`; cancelling it drops the image's
        work where that has not begun.

        Raises:
            QueueFull: there is no room for all of them, or they would not be done in time.
            NotReady: the embedder is closed.
        """
        request, deadline = Request(), time.monotonic() + timeout_s
        run_s = self._run_s if self._pool is None else 0.0  # by the thread that decodes, or another
        jobs = []
        for image in images:
            if isinstance(image, bytes):
                cost = self._costs.estimate(image)
                job = Job(request, deadline, image, None, cost.decode_s + run_s, cost.bounded_bytes)
            else:
                job = Job(request, deadline, None, image, self._run_s)
                job.height, job.width = image.shape[:2]
            jobs.append(job)
        try:
            self._queue.admit(jobs)
        except ServiceError:
            self._observer.count_refused_images(len(images))
            raise
        for job in jobs:
            job.future.add_done_callback(self._observer.observe_image)
        if self._pool is None:
            self._queue.put(jobs)
        else:
            self._pool.put([job for job in jobs if job.data is not None])
            self._queue.put([job for job in jobs if job.data is None])
        return [job.future for job in jobs]

    def check_room(self) -> None:
        """Check that one image has room: cheap, before anything of a request is read.

        Raises:
            QueueFull: there is no room.
            NotReady: the embedder is closed.
        """
        try:
            self._queue.check_room()
        except ServiceError:
            self._observer.count_refused_images(1)
            raise

    def alive(self) -> bool:
        """Whether every thread is alive. A thread that ended is not started again."""
        return self.batcher.alive and (self._pool is None or self._pool.alive)

    def hung(self) -> bool:
        """Whether a run or the decoding of an image takes far too long."""
        longest_s = max(STALLED_S, STALLED_RUNS * self.batcher.warm_run_s)
        decoding = self.batcher.longest_decode_s if self._pool is None else self._pool.longest_s
        return self.batcher.longest_run_s() > longest_s or decoding() > STALLED_DECODE_S

    def stalled(self) -> bool:
        """Whether a thread has ended or hangs."""
        return not self.alive() or self.hung()

    def healthy(self) -> bool:
        """Whether the engine makes progress: it is not stalled, and the last run succeeded.

        After a success this costs nothing; after a failure a real run has to succeed.
        """
        if self.stalled() or not self._placement.healthy():
            return False
        return not self.batcher.last_run_failed or self._runs()

    def _runs(self) -> bool:
        """Whether the model can embed a grey image."""
        size = self.card.image_size
        grey = np.full((size, size, 3), 128, np.uint8)
        job = Job(Request(), math.inf, pixels=grey)
        try:
            self._queue.admit([job])
            self._queue.put([job])
            job.future.result(STALLED_S)
        except (ServiceError, TimeoutError):
            return False
        return True

    def state(self) -> EngineState:
        """What the engine is doing now, for the metrics."""
        batcher, queue = self.batcher, self._queue
        return EngineState(
            queued=queue.depth,
            undecoded=max(0, queue.depth - queue.decoded),
            capacity=queue.capacity,
            streams=batcher.streams,
            busy=batcher.busy,
            longest_run_s=batcher.longest_run_s(),
        )

    def close(self) -> None:
        """Finish what was submitted and stop."""
        if self._pool is not None:
            self._pool.close()
        self.batcher.close()
        self._placement.close()


def unit_length(vector: Vector) -> Vector:
    """A vector divided by its L2 norm: float32 `[dim]`. Its bits depend on no other vector."""
    return vector / np.linalg.norm(vector)
