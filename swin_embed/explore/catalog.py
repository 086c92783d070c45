"""The images of a collection as the page shows them: one table, and vectors mapped from a file."""

import hashlib
import json
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from service.types import Vector
from swin_embed.batch.collection import Collection
from swin_embed.batch.facts import Picture, picture, pictures

Vectors = npt.NDArray[np.float32]

BLOCK = 4096
NEAREST = 400
"""Images that a search gives at most."""

COLUMNS = ("id", "path", "sha256", "width", "height")


@dataclass(frozen=True)
class Catalog:
    """A collection's images, numbered: first those with a vector, in the order of `vectors`, then
    those with an error. What is in it is copied once, so that it opens at once.

    Attributes:
        rows: `COLUMNS` of each image.
        vectors: float32 `[n, dim]` of unit length, mapped from a file.
        folder: where what is computed is kept.
    """

    rows: pa.Table
    vectors: Vectors
    folder: Path

    @classmethod
    def of(cls, collection: Collection, cache: Path) -> "Catalog":
        """The catalogue of a collection; it is copied once into a folder of its cache.

        Raises:
            OutputError: it holds nothing, or what different models made.
        """
        recipe = collection.made()
        folder = cache / _fingerprint(collection)
        folder.mkdir(parents=True, exist_ok=True)
        if not (folder / "table.json").exists():
            for old in cache.glob("[0-9a-f]" * 24):  # of what the collection was before
                if old != folder:
                    shutil.rmtree(old, ignore_errors=True)
            _copy(collection, recipe.card.name, folder)
        dim, copied = recipe.card.embedding_dim, folder / "vectors"
        count = copied.stat().st_size // (4 * dim)
        vectors = (
            np.memmap(copied, np.float32, "r").reshape(count, dim)
            if count
            else np.empty((0, dim), np.float32)
        )
        rows = pq.read_table(folder / "rows.parquet", memory_map=True).combine_chunks()
        return cls(rows, vectors, folder)

    @property
    def count(self) -> int:
        """How many images, with those that have an error."""
        return int(self.rows.num_rows)

    def picture(self, number: int) -> Picture:
        """An image, as its file is now."""
        return picture(**self.rows.slice(number, 1).to_pylist()[0])

    def numbers(self) -> dict[str, int]:
        """The number of each image by its id."""
        return {name: number for number, name in enumerate(self.rows["id"].to_pylist())}

    def table(self) -> bytes:
        """What the collection tells of every image, as JSON, a list a column."""
        return (self.folder / "table.json").read_bytes()

    def files(self) -> dict[str, list[Any]]:
        """What the files of the images tell now. Of 100,000 that takes a second or two, in which
        the page is used already."""
        found = pictures(self.rows.to_pylist())
        return {
            "bytes": [it.size for it in found],
            "changed": [it.changed and round(it.changed) for it in found],
            "missing": [number for number, it in enumerate(found) if it.missing],
        }

    def nearest(self, vector: Vector, count: int = NEAREST) -> list[tuple[int, float]]:
        """The images most like a vector `[dim]` of unit length, and their cosines, best first."""
        count = min(count, len(self.vectors))
        if not count:
            return []
        cosines = np.concatenate(
            [self.vectors[i : i + BLOCK] @ vector for i in range(0, len(self.vectors), BLOCK)]
        )
        best = np.argpartition(-cosines, count - 1)[:count]
        best = best[np.argsort(-cosines[best], kind="stable")]
        return [(int(n), float(cosines[n])) for n in best]


def _fingerprint(collection: Collection) -> str:
    """Another name whenever the collection may be another: of its parts' names, sizes and dates."""
    fs, path = collection.folder.fs, collection.folder.path
    parts = sorted(
        (str(part["name"]), part["size"], str(part.get("mtime", part.get("LastModified"))))
        for part in fs.ls(path, detail=True)
        if part["type"] == "file"
    )
    lance = [n for n in collection.folder.names() if n.endswith(".lance")]
    versions = [
        (name, str(sorted(fs.ls(f"{path}/{name}/_versions", detail=False)))) for name in lance
    ]
    return hashlib.sha256(repr((parts, versions)).encode()).hexdigest()[:24]


def _copy(collection: Collection, model: str, folder: Path) -> None:
    """Write the vectors, the rows and the page's table; the table is there once all is."""
    rows: list[dict[str, Any]] = []
    with (folder / "vectors").open("wb") as written:
        for part, vectors in collection.vectors("width", "height"):
            rows += part.to_pylist()
            written.write(vectors.tobytes())
    bad = list(_bad(collection))
    errors = [row.pop("error") for row in bad]
    table = {
        "name": collection.folder.url,
        "version": folder.name,
        "model": model,
        "vectors": len(rows),
        "errors": errors,
        **_columns(rows + bad),
    }
    numbers = {"width": pa.int32(), "height": pa.int32()}
    schema = pa.schema([(name, numbers.get(name, pa.string())) for name in COLUMNS])
    pq.write_table(pa.Table.from_pylist(rows + bad, schema), folder / "rows.parquet")
    part_of = folder / "table.part"
    part_of.write_text(json.dumps(table), "utf-8")
    part_of.replace(folder / "table.json")


def _columns(rows: list[dict[str, Any]]) -> dict[str, list[Any]]:
    """Names, sizes, and numbers of folders and of types, in the order of the rows."""
    folders: dict[str, int] = {}
    types: dict[str, int] = {}
    names, folder_of, type_of = [], [], []
    for row in rows:
        path = PurePosixPath(row["path"])
        names.append(path.name)
        folder_of.append(folders.setdefault(str(path.parent), len(folders)))
        kind = path.suffix.lower().removeprefix(".") or "none"
        type_of.append(types.setdefault(kind, len(types)))
    return {
        "names": names,
        "folders": list(folders),
        "folder": folder_of,
        "types": list(types),
        "type": type_of,
        "width": [row["width"] or 0 for row in rows],
        "height": [row["height"] or 0 for row in rows],
    }


def _bad(collection: Collection) -> Iterator[dict[str, Any]]:
    for table in collection.tables(*COLUMNS, "error"):
        yield from table.filter(table["error"].is_valid()).to_pylist()
