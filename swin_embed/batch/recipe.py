"""The rows of a collection, and the recipe of their vectors."""

import json
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Literal, Self

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from model_export.model_card import METADATA_KEY, ModelCard
from service.errors import ImageTooLarge, InvalidImage
from service.types import Vector
from swin_embed.batch.errors import OutputError, is_definite, reason
from swin_embed.batch.items import Item

MADE_KEY = "swin_vectors"
"""Key of the schema's metadata that stands beside the model card's."""

Dtype = Literal["float32", "float16"]

NAMES = ("id", "path", "sha256", "width", "height", "error")
"""The columns beside the embedding."""


@dataclass(frozen=True, slots=True)
class Row:
    """The result for an image: a vector, float32 `[dim]`, or an error.

    An image without `sha256` could not be read; `gone` says that its source did not answer.
    """

    id: str
    path: str
    sha256: str | None = None
    width: int | None = None
    height: int | None = None
    vector: Vector | None = None
    error: str | None = None
    gone: bool = False

    @classmethod
    def unreadable(cls, item: Item, error: Exception) -> Self:
        """The row of an item that cannot be read."""
        gone = not is_definite(error)
        return cls(item.id, item.path, error=f"unreadable: {reason(error)}", gone=gone)

    def refused(self, error: InvalidImage | ImageTooLarge) -> Self:
        """The row of an image that the engine refused."""
        return replace(self, error=f"{error.code}: {error.message}")


@dataclass(frozen=True)
class Recipe:
    """How the vectors of a collection were made; vectors of two recipes do not mix.

    Attributes:
        card: the model's card.
        digest: sha256 of the model's file.
        dtype: type of the numbers.
        normalized: whether vectors have unit length.
    """

    card: ModelCard
    digest: str
    dtype: Dtype = "float32"
    normalized: bool = True

    @property
    def schema(self) -> pa.Schema:
        """The columns of a collection, with the recipe in the metadata."""
        number = pa.float32() if self.dtype == "float32" else pa.float16()
        made = {"digest": self.digest, "dtype": self.dtype, "normalized": self.normalized}
        return pa.schema(
            [
                ("id", pa.string()),
                ("path", pa.string()),
                ("sha256", pa.string()),
                ("width", pa.int32()),
                ("height", pa.int32()),
                ("embedding", pa.list_(number, self.card.embedding_dim)),
                ("error", pa.string()),
            ],
            metadata={METADATA_KEY: self.card.model_dump_json(), MADE_KEY: json.dumps(made)},
        )

    @classmethod
    def of(cls, schema: pa.Schema) -> Self:
        """The recipe in a schema's metadata.

        Raises:
            OutputError: there is none.
        """
        metadata = schema.metadata or {}
        if METADATA_KEY.encode() not in metadata or MADE_KEY.encode() not in metadata:
            raise OutputError("this was not written by swin-embed: no model card in its schema")
        card = ModelCard.model_validate_json(metadata[METADATA_KEY.encode()])
        return cls(card, **json.loads(metadata[MADE_KEY.encode()]))

    def table(self, rows: Iterable[Row], most: int) -> pa.Table:
        """At most `most` rows as a table; the embedding of a row with an error is null.

        A row's vector goes to its place in the table when the row comes. Kept until the last one
        is there, vectors of a kilobyte would lie among images that come and go, and keep the heap
        from shrinking.
        """
        schema = self.schema
        vectors = np.zeros((most, self.card.embedding_dim), self.dtype)  # [most, dim]
        columns: dict[str, list[object]] = {name: [] for name in NAMES}
        there: list[bool] = []
        for vector, row in zip(vectors, rows, strict=False):
            if row.vector is not None:
                vector[:] = row.vector
            there.append(row.vector is not None)
            for name, column in columns.items():
                column.append(getattr(row, name))
        arrays = {name: pa.array(columns[name], schema.field(name).type) for name in NAMES}
        arrays["embedding"] = _lists(
            schema.field("embedding").type, vectors[: len(there)], np.array(there, np.bool_)
        )
        return pa.table([arrays[name] for name in schema.names], schema=schema)


def _lists(
    kind: pa.FixedSizeListType, vectors: npt.NDArray[np.floating], there: npt.NDArray[np.bool_]
) -> pa.FixedSizeListArray:
    """Vectors `[n, dim]` as a column, null where they are not `there` `[n]`.

    From its buffers: pyarrow's own way from NumPy imports parts of both packages that nothing else
    here uses, 17 MB of them.
    """
    values = pa.Array.from_buffers(kind.value_type, vectors.size, [None, pa.py_buffer(vectors)])
    validity = pa.py_buffer(np.packbits(there, bitorder="little"))
    return pa.Array.from_buffers(kind, len(vectors), [validity], children=[values])


def difference(one: Recipe, other: Recipe) -> str:
    """Two recipes in words, with the differences."""
    if one.digest != other.digest:
        return (
            f"{one.card.name} in {one.card.precision} ({one.digest[:12]}), not of "
            f"{other.card.name} in {other.card.precision} ({other.digest[:12]})"
        )
    here, there = (recipe.card.preprocessing.color_profiles for recipe in (one, other))
    if here != there:
        return f"colour profiles {here} (SWIN_COLOR_PROFILES), not {there}"
    return (
        f"{one.dtype}, normalized {one.normalized}, not {other.dtype}, normalized "
        f"{other.normalized}"
    )
