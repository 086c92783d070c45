"""Rows of a collection from the service's engine in this process."""

import hashlib
from collections.abc import Generator, Iterable, Iterator, Sequence
from contextlib import closing

from service.engine.embedder import Embedder, unit_length
from service.errors import ImageTooLarge, InvalidImage
from service.types import Embedding
from swin_embed import pipeline
from swin_embed.batch import sources
from swin_embed.batch.collection import Collection
from swin_embed.batch.items import Item
from swin_embed.batch.ledger import Ledger
from swin_embed.batch.recipe import Row
from swin_embed.batch.sources import Source


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
        """Rows of the images that are not in the collection yet.

        Raises:
            ServiceError: the engine failed.
        """
        done = (table["id"].to_pylist() for table in collection.tables("id"))
        pending = Pending(sources.listing(found, self.broken), done)
        yield from embed(pending, self._embedder, normalize=normalize)
        self.skipped = pending.skipped


class Pending:
    """The items that have no row yet, each once; counts the others."""

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
    """Rows of items, in their order. An error of an image is in its row.

    Raises:
        ServiceError: the engine failed.
    """
    with closing(pipeline.embed(map(_Hashed, items), embedder)) as embedded:
        for image, outcome in embedded:
            item = image.item
            match outcome:
                case Embedding():
                    vector = unit_length(outcome.vector) if normalize else outcome.vector
                    size = (outcome.width, outcome.height)
                    yield Row(item.id, item.path, image.sha256, *size, vector)
                case InvalidImage() | ImageTooLarge():
                    yield Row(item.id, item.path, image.sha256).refused(outcome)
                case _:
                    yield Row.unreadable(item, outcome)


class _Hashed:
    """An item, and the digest of its bytes once they are read."""

    def __init__(self, item: Item) -> None:
        self.item = item
        self.held = len(item.data or b"")
        self.sha256: str | None = None
        self._size: int | None = None

    def size(self) -> int:
        self._size = self.item.size()
        return self._size

    def read(self) -> bytes:
        data = self.item.read(self._size)
        self.sha256 = hashlib.sha256(data).hexdigest()
        return data
