"""Images of a collection, each not read yet, and what lists them: a function per kind of source.

Listing is lazy: what is held is the names of one folder, or a batch of a table's rows.
"""

import csv
import io
import os
import re
import tarfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.parquet as pq
from fsspec import AbstractFileSystem
from fsspec.core import url_to_fs
from fsspec.implementations.local import LocalFileSystem, make_path_posix

from swin_embed.batch.errors import SourceError

IMAGE = re.compile(r"\.(avif|bmp|gif|hei[cf]|hif|jfif|jpe?g|png|tiff?|webp)$", re.IGNORECASE)

PATH_COLUMNS = ("path", "url", "uri", "file", "filename", "file_name", "image")
"""Of a manifest, the first of these holds the paths; a column `id` names the images, if there."""

MOST_BYTES = 256 * 1024 * 1024
"""A larger file is not read: it is no image that anybody meant, and would fill memory."""

IMAGES_AT_A_TIME = 64
PATHS_AT_A_TIME = 4096
"""Rows of a Parquet table that are read at a time."""


@dataclass(frozen=True, slots=True)
class Item:
    """An image of a collection, not read yet or, where it came with its listing, already read.

    Attributes:
        id: what names its row, unique in the collection.
        path: where it is: a file, a URL, `shard.tar/member` or `table.parquet#row`.
        url: the file that holds its bytes; empty where a manifest's line names none.
        span: first byte and one past the last, where that is not all of the file.
        data: its bytes, where they came with the listing.
    """

    id: str
    path: str
    url: str
    span: tuple[int, int] | None = None
    data: bytes | None = None

    def size(self) -> int:
        """How many bytes it has; 0 where that is not known before it is read.

        Raises:
            OSError, or what the file's own protocol raises: it is not there, or too large.
        """
        if self.data is not None:
            return len(self.data)
        if not self.url:
            raise OSError("its line in the manifest names no file")
        fs, path = place(self.url)
        size = self.span[1] - self.span[0] if self.span else fs.size(path) or 0
        if size > MOST_BYTES:
            raise OSError(f"the file is larger than {MOST_BYTES} bytes")
        return size

    def read(self) -> bytes:
        """Its bytes, however many; `size` says whether those are too many.

        Raises:
            OSError, or what the file's own protocol raises: it cannot be read.
        """
        if self.data is not None:
            return self.data
        fs, path = place(self.url)
        data: bytes = fs.cat_file(path, *(self.span or ()))
        return data


def place(name: str) -> tuple[AbstractFileSystem, str]:
    """The file system of a path or URL, and where it is there.

    A local path is taken as it stands: fsspec would read `a::b` as `a` within `b`.
    """
    if "://" in name:
        fs, path = url_to_fs(name)
        return fs, path
    return LocalFileSystem(), make_path_posix(name)


def in_folder(fs: AbstractFileSystem, path: str) -> Iterator[Item]:
    """The image files in a folder, at any depth: its own in the order of their names, then those
    of the folders in it. fsspec's own walk leaves out what it cannot list, without a word.

    A link to an image is an image; a link to a folder is not followed, as it may lead back.
    """
    inside = sorted(fs.ls(path, detail=True), key=lambda info: str(info["name"]))
    for info in inside:
        if IMAGE.search(info["name"]) and (
            info["type"] == "file" or (info.get("islink") and fs.isfile(info["name"]))
        ):
            yield file(name_of(fs, info["name"]))
    for info in inside:
        if info["type"] == "directory" and info["name"].rstrip("/") != path.rstrip("/"):
            yield from in_folder(fs, info["name"])


def seekable(fs: AbstractFileSystem, path: str) -> bool:
    """Whether a tar shard's images can be read one by one without reading it through."""
    return isinstance(fs, LocalFileSystem) and path.lower().endswith(".tar")


def in_tar(fs: AbstractFileSystem, path: str) -> Iterator[Item]:
    """The image files in a tar shard.

    Of a local, uncompressed shard only the headers are read here; any other is read once, through.

    Raises:
        SourceError: it ends within an image, or has links to images, whose bytes stand elsewhere.
    """
    name = name_of(fs, path)
    by_span = seekable(fs, path)
    links = 0
    with (
        fs.open(path) as raw,
        tarfile.open(fileobj=raw, mode="r:" if by_span else "r|*") as shard,
    ):
        for member in shard:
            if not IMAGE.search(member.name):
                pass
            elif member.islnk() or member.issym():
                links += 1
            elif member.isreg():
                inside = printable(f"{name}/{member.name}")
                if by_span:
                    span = (member.offset_data, member.offset_data + member.size)
                    if span[1] > fs.size(path):
                        raise SourceError(f"it ends within {member.name}")
                    yield Item(inside, inside, name, span)
                elif content := shard.extractfile(member):
                    yield Item(inside, inside, name, data=content.read())
            shard.members.clear()  # type: ignore[attr-defined]  # it would keep every header
    if links:
        raise SourceError(
            f"{links} images in it are links to others and were left out; "
            "tar --dereference --hard-dereference packs their bytes"
        )


def in_table(fs: AbstractFileSystem, path: str) -> Iterator[Item]:
    """A Parquet table's rows: images in a column of bytes, or a manifest of paths."""
    name = name_of(fs, path)
    with fs.open(path) as raw, pq.ParquetFile(raw) as table:
        column, holds_bytes = image_column(path, table.schema_arrow)
        read = [column, "id"] if "id" in table.schema_arrow.names else [column]
        at_a_time = IMAGES_AT_A_TIME if holds_bytes else PATHS_AT_A_TIME
        number = 0
        for batch in table.iter_batches(at_a_time, columns=read):
            for row in batch.to_pylist():
                value, where = row[column], f"{name}#{number}"
                number += 1
                if holds_bytes:
                    data = value["bytes"] if isinstance(value, dict) else value
                    yield Item(_id(row.get("id"), where), where, name, data=data or b"")
                else:
                    yield _entry(fs, path, value, row.get("id"), where)


def in_csv(fs: AbstractFileSystem, path: str) -> Iterator[Item]:
    """The images that a CSV or TSV manifest with a header names."""
    with fs.open(path, "rb") as raw, io.TextIOWrapper(raw, "utf-8-sig", newline="") as lines:
        rows = csv.DictReader(lines, delimiter="\t" if path.lower().endswith("tsv") else ",")
        column = _path_column(path, rows.fieldnames or [])
        for row in rows:
            where = f"{name_of(fs, path)}#{rows.line_num}"
            yield _entry(fs, path, row[column], row.get("id"), where)


def in_text(fs: AbstractFileSystem, path: str) -> Iterator[Item]:
    """The images that a text file names, one a line."""
    with fs.open(path, "rb") as raw, io.TextIOWrapper(raw, "utf-8-sig") as lines:
        for line in lines:
            if entry := line.strip():
                yield _entry(fs, path, entry, None, path)


def file(path: str, name: object = None) -> Item:
    """An image file, of this name if it has one."""
    shown = printable(path)
    return Item(_id(name, shown), shown, path)


def printable(path: str) -> str:
    """A path as text: bytes of a local name that are no UTF-8 are written as `\\xe9`."""
    return os.fsencode(path).decode("utf-8", "backslashreplace")


def image_column(path: str, schema: pa.Schema) -> tuple[str, bool]:
    """The column that holds a table's images, and whether it is their bytes or their paths.

    Bytes are a column of binary, or Hugging Face's struct of `bytes` and `path`.

    Raises:
        SourceError: it has no such column.
    """
    for field in schema:
        kind = field.type
        if pa.types.is_struct(kind) and kind.get_field_index("bytes") >= 0:
            return field.name, True
        if pa.types.is_binary(kind) or pa.types.is_large_binary(kind):
            return field.name, True
    return _path_column(path, schema.names), False


def name_of(fs: AbstractFileSystem, path: str) -> str:
    """A file's path as people write it: absolute where it is local, else a URL."""
    return path if isinstance(fs, LocalFileSystem) else str(fs.unstrip_protocol(path))


def _path_column(path: str, names: Sequence[str]) -> str:
    for name in PATH_COLUMNS:
        if name in names:
            return name
    raise SourceError(
        f"{path} has no column of image bytes and none of the names {', '.join(PATH_COLUMNS)}; "
        f"it has {', '.join(names) or 'no columns'}"
    )


def _entry(
    fs: AbstractFileSystem, manifest: str, path: str | None, name: object, where: str
) -> Item:
    """A manifest's line; relative paths are relative to the manifest."""
    if not path:
        return Item(_id(name, where), where, "")
    if "://" not in path and not path.startswith("/"):
        path = name_of(fs, f"{manifest.rpartition('/')[0]}/{path}")
    return file(path, name)


def _id(name: object, otherwise: str) -> str:
    return otherwise if name is None or name == "" else str(name)
