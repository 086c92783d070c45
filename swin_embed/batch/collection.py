"""A collection on disk: numbered files of vectors, each with the model that made them."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal, Self

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from swin_embed.batch.errors import OutputError, reason
from swin_embed.batch.folder import Folder
from swin_embed.batch.recipe import Recipe, difference

Format = Literal["parquet", "npy", "lance"]

LANCE_TABLE = "embeddings"

PART, ERRORS = "part-", "_errors-"
"""Prefixes of files with vectors and with errors. Dataset readers skip names with an underscore."""


@dataclass(frozen=True)
class Collection:
    """A folder of parts. Each is a Parquet file, one without vectors beside a NumPy file `[n, dim]`
    of them, or a version of a Lance table; whatever the folder holds is read.

    Images without a vector have rows in Parquet files of their own: DuckDB, LanceDB and pgvector
    have no use for a null among vectors.
    """

    folder: Folder

    @classmethod
    def at(cls, url: str) -> Self:
        return cls(Folder.at(url))

    def recipe(self) -> Recipe | None:
        """The recipe of its vectors; None while it is empty.

        Raises:
            OutputError: its parts were made by different models or in different ways, or one is
                damaged or not its own.
        """
        recipe: Recipe | None = None
        for part in self._recipes():
            if recipe is not None and part != recipe:
                raise OutputError(
                    f"{self.folder.url} holds vectors of {difference(recipe, part)}, which "
                    "cannot be compared"
                )
            recipe = part
        return recipe

    def made(self) -> Recipe:
        """The recipe of its vectors.

        Raises:
            OutputError: it holds nothing, or what different models made.
        """
        recipe = self.recipe()
        if recipe is None:
            raise OutputError(f"{self.folder.url} holds no vectors")
        return recipe

    def admit(self, recipe: Recipe) -> None:
        """Raises OutputError if its vectors have another recipe."""
        found = self.recipe()
        if found is not None and found != recipe:
            raise OutputError(
                f"{self.folder.url} holds vectors of {difference(found, recipe)}, which cannot be "
                "compared: give another --output"
            )

    def tables(self, *columns: str) -> Iterator[pa.Table]:
        """Its rows, part by part; `embedding` has float32 or float16, null where there is none."""
        for name in self._parts():
            with self.folder.open(name) as file:
                schema = pq.read_schema(file)
                file.seek(0)
                there = [column for column in columns if column in schema.names]
                table = pq.read_table(file, columns=there, partitioning=None)
            if "embedding" in columns and "embedding" not in there:
                recipe = Recipe.of(schema)
                beside = (
                    pa.nulls(table.num_rows, recipe.schema.field("embedding").type)
                    if name.startswith(ERRORS)
                    else self._beside(name, recipe)
                )
                table = table.append_column("embedding", beside)
            yield table.select(list(columns))
        if self._has_lance():
            for batch in self._lance().search().select(list(columns)).to_batches(4096):
                yield pa.Table.from_batches([batch])

    def vectors(self, *more: str) -> Iterator[tuple[pa.Table, npt.NDArray[np.float32]]]:
        """Of the rows that have one, part by part: `id`, `path`, `sha256` and `more` columns, and
        the vectors at unit length, float32 `[n, dim]`."""
        for table in self.tables("id", "path", "sha256", *more, "embedding"):
            table = table.filter(table["embedding"].is_valid()).combine_chunks()
            if not table.num_rows:
                continue
            column = table["embedding"].combine_chunks()
            flat = column.flatten().to_numpy(zero_copy_only=False)  # [n * dim]
            vectors = flat.reshape(table.num_rows, -1).astype(np.float32)  # [n, dim]
            norms = np.linalg.norm(vectors, axis=1, keepdims=True)  # [n, 1]
            vectors /= np.maximum(norms, np.finfo(np.float32).tiny)
            yield table.drop_columns(["embedding"]), vectors

    def next_number(self) -> int:
        """One more than the last part's number."""
        numbers = (name.rpartition("-")[2].partition(".")[0] for name in self._parts())
        return max(map(int, numbers), default=-1) + 1

    def write(self, number: int, table: pa.Table, form: Format) -> None:
        """Write a part, whole or not at all; one of the same number is replaced.

        Its errors come first: of a job that ends between the two, what has a vector is done again.
        """
        failed = table["error"].is_valid()
        if pc.any(failed).as_py():
            errors = table.filter(failed).drop_columns(["embedding"])
            self.folder.put(f"{ERRORS}{number:06d}.parquet", _parquet(errors))
            table = table.filter(pc.invert(failed)).combine_chunks()
        if not table.num_rows:
            return
        match form:
            case "parquet":
                self.folder.put(f"{PART}{number:06d}.parquet", _parquet(table))
            case "npy":
                # The rows come last: they are what tells that the part is there.
                self.folder.put(f"{PART}{number:06d}.npy", _npy(table))
                self.folder.put(
                    f"{PART}{number:06d}.parquet", _parquet(table.drop_columns(["embedding"]))
                )
            case "lance":
                database = _lancedb(self.folder.url)
                if self._has_lance():
                    database.open_table(LANCE_TABLE).add(table)
                else:
                    database.create_table(LANCE_TABLE, table)

    def _parts(self) -> list[str]:
        return [
            name
            for name in self.folder.names()
            if name.startswith((PART, ERRORS)) and name.endswith(".parquet")
        ]

    def _recipes(self) -> Iterator[Recipe]:
        for name in self._parts():
            try:
                with self.folder.open(name) as file:
                    recipe = Recipe.of(pq.read_schema(file))
            except (OutputError, ValueError) as error:
                raise OutputError(
                    f"{self.folder.url}/{name} cannot be used: {reason(error)}; move it elsewhere "
                    "(the same command embeds its images again)"
                ) from error
            yield recipe
        if self._has_lance():
            yield Recipe.of(self._lance().schema)

    def _has_lance(self) -> bool:
        return f"{LANCE_TABLE}.lance" in self.folder.names()

    def _lance(self) -> Any:  # noqa: ANN401 - lancedb has no types
        return _lancedb(self.folder.url).open_table(LANCE_TABLE)

    def _beside(self, name: str, recipe: Recipe) -> pa.Array:
        with self.folder.open(name.replace(".parquet", ".npy")) as file:
            vectors = np.lib.format.read_array(file, allow_pickle=False)  # [n, dim]
        return pa.FixedSizeListArray.from_arrays(
            pa.array(vectors.reshape(-1)),
            type=recipe.schema.field("embedding").type,
            mask=pa.array(np.isnan(vectors).any(axis=1)),
        )


def _lancedb(path: str) -> Any:  # noqa: ANN401 - lancedb has no types
    import lancedb

    return lancedb.connect(path)


def _parquet(table: pa.Table) -> memoryview:
    """A Parquet file; text is compressed, vectors are not: they do not get smaller."""
    sink = pa.BufferOutputStream()
    codecs = {name: "none" if name == "embedding" else "zstd" for name in table.schema.names}
    codecs["embedding.list.element"] = "none"
    pq.write_table(table, sink, compression=codecs, use_dictionary=False)
    return memoryview(sink.getvalue())


def _npy(table: pa.Table) -> memoryview:
    """A NumPy file `[n, dim]` of a table's vectors; NaN where there is none."""
    column = table["embedding"].combine_chunks()
    dim = column.type.list_size
    vectors = column.values.to_numpy(zero_copy_only=False).reshape(-1, dim).copy()  # [n, dim]
    vectors[column.is_null().to_numpy(zero_copy_only=False)] = np.nan
    sink = pa.BufferOutputStream()
    np.lib.format.write_array(sink, vectors, version=(1, 0), allow_pickle=False)
    return memoryview(sink.getvalue())
