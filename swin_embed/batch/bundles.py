"""The work of a job on the nodes of a Ray cluster: listing, reading, decoding, embedding.

Images travel in bundles, each a block of the dataset: a pickled list of items, then of rows with
their pixels, then of rows.
"""

import hashlib
import math
import pickle
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pyarrow as pa
import ray
from ray.data import Datasource, ReadTask
from ray.data.block import BlockMetadata

from model_export.model_card import ModelCard
from service.engine.embedder import Embedder, unit_length
from service.errors import ImageTooLarge, InvalidImage
from service.images import decoding
from service.images.preprocess import preprocess
from service.observability.observer import Observer
from service.settings import Settings
from service.types import Pixels
from swin_embed.batch import sources
from swin_embed.batch.collection import Collection
from swin_embed.batch.items import Item
from swin_embed.batch.ledger import Ledger
from swin_embed.batch.recipe import Row
from swin_embed.batch.sources import Source
from swin_embed.pipeline import READERS

BUNDLE = 32
"""Images of a bundle: a full batch of a GPU, and the work that a lost actor has to repeat."""

LISTINGS = 4
"""Tasks that list sources, each in its own process: a glob may name thousands of sources."""

BUNDLE_BYTES = 32 * 1024 * 1024
"""The most encoded bytes in a bundle, where they come with the listing."""

Prepared = list[tuple[Row, Pixels | None]]
"""Rows without vectors, each with its pixels, or none where it has an error."""


class Claims:
    """Records which listing has which image, so that each is embedded once, and what went wrong.

    A listing that is done again, because a node was lost, gets the same answers.
    """

    def __init__(self, collection: Collection) -> None:
        self._ledger = Ledger()
        self._skipped: dict[int, int] = {}
        self._broken: dict[str, None] = {}
        for table in collection.tables("id"):
            self._ledger.add_all(table["id"].to_pylist())

    def claim(self, first: int, names: Sequence[str]) -> list[bool]:
        """Which of the ids are new. The listed images are numbered from `first`."""
        new = [self._ledger.claim(name, first + n) for n, name in enumerate(names)]
        self._skipped[first] = new.count(False)
        return new

    def tell(self, broken: Sequence[str]) -> None:
        """Note sources that cannot be read to their end."""
        self._broken.update(dict.fromkeys(broken))

    def told(self) -> tuple[int, list[str]]:
        """Images left out, and sources that cannot be read to their end."""
        return sum(self._skipped.values()), list(self._broken)


class Listing(Datasource):  # type: ignore[misc]  # Ray's types are skipped
    """The images of sources in bundles, listed by a few tasks of Ray Data."""

    def __init__(self, found: Sequence[Source], claims: Any) -> None:  # noqa: ANN401 - an actor
        super().__init__()
        self._found = found
        self._claims = claims

    def estimate_inmemory_data_size(self) -> None:
        return None

    def get_read_tasks(self, *_: object, **__: object) -> list[ReadTask]:
        unknown = BlockMetadata(num_rows=None, size_bytes=None, exec_stats=None)
        shares = [self._found[n::LISTINGS] for n in range(min(LISTINGS, len(self._found)))]
        return [
            ReadTask(partial(_bundles, number, share, self._claims), unknown)
            for number, share in enumerate(shares, 1)
        ]


def _bundles(
    number: int,
    share: Sequence[Source],
    claims: Any,  # noqa: ANN401 - an actor
) -> Iterator[pa.Table]:
    """The images of some of the sources that no other task has, in bundles."""
    first = number << 40
    broken: list[str] = []
    for bundle in _bundled(sources.listing(share, broken)):
        new = ray.get(claims.claim.remote(first, [item.id for item in bundle]))
        first += len(bundle)
        kept = [item for item, is_new in zip(bundle, new, strict=True) if is_new]
        if kept:
            yield pa.table({"bundle": pa.array([pickle.dumps(kept)], pa.large_binary())})
    ray.get(claims.tell.remote(broken))


def _bundled(items: Iterable[Item]) -> Iterator[list[Item]]:
    bundle: list[Item] = []
    size = 0
    for item in items:
        bundle.append(item)
        size += len(item.data or b"")
        if len(bundle) == BUNDLE or size >= BUNDLE_BYTES:
            yield bundle
            bundle, size = [], 0
    if bundle:
        yield bundle


class Prepare:
    """Reads and decodes bundles."""

    def __init__(self, settings: Settings, card: ModelCard) -> None:
        decoding.configure(settings.max_image_pixels)
        self._exact = settings.preprocess == "exact"
        self._max_pixels = settings.max_image_pixels
        self._recipe = card.preprocessing
        self._readers = ThreadPoolExecutor(READERS)

    def __call__(self, block: dict[str, bytes]) -> dict[str, bytes]:
        bundle: list[Item] = pickle.loads(block["bundle"])  # noqa: S301 - from our own task
        prepared = [self._decode(row, data) for row, data in self._readers.map(_read, bundle)]
        return {"bundle": pickle.dumps(prepared, pickle.HIGHEST_PROTOCOL)}

    def _decode(self, row: Row, data: bytes | None) -> tuple[Row, Pixels | None]:
        if data is None:
            return row, None
        try:
            picture = preprocess(data, self._recipe, self._max_pixels, exact=self._exact)
        except (InvalidImage, ImageTooLarge) as error:
            return row.refused(error), None
        return replace(row, width=picture.width, height=picture.height), picture.pixels


def _read(item: Item) -> tuple[Row, bytes | None]:
    try:
        data = item.read()
    except Exception as error:  # whatever its protocol raises
        return Row.unreadable(item, error), None
    return Row(item.id, item.path, hashlib.sha256(data).hexdigest()), data


class Embed:
    """Runs the model on bundles, through the service's own engine."""

    def __init__(self, settings: Settings, artifact: Any, normalize: bool) -> None:  # noqa: ANN401
        self._normalize = normalize
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "model.onnx"
            path.write_bytes(ray.get(artifact))
            self._embedder = Embedder(settings.model_copy(update={"model": path}), Observer())

    def __call__(self, block: dict[str, bytes]) -> dict[str, bytes]:
        prepared: Prepared = pickle.loads(block["bundle"])  # noqa: S301 - from our own actors
        pixels = [image for _, image in prepared if image is not None]
        futures = iter(self._embedder.submit(pixels, math.inf))
        rows = []
        for row, image in prepared:
            if image is not None:
                vector = next(futures).result().vector
                row = replace(row, vector=unit_length(vector) if self._normalize else vector)
            rows.append(row)
        return {"bundle": pickle.dumps(rows, pickle.HIGHEST_PROTOCOL)}
