"""Files that are small to send and long to read: refused before most of the work is done.

Pillow bounds what it inflates (`MAX_IMAGE_PIXELS`, `MAX_TEXT_MEMORY`), but not how often a file may
make it go round. `docs/decisions.md` has what each kind took without these bounds.
"""

import io
import struct

from service.errors import InvalidImage

FREE_READS = 10_000
BYTES_PER_READ = 512
"""Readers take a few bytes at a time of what stands around pixels; of pixels 64 KiB."""

BMP_READS = 2_000_000
"""Pillow reads run-length encoded pixels of a BMP byte by byte, a second for this many."""

MAX_SCANS = 30
"""Of a JPEG, thumbnails included. Encoders write about ten; each costs a pass over all pixels."""

MAX_TIFF_PARTS = 100_000
"""Strips or tiles of a TIFF: more than a strip a row in the tallest image that is usual."""

START_OF_SCAN = b"\xff\xda"
TIFF_HEADS = {b"II*\0": ("<", False), b"MM\0*": (">", False), b"II+\0": ("<", True)}
TIFF_HEADS[b"MM\0+"] = (">", True)
STRIP_OFFSETS, TILE_OFFSETS = 273, 324


class MeteredFile(io.BytesIO):
    """A file in memory that can be read a number of times that grows with its length.

    What a format's reader does between two reads is short, so this bounds the time it takes for
    millions of empty chunks, comments or fill bytes.
    """

    def __init__(self, data: bytes) -> None:
        super().__init__(data)
        budget = FREE_READS + len(data) // BYTES_PER_READ
        self._reads_left = BMP_READS if data.startswith(b"BM") else budget

    def read(self, size: int | None = -1, /) -> bytes:
        """Bytes from where the last read ended.

        Raises:
            InvalidImage: it has been read too often.
        """
        self._reads_left -= 1
        if self._reads_left < 0:
            raise InvalidImage("the image is in too many small parts to be read")
        return super().read(size)


def check(data: bytes) -> None:
    """Look for parts that make a decoder go round too often.

    Raises:
        InvalidImage: a JPEG has over `MAX_SCANS` scans, or a TIFF over `MAX_TIFF_PARTS` parts.
    """
    if data.startswith(b"\xff\xd8"):
        scans = data.count(START_OF_SCAN)
        if scans > MAX_SCANS:
            raise InvalidImage(f"the JPEG has {scans} scans, more than {MAX_SCANS}")
    elif data[:4] in TIFF_HEADS:
        parts = _tiff_parts(data)
        if parts > MAX_TIFF_PARTS:
            raise InvalidImage(f"the TIFF is in {parts} parts, more than {MAX_TIFF_PARTS}")


def _tiff_parts(data: bytes) -> int:
    """Strips or tiles that the first directory of a TIFF claims; 0 of one that is damaged.

    TIFF 6.0, section 2; BigTIFF has wider numbers.
    """
    order, big = TIFF_HEADS[data[:4]]
    first, length, entry = ("8xQ", "Q", "HHQQ") if big else ("4xI", "H", "HHII")
    try:
        (at,) = struct.unpack_from(order + first, data)
        (entries,) = struct.unpack_from(order + length, data, at)
        at += struct.calcsize(order + length)
    except (OverflowError, struct.error):
        return 0
    # A directory may claim more entries than there are; Pillow takes those that are there.
    size = struct.calcsize(order + entry)
    there = min(entries, max(0, len(data) - at) // size)
    tags = struct.iter_unpack(order + entry, data[at : at + there * size])
    offsets = {STRIP_OFFSETS, TILE_OFFSETS}
    return max((count for tag, _, count, _ in tags if tag in offsets), default=0)
