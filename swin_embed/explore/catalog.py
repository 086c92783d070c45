"""The images of a collection as the page shows them: one table, and vectors mapped from a file."""

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import numpy.typing as npt

from service.types import Vector
from swin_embed.batch.collection import Collection
from swin_embed.batch.facts import Picture, pictures

Vectors = npt.NDArray[np.float32]

BLOCK = 4096
NEAREST = 400
"""Images that a search gives at most."""


@dataclass(frozen=True)
class Catalog:
    """A collection's images, numbered: first those with a vector, in the order of `vectors`, then
    those with an error.

    Attributes:
        pictures: of each image, as its file is now.
        errors: of those with an error, in order.
        vectors: float32 `[n, dim]` of unit length, mapped from a file.
        folder: where what is computed is kept.
    """

    name: str
    model: str
    pictures: list[Picture]
    errors: list[str]
    vectors: Vectors
    folder: Path

    @classmethod
    def of(cls, collection: Collection, cache: Path) -> "Catalog":
        """The catalogue of a collection; its vectors are copied once into a folder of the cache.

        Raises:
            OutputError: it holds nothing, or what different models made.
        """
        recipe = collection.made()
        folder = cache / _fingerprint(collection)
        folder.mkdir(parents=True, exist_ok=True)
        copied, rows_of = folder / "vectors", folder / "rows.json"
        if not rows_of.exists():
            rows = _copy(collection, copied)
            part = rows_of.with_suffix(".part")
            part.write_text(json.dumps(rows), "utf-8", "surrogateescape")
            part.replace(rows_of)
        rows = json.loads(rows_of.read_text("utf-8", "surrogateescape"))
        dim = recipe.card.embedding_dim
        count = copied.stat().st_size // (4 * dim)
        vectors = (
            np.memmap(copied, np.float32, "r").reshape(count, dim)
            if count
            else np.empty((0, dim), np.float32)
        )
        return cls(
            collection.folder.url,
            recipe.card.name,
            pictures(rows["rows"]),
            rows["errors"],
            vectors,
            folder,
        )

    def table(self) -> dict[str, Any]:
        """What the page shows of every image, a list a column."""
        folders: dict[str, int] = {}
        types: dict[str, int] = {}
        names, folder_of, type_of = [], [], []
        for picture in self.pictures:
            path = PurePosixPath(picture.path)
            names.append(path.name)
            folder_of.append(folders.setdefault(str(path.parent), len(folders)))
            kind = path.suffix.lower().removeprefix(".") or "none"
            type_of.append(types.setdefault(kind, len(types)))
        return {
            "name": self.name,
            "model": self.model,
            "vectors": len(self.vectors),
            "errors": self.errors,
            "folders": list(folders),
            "types": list(types),
            "names": names,
            "folder": folder_of,
            "type": type_of,
            "width": [picture.width for picture in self.pictures],
            "height": [picture.height for picture in self.pictures],
            "bytes": [picture.size for picture in self.pictures],
            "changed": [picture.changed and round(picture.changed) for picture in self.pictures],
            "missing": [n for n, picture in enumerate(self.pictures) if picture.missing],
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


def _copy(collection: Collection, file: Path) -> dict[str, Any]:
    """Write the vectors to a file; the rows, those with vectors first, and the errors."""
    columns = ("id", "path", "sha256", "width", "height")
    rows: list[dict[str, Any]] = []
    with file.open("wb") as written:
        for table, vectors in collection.vectors("width", "height"):
            rows += table.to_pylist()
            written.write(vectors.tobytes())
    bad = list(_bad(collection, *columns, "error"))
    errors = [row.pop("error") for row in bad]
    return {"rows": rows + bad, "errors": errors}


def _bad(collection: Collection, *columns: str) -> Iterator[dict[str, Any]]:
    for table in collection.tables(*columns):
        yield from table.filter(table["error"].is_valid()).to_pylist()
