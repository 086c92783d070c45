"""The size of an image by its file's header, read in microseconds: a function for each format.

For estimates only: decoding reads the header again, and more carefully. Each function takes a file
of its format, and returns None where the header has no size. One that is cut off raises one of
`CUT_OFF`.
"""

import math
import re
import struct
from itertools import islice
from typing import NamedTuple

MAX_PARTS = 1024
"""Segments, blocks, boxes or entries of a header that are looked at."""

MAX_GAP_BYTES = 1024
"""Bytes of a JPEG that may fill the gap between two segments of its header."""

MAX_BOX_BYTES = 256 * 1024
"""Of the box in which a HEIC or AVIF describes its images: phones write 4 kB."""


START_OF_SCAN = 0xDA
END_OF_IMAGE = b"\xff\xd9"
CODINGS = {0xC0: "jpeg", 0xC1: "jpeg", 0xC9: "arithmetic jpeg", 0xCA: "arithmetic jpeg"}
NO_FRAME = {0xC4, 0xC8, 0xCC}
# ITU-T T.81, table B.1: what starts a frame, and the tables and metadata before it.
MARKER = re.compile(rb"\xff([\xc0-\xcf\xda-\xfe])")
FRAME_SIZE = re.compile(rb"ispe.{4}(.{4})(.{4})", re.DOTALL)  # ISO/IEC 23008-12, 6.5.3


CUT_OFF = (struct.error, IndexError, OverflowError)


class Header(NamedTuple):
    """A format of `PRICES`, and width and height in pixels."""

    format: str
    width: int
    height: int

    @property
    def pixels(self) -> int:
        """Width times height."""
        return self.width * self.height


def png(data: bytes, at: int = 0) -> Header:
    return Header("png", *struct.unpack_from(">II", data, at + 16))


def jpeg(data: bytes) -> Header | None:
    """The largest frame before the first scan."""
    at = 2
    frames: list[Header] = []
    for _ in range(MAX_PARTS):
        found = MARKER.search(data, at, at + MAX_GAP_BYTES)
        if found is None:
            return None
        marker, at = found[1][0], found.end()
        if marker == START_OF_SCAN:
            largest = max(frames, key=lambda one: one.width * one.height, default=None)
            if largest and data.rfind(END_OF_IMAGE, at) < 0:
                return largest._replace(format="jpeg without end")
            return largest
        if 0xC0 <= marker <= 0xCF and marker not in NO_FRAME:
            height, width = struct.unpack_from(">HH", data, at + 3)
            form = CODINGS.get(marker, "progressive jpeg")
            frames.append(Header(form, width, height))
        at += max(2, int.from_bytes(data[at : at + 2]))
    return None


def webp(data: bytes) -> Header | None:
    form = data[12:16]
    if form == b"VP8X":
        width, height = (int.from_bytes(data[at : at + 3], "little") + 1 for at in (24, 27))
    elif form == b"VP8L":
        (bits,) = struct.unpack_from("<I", data, 21)
        width, height = (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
    elif form == b"VP8 ":
        width, height = (side & 0x3FFF for side in struct.unpack_from("<HH", data, 26))
    else:
        return None
    return Header("webp", width, height)


def gif(data: bytes) -> Header | None:
    """The screen, or the first frame where that reaches over its edges."""
    width, height, flags = struct.unpack_from("<HHB", data, 6)
    at = 13 + (3 << (flags & 7) + 1 if flags & 0x80 else 0)
    in_extension = False
    for _ in range(MAX_PARTS):
        if in_extension:
            in_extension = data[at] > 0
            at += data[at] + 1
        elif data[at] == 0x2C:
            left, top, across, down = struct.unpack_from("<HHHH", data, at + 1)
            return Header("gif", max(width, left + across), max(height, top + down))
        elif data[at] == 0x21:
            in_extension = True
            at += 2
        else:
            return None
    return None


def bmp(data: bytes, at: int = 0) -> Header:
    if data[at + 14] == 12:
        return Header("bmp", *struct.unpack_from("<HH", data, at + 18))
    width, height = struct.unpack_from("<ii", data, at + 18)
    return Header("bmp", abs(width), abs(height))


def tiff(data: bytes) -> Header | None:
    """Of the first directory; TIFF 6.0, section 2; BigTIFF has wider numbers.

    It is deep where the samples of a pixel have more than 8 bytes.
    """
    order, big = "<" if data[:1] == b"I" else ">", 0x2B in data[2:4]
    first, length, entry = ("8xQ", "Q", "HHQ8s") if big else ("4xI", "H", "HHI4s")
    (at,) = struct.unpack_from(order + first, data)
    (entries,) = struct.unpack_from(order + length, data, at)
    at += struct.calcsize(order + length)
    said = {258: 1, 277: 1}  # bits a sample, samples
    for number in range(min(entries, MAX_PARTS)):
        offset = at + number * struct.calcsize(order + entry)
        tag, kind, count, value = struct.unpack_from(order + entry, data, offset)
        if tag in {256, 257, 258, 277}:
            form = order + ("H" if kind == 3 else "I")
            if count * struct.calcsize(form) > len(value):  # it stands elsewhere
                (elsewhere,) = struct.unpack_from(order + first[2:], value)
                value = data[elsewhere : elsewhere + 4]
            (said[tag],) = struct.unpack_from(form, value)
    if 256 not in said or 257 not in said:
        return None
    deep = said[258] * said[277] > 8 * 8
    return Header("deep tiff" if deep else "tiff", said[256], said[257])


def heif(data: bytes) -> Header | None:
    """The largest of the images in the boxes of HEIC and AVIF: one is a tile, another the whole."""
    at = 0
    for _ in range(MAX_PARTS):
        size, kind = struct.unpack_from(">I4s", data, at)
        if kind == b"meta" or size < 8:
            break
        at += size
    else:
        return None
    if size > MAX_BOX_BYTES:
        return None
    sizes = [
        tuple(map(int.from_bytes, found.groups()))
        for found in islice(FRAME_SIZE.finditer(data, at, at + size), MAX_PARTS)
    ]
    if not 0 < len(sizes) < MAX_PARTS:
        return None
    return Header("heif", *max(sizes, key=math.prod))


def ico(data: bytes) -> Header | None:
    """The largest of its images, each a PNG or a BMP without its file header."""
    (count,) = struct.unpack_from("<H", data, 4)
    images = []
    for entry in range(min(count, MAX_PARTS)):
        (at,) = struct.unpack_from("<I", data, 6 + 16 * entry + 12)
        images.append(png(data, at) if data[at + 1 : at + 4] == b"PNG" else bmp(data, at - 14))
    return max(images, key=lambda one: one.width * one.height, default=None)
