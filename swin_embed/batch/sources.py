"""Sources of a collection's images: folders, globs, manifests, tar shards, Parquet tables.

Every path may be local or a URL of anything fsspec reads.
"""

import hashlib
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

import pyarrow.parquet as pq
from fsspec import AbstractFileSystem

from swin_embed.batch import items
from swin_embed.batch.errors import SourceError, reason
from swin_embed.batch.items import Item, Tell, place


@dataclass(frozen=True)
class Source:
    """One of a job's sources: `items` lists it; `count` tells how many those are, where that is
    cheap to know."""

    name: str
    items: Callable[[Tell], Iterator[Item]]
    count: Callable[[], int | None]


def find(names: Iterable[str]) -> list[Source]:
    """The sources that a command line names, globs expanded.

    Raises:
        SourceError: one is not there, or is a table without images.
    """
    return [source for name in names for source in _sources(name)]


def listing(sources: Iterable[Source], broken: list[str]) -> Iterator[Item]:
    """What the sources list; one that cannot be read to its end, or has no image, is noted in
    `broken`, and the next one has its turn."""
    for source in sources:
        found = False
        noted = len(broken)
        try:
            for item in source.items(broken.append):
                found = True
                yield item
        except Exception as error:  # whatever its format or protocol raises
            broken.append(f"{source.name}: {reason(error)}")
        if not found and len(broken) == noted:
            broken.append(f"{source.name}: there is no image in it")


def total(sources: Sequence[Source]) -> int | None:
    """The number of images in the sources; None if one of them would have to be read for it."""
    try:
        counts = [source.count() for source in sources]
    except Exception:  # reading it will report the error
        return None
    return None if None in counts else sum(count for count in counts if count is not None)


def read(path: str, sha256: str | None = None) -> bytes:
    """The bytes of the image that an item's `path` names, whatever it came from.

    Args:
        path: as a collection has it.
        sha256: what the collection says of its bytes, where it says so.

    Raises:
        SourceError: it is not there any more, or another is there: whatever a collection, a link
            or a file that was replaced points to, what is not the image that was embedded is no
            image of the collection.
        OSError, or what the file's own protocol raises: it cannot be read.
    """
    table = re.fullmatch(r"(.*\.parquet)#\d+(?:\[\d+\])?", path, re.IGNORECASE)
    shard = re.fullmatch(r"(.*\.(?:tar|tar\.gz|tgz))/.+", path, re.IGNORECASE)
    if table:
        found = items.in_table(*place(table[1]))
    elif shard:
        found = items.in_tar(*place(shard[1]))
    else:
        found = iter([items.file(path)])
    for item in found:
        if item.path == path:
            data = item.read()
            if sha256 is not None and hashlib.sha256(data).hexdigest() != sha256:
                raise SourceError(f"{path} is not the file any more that was embedded")
            return data
    raise SourceError(f"{path} is not there any more")


def _sources(name: str) -> Iterator[Source]:
    try:
        fs, path = place(name)
        is_glob = re.search(r"[*?\[]", path) and not fs.exists(path)
        matches = sorted(fs.glob(path)) if is_glob else [path]
        if not matches:
            raise SourceError(f"{name} matches no file")
        for match in matches:
            yield _source(fs, match)
    except SourceError:
        raise
    except Exception as error:  # whatever its protocol raises
        raise SourceError(f"cannot read {name}: {reason(error)}") from error


def _source(fs: AbstractFileSystem, path: str) -> Source:
    suffix = path.lower().rpartition(".")[2]
    if fs.isdir(path):
        return _listed(path, lambda tell: items.in_folder(fs, path, tell))
    if not fs.exists(path):
        raise SourceError(f"{path} is neither a file nor a folder")
    if suffix in {"tar", "tgz"} or path.lower().endswith(".tar.gz"):
        if items.seekable(fs, path):
            return _listed(path, lambda _: items.in_tar(fs, path))
        return Source(path, lambda _: items.in_tar(fs, path), lambda: None)
    if suffix == "parquet":
        with fs.open(path) as file, pq.ParquetFile(file) as table:
            rows = table.metadata.num_rows
            schema = table.schema_arrow
            items.image_column(path, schema)
        one_each = not items.in_lists(schema)
        count = rows if one_each else None
        return Source(path, lambda _: items.in_table(fs, path), lambda: count)
    if suffix in {"csv", "tsv"}:
        return _listed(path, lambda _: items.in_csv(fs, path))
    if suffix in {"txt", "list"}:
        return _listed(path, lambda _: items.in_text(fs, path))
    return _listed(path, lambda _: iter([items.file(items.name_of(fs, path))]))


def _listed(name: str, listed: Callable[[Tell], Iterator[Item]]) -> Source:
    return Source(name, listed, lambda: sum(1 for _ in listed(lambda _: None)))
