"""Thumbnails of a collection's images: each made once, when it is first asked for, and kept."""

import sqlite3
import threading
from pathlib import Path

from swin_embed.batch import sources
from swin_embed.batch.facts import Picture

SIDE = 160
"""Longest side of a thumbnail, in pixels."""

WHOLE = 2048
"""Longest side of an image that is shown large."""

DECODING = 4
"""Images that are decoded at once: a large one takes hundreds of megabytes meanwhile."""


class Thumbnails:
    """A database of JPEGs by the sha256 of what they show, of images of no more than so many
    pixels."""

    def __init__(self, file: Path, max_pixels: int) -> None:
        self._max_pixels = max_pixels
        file.parent.mkdir(parents=True, exist_ok=True)
        self._db = sqlite3.connect(file, isolation_level=None, check_same_thread=False)
        self._db.execute("PRAGMA journal_mode = WAL")
        self._db.execute("PRAGMA synchronous = OFF")  # what is lost can be made again
        self._db.execute(
            "CREATE TABLE IF NOT EXISTS thumbnails (sha256 TEXT PRIMARY KEY, jpeg BLOB)"
        )
        self._lock = threading.Lock()
        self._decoding = threading.BoundedSemaphore(DECODING)

    def of(self, picture: Picture) -> bytes | None:
        """The thumbnail of an image; None where it cannot be read or decoded any more, or another
        is in its place."""
        with self._lock:
            kept = self._db.execute(
                "SELECT jpeg FROM thumbnails WHERE sha256 = ?", (picture.sha256,)
            ).fetchone()
        if kept is not None:
            return bytes(kept[0])
        made = self._made(picture, SIDE)
        if made is not None:
            with self._lock:
                self._db.execute(
                    "INSERT OR REPLACE INTO thumbnails VALUES (?, ?)", (picture.sha256, made)
                )
        return made

    def whole(self, picture: Picture) -> bytes | None:
        """The image, large; None likewise."""
        return self._made(picture, WHOLE)

    def close(self) -> None:
        self._db.close()

    def _made(self, picture: Picture, side: int) -> bytes | None:
        if picture.sha256 is None:
            return None
        # Imported here: decoders take half a second that opening the page does not have.
        from swin_embed.batch import sheet

        with self._decoding:
            try:
                data = sources.read(picture.path, picture.sha256)
            except Exception:  # it is gone, or whatever its protocol raises
                return None
            return sheet.jpeg(data, side, self._max_pixels)
