"""Facts about a collection's images besides their vectors: size, age, whether the file exists."""

import os
import re
from collections.abc import Iterable
from dataclasses import dataclass

WITHIN = re.compile(r".*\.(parquet#\d+|(tar|tar\.gz|tgz)/.+)", re.IGNORECASE | re.DOTALL)
"""Paths of images within a shard or table."""


@dataclass(frozen=True, slots=True)
class Picture:
    """An image of a collection.

    Attributes:
        sha256: of its bytes; None where it could not be read.
        pixels: width times height; 0 where it has an error.
        size: bytes of its file; None where it is no file of this machine.
        changed: when the file was changed, in seconds since 1970; None likewise.
        missing: whether it is a file of this machine that is not there any more.
    """

    id: str
    path: str
    sha256: str | None
    width: int
    height: int
    size: int | None
    changed: float | None
    missing: bool

    @property
    def pixels(self) -> int:
        return self.width * self.height


def pictures(rows: Iterable[dict[str, object]]) -> list[Picture]:
    """The images of a collection's rows, as their files are now."""
    return [picture(**row) for row in rows]  # type: ignore[arg-type]  # as the schema has them


def picture(
    id: str,  # noqa: A002 - the column's name
    path: str,
    sha256: str | None,
    width: int | None,
    height: int | None,
) -> Picture:
    """The image of a collection's row, as its file is now."""
    size = changed = None
    missing = False
    if is_file(path):
        try:
            found = os.stat(path)  # noqa: PTH116 - of 100,000 files Path takes a second more
            size, changed = found.st_size, found.st_mtime
        except (OSError, ValueError):
            missing = True
    return Picture(id, path, sha256, width or 0, height or 0, size, changed, missing)


def is_file(path: str) -> bool:
    """Whether a path names a file of this machine, not an image within one or elsewhere."""
    return path.startswith("/") and WITHIN.fullmatch(path) is None
