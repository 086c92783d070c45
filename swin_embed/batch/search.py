"""Nearest images of a collection, by LanceDB: an engine in this process, an index on disk."""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from service.types import Vector
from swin_embed.batch.collection import Collection

TABLE = "vectors"

STATE_KEY = "collection"
"""Key of the schema's metadata: the state of the collection that the index copies."""

INDEXED_FROM = 4096
"""For fewer vectors an exact search is as fast as an index."""

PROBES = 32
"""Partitions that an approximate search visits."""


@dataclass(frozen=True)
class Hit:
    """An image that was found, and its cosine to the query."""

    id: str
    path: str
    cosine: float


class Index:
    """A searchable copy of a collection's vectors, in a folder of its own.

    It holds unit vectors, so cosine is the product, and where there are many an IVF index of flat
    partitions: what it reads it compares exactly, so only an unread partition can cost recall.
    """

    def __init__(self, table: Any) -> None:  # noqa: ANN401 - lancedb has no types
        self._table = table

    @classmethod
    def of(cls, collection: Collection, folder: Path) -> "Index":
        """The index of a collection, built where it is missing or the collection has changed.

        Raises:
            OutputError: the collection holds nothing.
        """
        import lancedb
        from lancedb.index import IvfFlat

        recipe = collection.made()
        rows, state = _state(collection)
        database = lancedb.connect(folder)
        if TABLE in database.list_tables().tables:
            table = database.open_table(TABLE)
            if _state_in(table.schema) == state:
                return cls(table)
            database.drop_table(TABLE)
        schema = pa.schema(
            [
                ("id", pa.string()),
                ("path", pa.string()),
                ("vector", pa.list_(pa.float32(), recipe.card.embedding_dim)),
            ],
            metadata={STATE_KEY: state},
        )
        table = database.create_table(TABLE, schema=schema)
        # Not given to `create_table`, which would draw from it in LanceDB's own loop: a collection
        # that is a Lance table itself would wait there for that loop.
        for batch in _batches(collection, schema):
            table.add(pa.Table.from_batches([batch]))
        if rows >= INDEXED_FROM:
            # As many partitions as the root of the rows: the usual balance of both searches in it.
            partitions = round(rows**0.5)
            table.create_index(
                "vector", config=IvfFlat(distance_type="dot", num_partitions=partitions)
            )
        return cls(table)

    def nearest(self, vector: Vector, count: int, *, exact: bool) -> list[Hit]:
        """The images nearest to a vector `[dim]` of unit length, nearest first."""
        query = self._table.search(vector).distance_type("dot").limit(count)
        query = query.bypass_vector_index() if exact else query.nprobes(PROBES)
        rows = query.select(["id", "path", "_distance"]).to_list()
        # Lance's "dot" distance is one less the product.
        return [Hit(row["id"], row["path"], 1 - row["_distance"]) for row in rows]


def _batches(collection: Collection, schema: pa.Schema) -> Iterator[pa.RecordBatch]:
    for rows, vectors in collection.vectors():
        column = pa.FixedSizeListArray.from_arrays(
            pa.array(np.ascontiguousarray(vectors).reshape(-1)),  # [n * dim]
            type=schema.field("vector").type,
        )
        columns = [rows["id"].combine_chunks(), rows["path"].combine_chunks(), column]
        yield pa.RecordBatch.from_arrays(columns, schema=schema)


def _state(collection: Collection) -> tuple[int, str]:
    """The number of vectors in a collection, and a digest of them and of their model."""
    rows = 0
    digest = hashlib.sha256(collection.made().digest.encode())
    for table in collection.tables("id", "sha256", "embedding"):
        found = table.filter(table["embedding"].is_valid())
        rows += found.num_rows
        digest.update(repr(found.select(["id", "sha256"]).to_pylist()).encode())
    return rows, digest.hexdigest()


def _state_in(schema: pa.Schema) -> str:
    return str((schema.metadata or {}).get(STATE_KEY.encode(), b"").decode())
