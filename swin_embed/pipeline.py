"""Images through the service's engine in this process: reading, decoding and inference overlap, and
memory holds a window of the images."""

import math
import threading
from collections import deque
from collections.abc import Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Protocol, TypeVar

from service.engine.embedder import Embedder
from service.errors import ImageTooLarge, InvalidImage, ServiceError
from service.types import Embedding

READERS = 16
"""Threads that read, and so the requests to an object store at a time."""

WINDOW = 256
"""The most images in work: being read, decoded or embedded, or waiting for an earlier one."""

AT_ONCE = 32
"""Images that are waited for, and that are read in their place: to be woken for each of them costs
the streams more than the work itself."""

WINDOW_BYTES = 256 * 1024 * 1024
"""The most encoded bytes of images in work, as far as their sizes are known in advance."""


class Readable(Protocol):
    """An encoded image that is read later; `held` is what it takes in memory until then."""

    @property
    def held(self) -> int: ...

    def size(self) -> int:
        """Its size in bytes; 0 if that is not known before it is read."""
        ...

    def read(self) -> bytes:
        """The bytes of the image."""
        ...


R = TypeVar("R", bound=Readable)

Outcome = Embedding | Exception
"""The result for an image: an embedding, InvalidImage, ImageTooLarge, or a read error."""


def embed(images: Iterable[R], embedder: Embedder) -> Generator[tuple[R, Outcome]]:
    """Images with their embeddings, in order. An error of an image is its outcome.

    No more images are taken than the window holds. One that is embedded before the next one comes
    is not kept waiting for the window to fill.

    Raises:
        ServiceError: the engine failed.
    """
    room = _Room(WINDOW_BYTES)
    window: deque[tuple[R, Future[Future[Embedding]]]] = deque()
    readers = ThreadPoolExecutor(READERS, thread_name_prefix="read")
    full = min(WINDOW, embedder.batcher.queue.capacity)
    try:
        for image in images:
            window.append((image, readers.submit(_read, image, embedder, room)))
            while window and _done(window[0][1]):
                yield _outcome(*window.popleft())
            if len(window) == full or sum(image.held for image, _ in window) > WINDOW_BYTES:
                yield from _outcomes(window)
        while window:
            yield from _outcomes(window)
    finally:
        readers.shutdown(wait=False, cancel_futures=True)
        room.close()
        for _, reading in window:
            reading.add_done_callback(_abandon)


class _Room:
    """A limit on bytes in memory; an image larger than the limit is read alone."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._held = 0
        self._changed = threading.Condition()

    def take(self, size: int) -> None:
        with self._changed:
            self._changed.wait_for(lambda: not self._held or self._held + size <= self._size)
            self._held += size

    def give_back(self, size: int) -> None:
        with self._changed:
            self._held -= size
            self._changed.notify_all()

    def close(self) -> None:
        """End all waiting."""
        with self._changed:
            self._size = 2**63
            self._changed.notify_all()


def _read(image: Readable, embedder: Embedder, room: _Room) -> Future[Embedding]:
    size = image.size()
    room.take(size)
    try:
        (embedding,) = embedder.submit([image.read()], math.inf)
    except BaseException:
        room.give_back(size)
        raise

    def embedded(embedding: Future[Embedding]) -> None:
        room.give_back(size)
        if not embedding.cancelled() and (error := embedding.exception()) is not None:
            # The frames in it hold the file's bytes, until its row is written.
            error.__traceback__ = error.__cause__ = error.__context__ = None

    embedding.add_done_callback(embedded)
    return embedding


def _abandon(reading: Future[Future[Embedding]]) -> None:
    """Cancel the work for an image whose result is not needed."""
    if not reading.cancelled() and reading.exception() is None:
        reading.result().cancel()


def _done(reading: Future[Future[Embedding]]) -> bool:
    return reading.done() and (reading.exception() is not None or reading.result().done())


def _outcomes(window: deque[tuple[R, Future[Future[Embedding]]]]) -> list[tuple[R, Outcome]]:
    """The first images of the window; the last of them is waited for first."""
    first = [window.popleft() for _ in range(min(AT_ONCE, len(window)))]
    return [_outcome(*image) for image in reversed(first)][::-1]


def _outcome(image: R, reading: Future[Future[Embedding]]) -> tuple[R, Outcome]:
    try:
        embedding = reading.result()
    except ServiceError:
        raise
    except Exception as error:  # whatever its protocol raises
        return image, error
    try:
        return image, embedding.result()
    except (InvalidImage, ImageTooLarge) as error:
        return image, error
