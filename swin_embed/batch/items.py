"""Lists the images of a source: a function for each kind of source. Images are read later.

Listing is lazy: what is held is the names of one folder, or a batch of a table's rows.
"""

import csv
import io
import logging
import os
import re
import tarfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import pyarrow as pa
import pyarrow.parquet as pq
from fsspec import AbstractFileSystem
from fsspec.core import url_to_fs
from fsspec.implementations.local import LocalFileSystem, make_path_posix

from swin_embed.batch.errors import ItemError, SourceError, reason

IMAGE = re.compile(
    r"\.(a?png|avif|bmp|cur|dib|gif|hei[cf]|hif|ico|jfif|jpe?g|jpe|mpo|tiff?|webp)$", re.IGNORECASE
)

COMPANION = "._"
"""Prefix of the metadata files that macOS adds on other file systems; they are no images."""

PATH_COLUMNS = ("path", "url", "uri", "file", "filename", "file_name", "image")
"""Columns of a manifest that may hold the paths; the first that exists does. `id` names images."""

MOST_BYTES = 256 * 1024 * 1024
"""Larger files are not read: they are hardly images, and would fill memory."""

IMAGES_AT_A_TIME = 1
PATHS_AT_A_TIME = 4096
"""Rows of a Parquet table read at a time: a few bytes may expand to many large images."""

MOST_INFLATED = 100
"""A table that claims to expand this much holds no images: they are compressed already."""

MOST_HEADER_BYTES = 1024 * 1024
"""The largest name or extended header of a tar shard; they are read whole."""

logger = logging.getLogger(__name__)


Tell = Callable[[str], None]
"""Takes a message about something that cannot be listed."""


@dataclass(frozen=True, slots=True)
class Item:
    """An image of a collection, not read yet or, where it came with its listing, already read.

    Attributes:
        id: what names its row, unique in the collection.
        path: where it is: a file, a URL, `shard.tar/member` or `table.parquet#row`.
        url: the file that holds its bytes; empty where a manifest's line names none.
        span: first byte and one past the last, where that is not all of the file.
        data: its bytes, where they came with the listing.
        fault: why it cannot be read, where the listing knows that already.
    """

    id: str
    path: str
    url: str
    span: tuple[int, int] | None = None
    data: bytes | None = None
    fault: str | None = None

    def size(self) -> int:
        """Its size in bytes; 0 if that is not known before it is read.

        Raises:
            ItemError: it is no regular file, or too large.
            OSError, or what the file's own protocol raises: it is not there.
        """
        if self.fault is not None:
            raise ItemError(self.fault)
        if self.data is not None:
            return _allowed(len(self.data))
        fs, path = place(self.url)
        if self.span:
            return _allowed(self.span[1] - self.span[0])
        info = _info(fs, path)
        if info["type"] != "file" and not (info.get("islink") and fs.isfile(path)):
            raise ItemError(f"it is no file but {info['type']}")
        return _allowed(info["size"] or 0)

    def read(self, size: int | None = None) -> bytes:
        """The bytes of the image.

        Args:
            size: what `size` said, where that was asked before.

        Raises:
            ItemError: it is no regular file, or too large.
            OSError, or what the file's own protocol raises: it cannot be read.
        """
        known = self.size() if size is None else size
        if self.data is not None:
            return self.data
        fs, path = place(self.url)
        if known:
            data: bytes = fs.cat_file(path, *(self.span or ()))
        else:  # nothing says when it ends, as of files in /proc
            local = isinstance(fs, LocalFileSystem)
            with Path(path).open("rb") if local else fs.open(path) as file:
                data = file.read(MOST_BYTES + 1)
        _allowed(len(data))
        return data


def _info(fs: AbstractFileSystem, path: str) -> dict[str, Any]:
    """What a file system says of a file.

    fsspec's HTTP says of whatever happened, a host that does not answer too, that the file was not
    found; what did happen is the cause of that.
    """
    try:
        told: dict[str, Any] = fs.info(path)
    except FileNotFoundError as error:
        if "https" in fs.protocol and isinstance(error.__cause__, Exception):
            raise error.__cause__ from None
        raise
    return told


def place(name: str) -> tuple[AbstractFileSystem, str]:
    """The file system of a path or URL, and where it is there.

    A local path is taken as it stands: fsspec would read `a::b` as `a` within `b`.
    """
    if "://" in name:
        fs, path = url_to_fs(name)
        return fs, path
    return LocalFileSystem(), make_path_posix(name)


def in_folder(fs: AbstractFileSystem, path: str, tell: Tell) -> Iterator[Item]:
    """The image files in a folder, at any depth: its own in the order of their names, then those
    of the folders in it. fsspec's own walk leaves out what it cannot list, without a word.

    A link to an image is an image; a link to a folder is not followed, as it may lead back. What
    cannot be listed is told of, and the others have their turn.
    """
    try:
        inside = sorted(fs.ls(path, detail=True), key=lambda info: str(info["name"]))
    except Exception as error:  # whatever its protocol raises
        tell(f"{path}: {reason(error)}")
        return
    companions = 0
    for info in inside:
        name = str(info["name"])
        if not IMAGE.search(name):
            continue
        if name.rpartition("/")[2].startswith(COMPANION):
            companions += 1
        elif info["type"] == "file" or (info.get("islink") and fs.isfile(name)):
            yield file(name_of(fs, name))
        elif info.get("islink") and not fs.exists(name):
            tell(f"{name} is a link to nothing")
    if companions:
        logger.warning("%s: %d files ._* of macOS are no images, and left out", path, companions)
    for info in inside:
        if info["type"] == "directory" and info["name"].rstrip("/") != path.rstrip("/"):
            yield from in_folder(fs, info["name"], tell)


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
        tarfile.open(fileobj=raw, mode="r:" if by_span else "r|*", tarinfo=_Member) as shard,
    ):
        for member in shard:
            if not _is_image(member.name):
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
                elif member.size > MOST_BYTES:
                    yield Item(inside, inside, name, fault=_too_large())
                elif content := shard.extractfile(member):
                    yield Item(inside, inside, name, data=content.read())
            shard.members.clear()  # type: ignore[attr-defined]  # it would keep every header
    if links:
        raise SourceError(
            f"{links} images in it are links to others and were left out; "
            "tar --dereference --hard-dereference packs their bytes"
        )


def in_table(fs: AbstractFileSystem, path: str) -> Iterator[Item]:
    """A Parquet table's rows: images in a column of bytes, or a manifest of paths.

    A row may have a list of images; each has its place in the list after its name.

    Raises:
        SourceError: it says to be far larger than its file, as no table of images is.
    """
    name = name_of(fs, path)
    with fs.open(path) as raw, pq.ParquetFile(raw) as table:
        column, holds_bytes = image_column(path, table.schema_arrow)
        _check_inflation(path, table.metadata, column)
        read = [column, "id"] if "id" in table.schema_arrow.names else [column]
        at_a_time = IMAGES_AT_A_TIME if holds_bytes else PATHS_AT_A_TIME
        number = 0
        for batch in table.iter_batches(at_a_time, columns=read):
            for row in batch.to_pylist():
                value, where, called = row[column], f"{name}#{number}", row.get("id")
                number += 1
                if not isinstance(value, list):
                    yield _cell(fs, path, value, called, where, holds_bytes=holds_bytes)
                    continue
                for at, one in enumerate(value):
                    each = None if called is None or called == "" else f"{called}[{at}]"
                    there = f"{where}[{at}]"
                    yield _cell(fs, path, one, each, there, holds_bytes=holds_bytes)


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

    Bytes are a column of binary, or Hugging Face's struct of `bytes` and `path`; either may be in
    lists.

    Raises:
        SourceError: it has no such column.
    """
    kinds = {field.name: _of_each(field.type) for field in schema}
    for name, kind in kinds.items():
        if pa.types.is_struct(kind) and kind.get_field_index("bytes") >= 0:
            return name, True
        if _is_bytes(kind):
            return name, True
    column = _path_column(path, schema.names)
    kind = kinds[column]
    text = kind.value_type if pa.types.is_dictionary(kind) else kind
    if not (pa.types.is_string(text) or pa.types.is_large_string(text) or text == pa.string_view()):
        raise SourceError(f"{path}: column {column} holds {schema.field(column).type}, no paths")
    return column, False


def in_lists(schema: pa.Schema) -> bool:
    """Whether a table of images may have several in a row."""
    column, _ = image_column("", schema)
    kind = schema.field(column).type
    return bool(_of_each(kind) != kind)


def name_of(fs: AbstractFileSystem, path: str) -> str:
    """A file's path as people write it: absolute where it is local, else a URL."""
    return path if isinstance(fs, LocalFileSystem) else str(fs.unstrip_protocol(path))


def _of_each(kind: pa.DataType) -> pa.DataType:
    """What a column holds, in lists or not."""
    lists = pa.types.is_list, pa.types.is_large_list, pa.types.is_fixed_size_list
    return kind.value_type if any(is_list(kind) for is_list in lists) else kind


def _is_bytes(kind: pa.DataType) -> bool:
    if pa.types.is_dictionary(kind):
        kind = kind.value_type
    return bool(
        pa.types.is_binary(kind)
        or pa.types.is_large_binary(kind)
        or pa.types.is_binary_view(kind)
        or pa.types.is_fixed_size_binary(kind)
    )


def _is_image(name: str) -> bool:
    return bool(IMAGE.search(name)) and not name.rpartition("/")[2].startswith(COMPANION)


def _too_large() -> str:
    return f"the file is larger than {MOST_BYTES} bytes"


def _allowed(size: int) -> int:
    if size > MOST_BYTES:
        raise ItemError(_too_large())
    return size


def _check_inflation(path: str, metadata: pq.FileMetaData, column: str) -> None:
    for group in range(metadata.num_row_groups):
        row_group = metadata.row_group(group)
        for at in range(row_group.num_columns):
            chunk = row_group.column(at)
            inflated, stored = chunk.total_uncompressed_size, chunk.total_compressed_size
            if (
                chunk.path_in_schema.partition(".")[0] == column
                and inflated > MOST_BYTES
                and inflated > MOST_INFLATED * stored
            ):
                raise SourceError(f"{path} inflates from {stored} to {inflated} bytes: no images")


class _Member(tarfile.TarInfo):
    """A header of a tar shard; those that are read whole before their member are small."""

    @classmethod
    def frombuf(cls, buf: bytes | bytearray, encoding: str, errors: str) -> Self:
        member = super().frombuf(buf, encoding, errors)
        kinds = *tarfile.GNU_TYPES, tarfile.XHDTYPE, tarfile.XGLTYPE, tarfile.SOLARIS_XHDTYPE
        if member.type in kinds and member.size > MOST_HEADER_BYTES:
            raise SourceError(f"a header in it has {member.size} bytes")
        return member


def _cell(
    fs: AbstractFileSystem,
    table: str,
    value: Any,  # noqa: ANN401 - what a table holds
    name: object,
    where: str,
    *,
    holds_bytes: bool,
) -> Item:
    """An image of a table: bytes, `datasets`' struct of bytes or a path, or a path."""
    if isinstance(value, dict):
        if value["bytes"] is None and value.get("path"):
            return _entry(fs, table, value["path"], name, where)
        value = value["bytes"]
    if holds_bytes:
        return Item(_id(name, where), where, name_of(fs, table), data=value or b"")
    return _entry(fs, table, value, name, where)


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
    """A manifest's line; relative paths are relative to the manifest.

    One on this machine may name any file and URL that its reader may read. One from elsewhere is
    somebody else's: it names files of its own protocol, and none of this machine.
    """
    if not path:
        return Item(_id(name, where), where, "", fault="its line in the manifest names no file")
    is_local = isinstance(fs, LocalFileSystem)
    if "://" not in path and not path.startswith("/"):
        path = name_of(fs, f"{manifest.rpartition('/')[0]}/{path}")
    elif not is_local and path.partition("://")[0] not in fs.unstrip_protocol("").partition("://"):
        fault = "a manifest that is not on this machine names images beside it only"
        return Item(_id(name, printable(path)), printable(path), "", fault=fault)
    return file(path, name)


def _id(name: object, otherwise: str) -> str:
    return otherwise if name is None or name == "" else str(name)
