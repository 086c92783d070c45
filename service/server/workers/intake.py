"""The engine's side of the workers: takes pixels from shared memory and puts vectors back."""

import contextlib
import logging
import math
import selectors
import socket
import struct
import threading
from concurrent.futures import Future
from dataclasses import dataclass
from functools import partial

from model_export.model_card import ModelCard
from service.engine.embedder import Embedder
from service.engine.job import Job, Request
from service.engine.resources import WorkerPlan
from service.errors import ServiceError
from service.server.workers.shared_pixels import Layout, SharedPixels
from service.types import Embedding

COUNT = struct.Struct("I")
"""A worker's message on a lane: the number of images in it."""

DONE = b"\1"
"""The reply: the vectors are there. Those of images that failed are not finite."""

BEAT_S = 0.5
"""Between two heartbeats to the workers."""

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Offer:
    """The description of an engine that a worker process gets, along with open files.

    Attributes:
        card: the model's.
        digest: of its file.
        provider: what runs it.
        layout: of the memory, whose descriptor comes first, a socket for each lane after it.
        decode_threads: of the worker; with 0 its lanes' threads decode.
        warm_run_s: seconds from handing in a batch to its vectors, if all lanes are full.
    """

    card: ModelCard
    digest: str
    provider: str
    layout: Layout
    decode_threads: int
    warm_run_s: float


class IntakeLane:
    """The engine's end of a lane: takes a batch at a time, and answers when it is embedded."""

    def __init__(self, channel: socket.socket, shared: SharedPixels, lane: int) -> None:
        self.channel = channel
        self.pixels = shared.pixels[lane]  # [images, side, side, 3]
        self._vectors = shared.vectors[lane]  # [images, dim]
        self._pending = 0  # images of the batch that have no vector yet
        self._lock = threading.Lock()

    def expect(self, count: int) -> None:
        """Note how many images were handed in."""
        self._pending = count

    def give(self, row: int, future: Future[Embedding]) -> None:
        """Put an image's vector where the worker finds it, and tell it once all are there."""
        failed = future.exception() is not None
        self._vectors[row] = math.nan if failed else future.result().vector
        with self._lock:
            self._pending -= 1
            left = self._pending
        if not left:
            with contextlib.suppress(OSError):  # the worker is gone
                self.channel.send(DONE)


class Intake:
    """Feeds an embedder with what the workers hand in; `close` ends its threads.

    All workers' images are in one queue, oldest first: requests have taken turns in the workers.
    A worker's shared memory is freed when its process has closed the lanes and its last image is
    done.
    """

    def __init__(self, embedder: Embedder) -> None:
        self.embedder = embedder
        self._memories: dict[SharedPixels, int] = {}  # and how many of its lanes are open
        self._in_order = Request()
        self._selector = selectors.DefaultSelector()
        self._ended = threading.Event()
        self._waker, self._wakes = socket.socketpair()
        self._selector.register(self._wakes, selectors.EVENT_READ)
        self._taking = threading.Thread(target=self._take_all, name="intake", daemon=True)
        self._beating = threading.Thread(target=self._beat, name="intake-beat", daemon=True)
        for thread in (self._taking, self._beating):
            thread.start()

    def offer(self, plan: WorkerPlan, workers: int) -> tuple[Offer, list[int]]:
        """Open lanes for a worker process: an offer for it, and files to hand over and then close.

        Args:
            plan: how it is laid out.
            workers: how many of them there are.
        """
        lanes = plan.lanes
        model, batcher = self.embedder.model, self.embedder.batcher
        card = model.card
        layout = Layout(lanes, self.embedder.max_batch_size, card.image_size, card.embedding_dim)
        shared = SharedPixels.create(layout)
        shared.beat(healthy=self.embedder.healthy())
        descriptors = [shared.descriptor]
        self._memories[shared] = lanes
        for lane in range(lanes):
            ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
            descriptors.append(theirs.detach())
            lane_end = IntakeLane(ours, shared, lane)
            self._selector.register(ours, selectors.EVENT_READ, (lane_end, shared))
        warm_run_s = batcher.warm_run_s * math.ceil(workers * lanes / batcher.streams)
        offer = Offer(card, model.digest, model.provider, layout, plan.decode_threads, warm_run_s)
        return offer, descriptors

    def close(self) -> None:
        """Take nothing more; the embedder lives on."""
        self._ended.set()
        self._waker.send(DONE)
        for thread in (self._taking, self._beating):
            thread.join()
        for key in tuple(self._selector.get_map().values()):
            key.fileobj.close()  # type: ignore[union-attr]
        self._selector.close()
        self._waker.close()

    def _take_all(self) -> None:
        while not self._ended.is_set():
            for key, _ in self._selector.select():
                if key.data is not None:
                    self._take(*key.data)

    def _take(self, lane_end: IntakeLane, shared: SharedPixels) -> None:
        """Queue the images that wait in a lane; forget a lane that was closed."""
        try:
            message = lane_end.channel.recv(COUNT.size)
        except OSError:
            message = b""
        if not message:
            self._selector.unregister(lane_end.channel)
            lane_end.channel.close()
            self._memories[shared] -= 1
            if not self._memories[shared]:
                del self._memories[shared]
            return
        (count,) = COUNT.unpack(message)
        lane_end.expect(count)
        queue = self.embedder.batcher.queue
        jobs = [Job(self._in_order, math.inf, pixels=pixels) for pixels in lane_end.pixels[:count]]
        try:
            queue.admit(jobs)
        except ServiceError as error:
            logger.warning("a batch was refused: %s", error)
            for job in jobs:
                job.future.set_exception(error)
        else:
            queue.put(jobs)
        for row, job in enumerate(jobs):
            job.future.add_done_callback(partial(lane_end.give, row))

    def _beat(self) -> None:
        """Tell all workers at intervals whether the engine makes progress."""
        while not self._ended.wait(BEAT_S):
            healthy = self.embedder.healthy() and self._taking.is_alive()
            for shared in tuple(self._memories):
                shared.beat(healthy=healthy)
