"""Collections in the user's cache, made when a command is given a folder of images."""

import hashlib
import os
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from swin_embed.batch.collection import ERRORS, PART, Collection
from swin_embed.batch.facts import is_file
from swin_embed.batch.folder import Folder


def of(place: str, digest: str) -> Collection:
    """The collection, in the user's cache, of the images at a place as one model sees them.

    Rows of files that are gone or have changed since are taken out of it: to embed the place into
    it brings it up to date.

    Args:
        place: a folder, or a file that lists images.
        digest: of the model's file.
    """
    where = place if "://" in place else str(Path(place).resolve())
    name = hashlib.sha256(f"{where}\0{digest}".encode("utf-8", "surrogateescape")).hexdigest()[:24]
    kept = Collection.at(str(cache() / "collections" / name))
    drop_changed(kept.folder)
    return kept


def cache() -> Path:
    """The cache folder: everything in it can be made again."""
    if home := os.environ.get("SWIN_HOME"):
        return Path(home)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "swin-embed"


def drop_changed(folder: Folder) -> None:
    """Take the rows of files that are gone, or are newer than their part, out of a local collection
    that is ours alone."""
    for name in folder.names():
        if not (name.startswith((PART, ERRORS)) and name.endswith(".parquet")):
            continue
        file = Path(folder.path) / name
        table = pq.read_table(file)
        made = file.stat().st_mtime
        current = [_unchanged(path, made) for path in table["path"].to_pylist()]
        if not any(current):
            file.unlink()
        elif not all(current):
            sink = pa.BufferOutputStream()
            pq.write_table(table.filter(pa.array(current)), sink)
            folder.put(name, memoryview(sink.getvalue()))


def _unchanged(path: str, since: float) -> bool:
    if not is_file(path):
        return True
    try:
        # When its name or bytes were put there, whatever its own date says.
        return Path(path).stat().st_ctime <= since
    except (OSError, ValueError):
        return False
