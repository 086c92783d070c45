"""A job on this machine: images in, parts of a collection out; reading, decoding and inference
overlap, and memory holds a window of the images and one part of the rows."""

import hashlib
import math
import threading
from collections import deque
from collections.abc import Generator, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice

from service.batch.collection import Collection, Format
from service.batch.errors import SourceError, reason
from service.batch.items import Item
from service.batch.ledger import Ledger
from service.batch.recipe import Recipe, Row
from service.batcher import Embedding
from service.embedder import Embedder, unit_length
from service.errors import ImageTooLarge, InvalidImage, ServiceError

READERS = 16
"""Threads that read: as many requests to an object store are under way at once."""

WINDOW = 256
"""Images that are being read, decoded or embedded, or wait for one before them."""

WINDOW_BYTES = 256 * 1024 * 1024
"""Encoded bytes of those that are read."""

UNREADABLE_IN_A_ROW = 100
"""As many files that cannot be read, one after the other, are a source that has gone."""


@dataclass(frozen=True)
class Outcome:
    """What became of a part of a job: rows written, and how many of those hold an error."""

    rows: int
    failed: int


def write(
    rows: Iterator[Row], collection: Collection, recipe: Recipe, form: Format, part_rows: int
) -> Iterator[Outcome]:
    """Write rows, a part at a time; yields what was written, after it was.

    The next part fills while one is written.
    """
    number = collection.next_number()

    def put(number: int, part: list[Row]) -> Outcome:
        collection.write(number, recipe.table(part), form)
        return Outcome(len(part), sum(row.error is not None for row in part))

    with ThreadPoolExecutor(1, thread_name_prefix="write") as writer:
        writing: Future[Outcome] | None = None
        while part := list(islice(rows, part_rows)):
            if writing is not None:
                yield writing.result()
            writing = writer.submit(put, number, part)
            number += 1
        if writing is not None:
            yield writing.result()


def embed(items: Iterable[Item], embedder: Embedder, *, normalize: bool) -> Generator[Row]:
    """Rows of items, in their order. An image's own fault is in its row.

    Raises:
        SourceError: nothing can be read any more.
        ServiceError: the engine failed.
    """
    room = _Room(WINDOW_BYTES)
    window: deque[tuple[Item, Future[_Read]]] = deque()
    unreadable = 0

    def next_row() -> Row:
        nonlocal unreadable
        row, was_read = _row(*window.popleft(), normalize)
        unreadable = 0 if was_read else unreadable + 1
        if unreadable == UNREADABLE_IN_A_ROW:
            raise SourceError(
                f"{unreadable} images in a row could not be read, last {row.path}: {row.error}"
            )
        return row

    readers = ThreadPoolExecutor(READERS, thread_name_prefix="read")
    try:
        for item in items:
            window.append((item, readers.submit(_read, item, embedder, room)))
            if len(window) == min(WINDOW, embedder.batcher.capacity):
                yield next_row()
        while window:
            yield next_row()
    finally:
        readers.shutdown(wait=False, cancel_futures=True)
        room.close()


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
    data = item.read()
    digest = hashlib.sha256(data).hexdigest()
    size = len(data)
    room.take(size)
    (embedding,) = embedder.submit([data], math.inf)
    embedding.add_done_callback(lambda _: room.give_back(size))
    return _Read(digest, embedding)


def _row(item: Item, reading: Future[_Read], normalize: bool) -> tuple[Row, bool]:
    """An item's row, and whether it could be read."""
    try:
        read = reading.result()
    except ServiceError:
        raise
    except Exception as error:  # whatever its protocol raises
        return Row(item.id, item.path, error=f"unreadable: {reason(error)}"), False
    try:
        embedding = read.embedding.result()
    except (InvalidImage, ImageTooLarge) as error:
        return Row(item.id, item.path, read.sha256, error=f"{error.code}: {error.message}"), True
    vector = unit_length(embedding.vector) if normalize else embedding.vector
    size = (embedding.width, embedding.height)
    return Row(item.id, item.path, read.sha256, *size, vector), True


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
