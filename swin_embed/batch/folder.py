"""A folder on a disk or in an object store, whose files are written whole or not at all."""

import contextlib
import fcntl
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Self

from fsspec import AbstractFileSystem
from fsspec.core import url_to_fs
from fsspec.implementations.local import LocalFileSystem

from swin_embed.batch.errors import OutputError, reason

UNFINISHED = ".unfinished"


@dataclass(frozen=True)
class Folder:
    """A folder by its path within a file system."""

    fs: AbstractFileSystem
    path: str

    @classmethod
    def at(cls, url: str) -> Self:
        """The folder of this path or URL.

        Raises:
            OutputError: no such protocol, or its package is not installed.
        """
        try:
            fs, path = url_to_fs(url, use_listings_cache=False)
        except (ImportError, ValueError) as error:
            raise OutputError(f"cannot use {url}: {reason(error)}") from error
        return cls(fs, path.rstrip("/"))

    @property
    def local(self) -> bool:
        return isinstance(self.fs, LocalFileSystem)

    @property
    def url(self) -> str:
        """Its path if local, else its URL."""
        return self.path if self.local else str(self.fs.unstrip_protocol(self.path))

    def names(self) -> list[str]:
        """The names in it, sorted; none if it does not exist."""
        try:
            listed = self.fs.ls(self.path, detail=False)
        except FileNotFoundError:
            return []
        return sorted(name.rstrip("/").rpartition("/")[2] for name in listed)

    def open(self, name: str) -> IO[bytes]:
        """A file in it, to read from anywhere."""
        file: IO[bytes] = self.fs.open(f"{self.path}/{name}")
        return file

    def put(self, name: str, data: memoryview | bytes) -> None:
        """Write a file, or replace it; its name never shows an incomplete file.

        An object store promises that of itself; on a disk the file gets its name once its bytes
        are on the medium.
        """
        if not self.local:
            self.fs.pipe_file(f"{self.path}/{name}", bytes(data))
            return
        path = Path(self.path)
        path.mkdir(parents=True, exist_ok=True)
        unfinished = path / f".{name}.{os.getpid()}{UNFINISHED}"
        with unfinished.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        unfinished.replace(path / name)
        with _descriptor(path) as folder:
            os.fsync(folder)

    @contextlib.contextmanager
    def alone(self) -> Iterator[None]:
        """Keep other jobs on this machine out of a local folder, and clear up after killed ones.

        Raises:
            OutputError: another job is writing here.
        """
        if not self.local:
            yield
            return
        path = Path(self.path)
        path.mkdir(parents=True, exist_ok=True)
        with _descriptor(path) as folder:
            try:
                fcntl.flock(folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise OutputError(f"another job is writing to {self.path}") from None
            for unfinished in path.glob(f".*{UNFINISHED}"):
                unfinished.unlink()
            yield


@contextlib.contextmanager
def _descriptor(path: Path) -> Iterator[int]:
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        yield descriptor
    finally:
        os.close(descriptor)
