"""Near-duplicates: every pair of vectors above a cosine, by products of blocks of them."""

import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from swin_embed.batch.collection import Collection
from swin_embed.batch.folder import Folder

Vectors = npt.NDArray[np.float32]
"""float32 `[n, dim]`, of unit length."""

Numbers = npt.NDArray[np.int64]

BLOCK = 2048
"""Rows of a block: a product of two is 16 MiB."""

PAIRS = pa.schema(
    [("a", pa.string()), ("b", pa.string()), ("cosine", pa.float32()), ("exact", pa.bool_())]
)
GROUPS = pa.schema([("group", pa.int64()), ("id", pa.string()), ("path", pa.string())])


@dataclass(frozen=True)
class Found:
    """What there was: images with vectors, pairs of them, groups that the pairs join them to, and
    the images in groups."""

    images: int
    pairs: int
    groups: int
    grouped: int


def find(collection: Collection, threshold: float, output: Folder) -> Found:
    """Write `pairs.parquet` and `groups.parquet` of a collection's duplicates.

    Files with the same bytes are one image in the search, and each is a pair with the first of
    them, whatever the threshold: a thousand copies are 999 pairs, not half a million. Vectors are
    kept on disk and mapped; memory holds the ids, and products of blocks one at a time.

    Raises:
        OutputError: the collection holds nothing, or what different models made.
    """
    dim = collection.made().card.embedding_dim
    with tempfile.TemporaryDirectory() as scratch:
        images = _Images(Path(scratch) / "vectors", dim)
        groups = _Groups()
        pairs = 0
        with pq.ParquetWriter(Path(scratch) / "pairs", PAIRS, compression="zstd") as writer:

            def write(a: Numbers, b: Numbers, cosines: npt.NDArray[np.float32]) -> None:
                nonlocal pairs
                pairs += len(a)
                exact = np.fromiter(
                    (images.sha256[i] == images.sha256[j] for i, j in zip(a, b, strict=True)),
                    np.bool_,
                )
                columns = [[images.ids[i] for i in side] for side in (a, b)]
                writer.write_table(pa.table([*columns, cosines, exact], schema=PAIRS))
                for i, j in zip(a.tolist(), b.tolist(), strict=True):
                    groups.join(i, j)

            for rows, vectors in collection.vectors():
                copies = images.add(rows, vectors)  # [k, 2]
                if len(copies):
                    write(copies[:, 0], copies[:, 1], np.ones(len(copies), np.float32))
            firsts = np.array(images.firsts, np.int64)  # [u]
            for a, b, cosines in pairs_above(threshold, images.mapped()):
                write(firsts[a], firsts[b], cosines)
        written = np.memmap(Path(scratch) / "pairs", np.uint8, "r")
        output.put("pairs.parquet", written.data)
    members = groups.members()
    columns = [
        [number for number, group in enumerate(members) for _ in group],
        [images.ids[i] for group in members for i in group],
        [images.paths[i] for group in members for i in group],
    ]
    sink = pa.BufferOutputStream()
    pq.write_table(pa.table(columns, schema=GROUPS), sink)
    output.put("groups.parquet", memoryview(sink.getvalue()))
    return Found(len(images.ids), pairs, len(members), sum(map(len, members)))


def pairs_above(
    threshold: float, vectors: Vectors
) -> Iterator[tuple[Numbers, Numbers, npt.NDArray[np.float32]]]:
    """All pairs of rows whose product reaches the threshold, the lower row first.

    Args:
        threshold: least cosine.
        vectors: float32 `[n, dim]`, of unit length; may be mapped from a file.

    Yields:
        Numbers of the lower rows `[k]`, of the higher rows `[k]`, and cosines `[k]`, of a block.
    """
    for top in range(0, len(vectors), BLOCK):
        rows = np.array(vectors[top : top + BLOCK])  # [r, dim]
        for left in range(top, len(vectors), BLOCK):
            cosines = rows @ vectors[left : left + BLOCK].T  # [r, c]
            if left == top:
                cosines[np.tri(len(rows), dtype=np.bool_)] = -np.inf
            if cosines.max() < threshold:  # most blocks hold none, and this is four times as fast
                continue
            a, b = np.nonzero(cosines >= threshold)
            yield top + a, left + b, cosines[a, b]


class _Images:
    """The images of a collection, by number, and a vector for each that is no copy of another."""

    def __init__(self, file: Path, dim: int) -> None:
        self._file = file
        self._dim = dim
        self._first: dict[str, int] = {}
        self.ids: list[str] = []
        self.paths: list[str] = []
        self.sha256: list[str] = []
        self.firsts: list[int] = []

    def add(self, rows: pa.Table, vectors: Vectors) -> Numbers:
        """Take in rows and their vectors `[n, dim]`; pairs of first and copy, `[k, 2]`."""
        start = len(self.ids)
        self.ids += rows["id"].to_pylist()
        self.paths += rows["path"].to_pylist()
        self.sha256 += rows["sha256"].to_pylist()
        fresh, copies = [], []
        for number in range(start, len(self.ids)):
            first = self._first.setdefault(self.sha256[number], number)
            if first == number:
                fresh.append(number)
            else:
                copies.append((first, number))
        self.firsts += fresh
        with self._file.open("ab") as file:
            file.write(vectors[np.array(fresh, np.int64) - start].tobytes())
        return np.array(copies, np.int64).reshape(-1, 2)  # [k, 2]

    def mapped(self) -> Vectors:
        """The vectors of the firsts, `[u, dim]`."""
        if not self.firsts:
            return np.empty((0, self._dim), np.float32)
        return np.memmap(self._file, np.float32, "r").reshape(-1, self._dim)  # [u, dim]


class _Groups:
    """Images that pairs join, directly or through others."""

    def __init__(self) -> None:
        self._parent: dict[int, int] = {}

    def join(self, a: int, b: int) -> None:
        a, b = self._root(a), self._root(b)
        self._parent[max(a, b)] = min(a, b)

    def members(self) -> list[list[int]]:
        """Groups in the order of their first images, each in order."""
        groups: dict[int, list[int]] = {}
        for number in sorted(self._parent):
            groups.setdefault(self._root(number), []).append(number)
        return list(groups.values())

    def _root(self, number: int) -> int:
        parent = self._parent
        parent.setdefault(number, number)
        while parent[number] != number:
            parent[number] = parent[parent[number]]
            number = parent[number]
        return number
