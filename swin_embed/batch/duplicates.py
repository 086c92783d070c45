"""Finds near-duplicates: groups of images, each similar to the image to keep."""

import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from swin_embed.batch.collection import Collection
from swin_embed.batch.errors import OutputError
from swin_embed.batch.facts import Picture, pictures
from swin_embed.batch.recipe import difference

Vectors = npt.NDArray[np.float32]
"""float32 `[n, dim]`, of unit length."""

Numbers = npt.NDArray[np.int64]
Cosines = npt.NDArray[np.float32]

BLOCK = 2048
"""Rows of a block: a product of two is 16 MiB."""

Rank = Callable[[Picture], tuple[float | str, ...]]

KEEP: dict[str, tuple[str, Rank]] = {
    "best": (
        "most pixels, then least compressed, then oldest",
        lambda it: (-it.pixels, -(it.size or 0), it.changed or 0, it.path),
    ),
    "oldest": ("oldest, then most pixels", lambda it: (it.changed or 0, -it.pixels, it.path)),
    "newest": ("newest, then most pixels", lambda it: (-(it.changed or 0), -it.pixels, it.path)),
    "first": ("first by path", lambda it: (it.path,)),
}
"""Rules for the image to keep of a group, each in words and as a sort order."""


@dataclass(frozen=True, slots=True)
class Copy:
    """A copy of the image to keep; `exact` where their files have the same bytes."""

    picture: Picture
    cosine: float
    exact: bool


@dataclass(frozen=True, slots=True)
class Group:
    """An image to keep and its copies, most alike first: each is similar to the one to keep."""

    keep: Picture
    copies: list[Copy]

    @property
    def spare(self) -> int:
        """Bytes that the copies take, where their sizes are known."""
        return sum(copy.picture.size or 0 for copy in self.copies)


@dataclass(frozen=True, slots=True)
class Pair:
    """Two images whose cosine reaches the threshold; of exact copies, with the first of them."""

    a: Picture
    b: Picture
    cosine: float
    exact: bool


@dataclass(frozen=True)
class Found:
    """The result: images with vectors, groups, and files that no longer exist."""

    images: int
    groups: list[Group]
    missing: int

    @property
    def copies(self) -> int:
        return sum(len(group.copies) for group in self.groups)

    @property
    def spare(self) -> int:
        return sum(group.spare for group in self.groups)


def find(
    collection: Collection,
    threshold: float,
    rule: str = "best",
    each_pair: Callable[[list[Pair]], None] = lambda pairs: None,
) -> Found:
    """A collection's duplicates, in groups that do not chain.

    Images are taken in the order of the rule. One that is similar to none before it that is kept is
    kept; any other is a copy of the one of those that it is most like (leader clustering). So
    whatever one deletes has a similar image among what stays, which single linkage does not
    promise, and it takes no more than one product of all pairs. Files with the same bytes are one
    image in the search, and copies at any threshold. Files that are gone are left out: they cannot
    be kept.

    Args:
        collection: what to look through.
        threshold: least cosine.
        rule: of `KEEP`.
        each_pair: is called with the pairs that reach it, a block's at a time.

    Raises:
        OutputError: the collection holds nothing, or what different models made.
    """
    dim = collection.made().card.embedding_dim
    with tempfile.TemporaryDirectory() as scratch:
        read = Path(scratch) / "read"
        found, missing = _read(collection, read)
        order = sorted(range(len(found)), key=lambda n: KEEP[rule][1](found[n]))
        ranked = [found[n] for n in order]
        first_of = _first_of(ranked)  # [n]: of the files with the same bytes, in rank
        firsts = np.flatnonzero(first_of == np.arange(len(ranked)))  # [u]
        vectors = _gathered(read, Path(scratch) / "ranked", np.array(order, np.int64)[firsts], dim)
        each_pair(
            [
                Pair(ranked[first], ranked[n], 1.0, exact=True)
                for n, first in enumerate(first_of.tolist())
                if first != n
            ]
        )
        leader = np.full(len(firsts), -1, np.int64)
        likeness = np.full(len(firsts), -np.inf, np.float32)
        for a, b, cosines in pairs_above(threshold, vectors):
            _lead(leader, likeness, a, b, cosines)
            each_pair(
                [
                    Pair(ranked[firsts[i]], ranked[firsts[j]], cosine, exact=False)
                    for i, j, cosine in zip(a, b, cosines.tolist(), strict=True)
                ]
            )
    place = np.zeros(len(ranked), np.int64)
    place[firsts] = np.arange(len(firsts))
    groups: dict[int, list[Copy]] = {}
    for n, picture in enumerate(ranked):
        unique = place[first_of[n]]
        kept = firsts[leader[unique]] if leader[unique] >= 0 else firsts[unique]
        if kept != n:
            cosine = float(likeness[unique]) if leader[unique] >= 0 else 1.0
            exact = picture.sha256 == ranked[kept].sha256
            groups.setdefault(int(kept), []).append(Copy(picture, cosine, exact))
    return Found(len(found), [_group(ranked[n], of) for n, of in groups.items()], missing)


def against(collection: Collection, other: Collection, threshold: float) -> Found:
    """The images of a collection that another collection also has, each with its closest match.

    Raises:
        OutputError: one holds nothing, or different models made them.
    """
    mine, theirs = collection.made(), other.made()
    if mine.digest != theirs.digest:
        raise OutputError(
            f"{collection.folder.url} holds vectors of {difference(mine, theirs)}, as "
            f"{other.folder.url} does: they cannot be compared"
        )
    dim = mine.card.embedding_dim
    with tempfile.TemporaryDirectory() as scratch:
        own, there = Path(scratch) / "own", Path(scratch) / "other"
        (new, gone), (old, lost) = _read(collection, own), _read(other, there)
        left, right = _mapped(own, len(new), dim), _mapped(there, len(old), dim)
        best = np.full(len(new), -1, np.int64)
        likeness = np.full(len(new), -np.inf, np.float32)
        for top in range(0, len(new), BLOCK):
            rows = slice(top, top + BLOCK)
            for first in range(0, len(old), BLOCK):
                cosines = left[rows] @ right[first : first + BLOCK].T  # [r, c]
                nearest = cosines.argmax(axis=1)
                value = cosines[np.arange(len(cosines)), nearest]
                better = value > likeness[rows]
                best[rows][better] = first + nearest[better]
                likeness[rows][better] = value[better]
    same = {picture.sha256: n for n, picture in enumerate(old)}
    groups: dict[int, list[Copy]] = {}
    for n, picture in enumerate(new):
        exact = picture.sha256 in same
        if exact or likeness[n] >= threshold:
            kept = same[picture.sha256] if exact else int(best[n])
            if old[kept].path == picture.path:
                continue  # both collections have this very file
            cosine = 1.0 if exact else float(likeness[n])
            groups.setdefault(kept, []).append(Copy(picture, cosine, exact))
    return Found(len(new), [_group(old[n], of) for n, of in groups.items()], gone + lost)


def pairs_above(threshold: float, vectors: Vectors) -> Iterator[tuple[Numbers, Numbers, Cosines]]:
    """All pairs of rows whose product reaches the threshold, the lower row first.

    Args:
        threshold: least cosine.
        vectors: float32 `[n, dim]`, of unit length; may be mapped from a file.

    Yields:
        Numbers of the lower rows `[k]`, of the higher rows `[k]`, and cosines `[k]`, of a block.
        The pairs within a block of rows come before those with later rows.
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


def _lead(leader: Numbers, likeness: Cosines, a: Numbers, b: Numbers, cosines: Cosines) -> None:
    """Take in pairs of a block, sorted by `a`: each `b` follows the `a` it is most like, if that
    itself follows nobody.

    Whether an `a` does is known: by the pairs before, as those of its block with itself come first.
    """
    ends = np.flatnonzero(np.diff(a, append=-1)) + 1
    start = 0
    for end in ends.tolist():
        if leader[a[start]] < 0:
            followers, likes = b[start:end], cosines[start:end]
            closer = likes > likeness[followers]
            leader[followers[closer]] = a[start]
            likeness[followers[closer]] = likes[closer]
        start = end


def _group(keep: Picture, copies: list[Copy]) -> Group:
    return Group(keep, sorted(copies, key=lambda it: (-it.cosine, it.picture.path)))


def _read(collection: Collection, file: Path) -> tuple[list[Picture], int]:
    """The images whose files exist, with their vectors in a file; and how many do not exist."""
    found: list[Picture] = []
    missing = 0
    with file.open("wb") as vectors_of:
        for rows, vectors in collection.vectors("width", "height"):
            there = []
            for n, picture in enumerate(pictures(rows.to_pylist())):
                if picture.missing:
                    missing += 1
                else:
                    found.append(picture)
                    there.append(n)
            vectors_of.write(vectors[np.array(there, np.int64)].tobytes())
    return found, missing


def _first_of(ranked: Sequence[Picture]) -> Numbers:
    """The rank of the first with the same bytes, of each, `[n]`."""
    seen: dict[str | None, int] = {}
    return np.array([seen.setdefault(it.sha256, n) for n, it in enumerate(ranked)], np.int64)


def _mapped(file: Path, rows: int, dim: int) -> Vectors:
    if not rows:
        return np.empty((0, dim), np.float32)
    return np.memmap(file, np.float32, "r").reshape(rows, dim)  # [n, dim]


def _gathered(file: Path, to: Path, order: Numbers, dim: int) -> Vectors:
    """The rows of a file of vectors in an order, mapped from another."""
    if not len(order):
        return np.empty((0, dim), np.float32)
    vectors = np.memmap(file, np.float32, "r").reshape(-1, dim)  # [n, dim]
    with to.open("wb") as written:
        for start in range(0, len(order), BLOCK):
            written.write(vectors[order[start : start + BLOCK]].tobytes())
    return _mapped(to, len(order), dim)
