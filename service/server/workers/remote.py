"""A model that another process runs: lanes to it, over shared memory."""

import os
import queue
import socket
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from model_export.model_card import ModelCard
from service.engine.placement import Placement
from service.engine.stream import Lane
from service.errors import EngineError, NotReady
from service.server.workers.intake import COUNT, Offer
from service.server.workers.shared_pixels import SharedPixels
from service.settings import Settings
from service.types import Pixels, Vectors


@dataclass(frozen=True)
class RemoteModel:
    """The model as answers and metrics describe it."""

    card: ModelCard
    digest: str
    provider: str


class RemoteLane:
    """A lane to the engine for one thread: memory for a batch, and a socket that announces it."""

    def __init__(self, channel: socket.socket, shared: SharedPixels, lane: int) -> None:
        self._channel = channel
        self._pixels = shared.pixels[lane]  # [images, side, side, 3]
        self._vectors = shared.vectors[lane]  # [images, dim]

    def run(self, images: Sequence[Pixels]) -> Vectors:
        """Have the engine embed images, each uint8 `[side, side, 3]`; float32 `[n, dim]`.

        The row of an image that the engine failed on is not finite.

        Raises:
            SystemExit: the engine has hung up, which ends the thread; that ends the process.
        """
        count = len(images)
        np.stack(images, out=self._pixels[:count])
        try:
            self._channel.send(COUNT.pack(count))
            answered = self._channel.recv(1)
        except OSError:
            answered = b""
        if not answered:
            raise SystemExit(1)
        vectors: Vectors = self._vectors[:count].copy()
        return vectors

    def close(self) -> None:
        """Give the lane back."""
        self._channel.close()


def attach(offer: Offer, descriptors: Sequence[int]) -> Placement:
    """Lanes to the engine that made an offer; the first is tried before any is used.

    Args:
        offer: what it said.
        descriptors: the open files that came with it.
    """
    shared = SharedPixels(offer.layout, descriptors[0])
    os.close(descriptors[0])
    ways = [
        RemoteLane(socket.socket(fileno=descriptor), shared, lane)
        for lane, descriptor in enumerate(descriptors[1:])
    ]

    def prepare() -> float:
        grey = np.full(offer.layout.pixels[2:], 128, np.uint8)
        if not np.isfinite(ways[0].run([grey])).all():
            raise EngineError("the engine failed on a worker's first image")
        return offer.warm_run_s

    def close() -> None:
        for way in ways:
            way.close()

    first, *others = (way.run for way in ways)
    return Placement(
        RemoteModel(offer.card, offer.digest, offer.provider),
        [Lane(first, prepare=prepare), *map(Lane, others)],
        offer.layout.images,
        offer.decode_threads,
        healthy=shared.healthy,
        close=close,
    )


class Offers:
    """A queue of offers; after `end` nothing waits for more."""

    def __init__(self) -> None:
        self._waiting: queue.SimpleQueue[tuple[Offer, Sequence[int]] | None] = queue.SimpleQueue()

    def put(self, offer: Offer, descriptors: Sequence[int]) -> None:
        """Have an offer taken up by the next `load`."""
        self._waiting.put((offer, descriptors))

    def end(self) -> None:
        """Make `load` fail instead of waiting for an offer."""
        self._waiting.put(None)

    def load(self, settings: Settings) -> Placement:
        """Take up the next offer; the settings of the model are the engine's.

        Raises:
            NotReady: there is none.
        """
        offered = self._waiting.get()
        if offered is None:
            raise NotReady("the service is stopping")
        return attach(*offered)
