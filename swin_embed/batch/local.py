"""The service's engine in this process: reading, decoding and inference overlap, and memory holds a
window of the images."""

import hashlib
import math
import threading
from collections import deque
from collections.abc import Generator, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

from service.engine.embedder import Embedder, unit_length
from service.errors import ImageTooLarge, InvalidImage, ServiceError
from service.types import Embedding
from swin_embed.batch import sources
from swin_embed.batch.collection import Collection
from swin_embed.batch.items import Item
from swin_embed.batch.ledger import Ledger
from swin_embed.batch.recipe import Row
from swin_embed.batch.sources import Source

READERS = 16
"""Threads that read: as many requests to an object store are under way at once."""

WINDOW = 256
"""Images that are being read, decoded or embedded, or wait for one before them."""

AT_ONCE = 32
"""Rows that are waited for, and images that are read in their place: to be woken for each of them
costs the streams more than the work itself."""

WINDOW_BYTES = 256 * 1024 * 1024
"""Encoded bytes of those that are read, as far as their sizes are known before."""


class Local:
    """The service's engine, in this process. Rows come in the order of their images."""

    def __init__(self, embedder: Embedder) -> None:
        self.card = embedder.card
        self.digest = embedder.model.digest
        self.skipped = 0
        self.broken: list[str] = []
        self._embedder = embedder

    def rows(
        self, found: Sequence[Source], collection: Collection, *, normalize: bool
    ) -> Generator[Row]:
        """Rows of the images that the collection has none of.

        Raises:
            ServiceError: the engine failed.
        """
        done = (table["id"].to_pylist() for table in collection.tables("id"))
        pending = Pending(sources.listing(found, self.broken), done)
        yield from embed(pending, self._embedder, normalize=normalize)
        self.skipped = pending.skipped


class Pending:
    """The items that have no row yet, each once; counts those that it leaves out."""

    def __init__(self, items: Iterable[Item], done: Iterable[Iterable[str]]) -> None:
        self._items = items
        self._ledger = Ledger()
        self.skipped = 0
        for ids in done:
            self._ledger.add_all(ids)

    def __iter__(self) -> Iterator[Item]:
        for item in self._items:
            if self._ledger.add(item.id):
                yield item
            else:
                self.skipped += 1


def embed(items: Iterable[Item], embedder: Embedder, *, normalize: bool) -> Generator[Row]:
    """Rows of items, in their order. An image's own fault is in its row.

    Raises:
        ServiceError: the engine failed.
    """
    room = _Room(WINDOW_BYTES)
    window: deque[tuple[Item, Future[_Read]]] = deque()
    readers = ThreadPoolExecutor(READERS, thread_name_prefix="read")
    full = min(WINDOW, embedder.batcher.queue.capacity)
    try:
        for item in items:
            window.append((item, readers.submit(_read, item, embedder, room)))
            if len(window) == full:
                yield from _rows(window, normalize)
        while window:
            yield from _rows(window, normalize)
    finally:
        readers.shutdown(wait=False, cancel_futures=True)
        room.close()
        for _, reading in window:
            reading.add_done_callback(_abandon)


@dataclass(frozen=True, slots=True)
class _Read:
    """An image that was read, on its way through the engine."""

    sha256: str
    embedding: Future[Embedding]


class _Room:
    """Bytes that may be held at once; an image larger than all of it waits to be alone."""

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
        """Let everybody in who waits."""
        with self._changed:
            self._size = 2**63
            self._changed.notify_all()


def _read(item: Item, embedder: Embedder, room: _Room) -> _Read:
    size = item.size()
    room.take(size)
    try:
        data = item.read()
        digest = hashlib.sha256(data).hexdigest()
        (embedding,) = embedder.submit([data], math.inf)
    except BaseException:
        room.give_back(size)
        raise

    def embedded(embedding: Future[Embedding]) -> None:
        room.give_back(size)
        if not embedding.cancelled() and (error := embedding.exception()) is not None:
            # The frames in it hold the file's bytes, until its row is written.
            error.__traceback__ = error.__cause__ = error.__context__ = None

    embedding.add_done_callback(embedded)
    return _Read(digest, embedding)


def _abandon(reading: Future[_Read]) -> None:
    """Drop the work for an image that nobody waits for any more."""
    if not reading.cancelled() and reading.exception() is None:
        reading.result().embedding.cancel()


def _rows(window: deque[tuple[Item, Future[_Read]]], normalize: bool) -> list[Row]:
    """The first rows of the window; the last of them is waited for first."""
    first = [window.popleft() for _ in range(min(AT_ONCE, len(window)))]
    return [_row(*image, normalize) for image in reversed(first)][::-1]


def _row(item: Item, reading: Future[_Read], normalize: bool) -> Row:
    try:
        read = reading.result()
    except ServiceError:
        raise
    except Exception as error:  # whatever its protocol raises
        return Row.unreadable(item, error)
    try:
        embedding = read.embedding.result()
    except (InvalidImage, ImageTooLarge) as error:
        return Row(item.id, item.path, read.sha256).refused(error)
    vector = unit_length(embedding.vector) if normalize else embedding.vector
    size = (embedding.width, embedding.height)
    return Row(item.id, item.path, read.sha256, *size, vector)
