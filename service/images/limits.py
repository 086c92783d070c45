"""Files that are small to send and long to read: refused before most of the work is done.

Pillow bounds what it inflates (`MAX_IMAGE_PIXELS`, `MAX_TEXT_MEMORY`), but not how often a file may
make it go round. `docs/decisions.md` has what each kind took without these bounds.
"""

import io
import math
import os
import re
import struct
from collections.abc import Mapping

from PIL.TiffImagePlugin import TiffImageFile

from service.errors import ImageTooLarge, InvalidImage

FREE_READS = 10_000
BYTES_PER_READ = 512
"""Readers take a few bytes at a time of what stands around pixels; of pixels 64 KiB."""

BMP_READS = 2_000_000
"""Pillow reads run-length encoded pixels of a BMP byte by byte, a second for this many."""

MAX_SCANS = 20
"""Of a JPEG: each costs a pass over all pixels. libjpeg writes 10 for colour and 18 for CMYK
(jcparam.c, jpeg_simple_progression), mozjpeg and jpegli no more than 16."""

MAX_SEGMENTS = 10_000
"""Of a JPEG: tables, metadata and scans."""

MAX_TIFF_PARTS = 100_000
"""Strips or tiles of a TIFF: more than a strip a row in the tallest image that is usual."""

TILED = 1.25
"""Tiles reach over an image's edges: they may have this many times the pixels it may have."""

SHARED_BYTES = 16 * 1024 * 1024
"""Parts of a TIFF may be the same bytes, as empty tiles are: as many more than the file has."""

# libtiff reads a JPEG in each part of a TIFF, and lets it have 100 scans unless told otherwise.
os.environ.setdefault("LIBTIFF_JPEG_MAX_ALLOWED_SCAN_NUMBER", str(MAX_SCANS))

# ITU-T T.81, table B.1. In the data of a scan 0xFF is followed by 0 or by a restart, D0 to D7.
MARKER = re.compile(rb"\xff([\xc0-\xcf\xd8-\xfe])")
START_OF_IMAGE, END_OF_IMAGE, START_OF_SCAN = 0xD8, 0xD9, 0xDA
SEQUENTIAL = {0xC0, 0xC1}
ARITHMETIC = {0xC9, 0xCA, 0xCB, 0xCD, 0xCE, 0xCF}

TIFF_HEADS = {b"II*\0": ("<", False), b"MM\0*": (">", False), b"II+\0": ("<", True)}
TIFF_HEADS[b"MM\0+"] = (">", True)
WIDTH, HEIGHT, TILE_WIDTH, TILE_HEIGHT = 256, 257, 322, 323
OFFSETS = 273, 324
LENGTHS = 279, 325
"""Of strips and tiles, in bytes."""


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
        InvalidImage: a JPEG is in arithmetic coding or over `MAX_SCANS` scans, or a TIFF in over
            `MAX_TIFF_PARTS` parts.
    """
    if data.startswith(b"\xff\xd8"):
        _check_jpeg(data)
    elif data[:4] in TIFF_HEADS:
        _check_tiff(data)


def _check_jpeg(data: bytes) -> None:
    """Walk from marker to marker, as libjpeg does, to the end of the first image.

    What may follow is not read: a phone's moving photo ends in megabytes of video, in which the
    bytes of a marker come by chance.
    """
    at, components, scans = 2, None, 0
    for _ in range(MAX_SEGMENTS):
        found = MARKER.search(data, at)
        if found is None or found[1][0] == END_OF_IMAGE:
            return
        marker, at = found[1][0], found.end()
        if marker in ARITHMETIC:
            # Browsers do not read it and cameras do not write it; it takes three times as long.
            raise InvalidImage("the JPEG is in arithmetic coding")
        if marker in SEQUENTIAL:
            components = data[at + 7 : at + 8]
        elif marker == START_OF_SCAN:
            scans += 1
            if data[at + 2 : at + 3] == components:
                return  # a whole image in one scan, after which libjpeg reads no other
            if scans > MAX_SCANS:
                raise InvalidImage(f"the JPEG has more than {MAX_SCANS} scans")
        if marker != START_OF_IMAGE:
            at += max(2, int.from_bytes(data[at : at + 2]))
    raise InvalidImage(f"the JPEG has more than {MAX_SEGMENTS} segments")


def _check_tiff(data: bytes) -> None:
    """Look at the first directory; TIFF 6.0, section 2; BigTIFF has wider numbers."""
    order, big = TIFF_HEADS[data[:4]]
    first, length, entry = ("8xQ", "Q", "HHQQ") if big else ("4xI", "H", "HHII")
    try:
        (at,) = struct.unpack_from(order + first, data)
        (entries,) = struct.unpack_from(order + length, data, at)
        at += struct.calcsize(order + length)
    except (OverflowError, struct.error):
        return  # damaged
    # A directory may claim more entries than there are; Pillow takes those that are there.
    size = struct.calcsize(order + entry)
    there = min(entries, max(0, len(data) - at) // size)
    counts: dict[int, int] = {}
    for tag, _, count, _ in struct.iter_unpack(order + entry, data[at : at + there * size]):
        if tag in counts:
            # Pillow would take the last of them and libtiff the first: two sizes of one image.
            raise InvalidImage("the TIFF has a tag twice")
        counts[tag] = count
    parts = max(counts.get(tag, 0) for tag in OFFSETS + LENGTHS)
    if parts > MAX_TIFF_PARTS:
        raise InvalidImage(f"the TIFF is in {parts} parts, more than {MAX_TIFF_PARTS}")


def check_parts(image: TiffImageFile, size: int, max_pixels: int) -> None:
    """Look at the strips or tiles of a TIFF, which passed `check` and is not decoded yet.

    Args:
        image: the TIFF.
        size: bytes of its file.
        max_pixels: of the largest image that is decoded.

    Raises:
        ImageTooLarge: its tiles, which are decoded whole, reach far beyond the image.
        InvalidImage: it has the same bytes decoded over and over.
    """
    tags: Mapping[int, object] = image.tag_v2
    covered = math.prod(
        math.ceil(side / tile) * tile
        for side, tile in (
            (tags.get(WIDTH), tags.get(TILE_WIDTH)),
            (tags.get(HEIGHT), tags.get(TILE_HEIGHT)),
        )
        if isinstance(side, int) and isinstance(tile, int) and tile > 0
    )
    if covered > TILED * max_pixels:
        raise ImageTooLarge(f"the tiles of the image have more than {max_pixels} pixels")
    for tag in LENGTHS:
        given = tags.get(tag, ())
        lengths = given if isinstance(given, tuple) else ()
        if sum(length for length in lengths if isinstance(length, int)) > size + SHARED_BYTES:
            raise InvalidImage("the parts of the TIFF are larger than its file")
