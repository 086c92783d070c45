"""JPEG: its markers are walked for what it costs; metadata is left out of what is decoded."""

import re
from collections.abc import Sequence
from typing import Any, NamedTuple

from PIL import ImageChops
from PIL.ImageFile import ImageFile
from PIL.JpegImagePlugin import JpegImageFile

from service.errors import InvalidImage
from service.images import limits
from service.images.readers import exif

# ITU-T T.81, table B.1. In the data of a scan 0xFF is followed by 0 or by a restart, D0 to D7.
MARKER = re.compile(rb"\xff([\xc0-\xcf\xd8-\xfe])")
START_OF_IMAGE, END_OF_IMAGE, START_OF_SCAN = 0xD8, 0xD9, 0xDA
END = b"\xff\xd9"

MAX_SCANS = limits.MAX_SCANS

MAX_SEGMENT_BYTES = 1 << 16

MAX_SEGMENTS = 10_000
"""Tables, metadata and scans."""

SEQUENTIAL = {0xC0, 0xC1, 0xC9}
ARITHMETIC = {0xC9, 0xCA}
FRAMES = {0xF7, *range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC}
VARIANTS = {
    0xF7: "is JPEG-LS",
    0xC3: "is lossless",
    **dict.fromkeys((0xC5, 0xC6, 0xC7, 0xCD, 0xCE, 0xCF), "is hierarchical"),
    0xCB: "is lossless, in arithmetic coding",
}
"""Those that libjpeg or Pillow does not read."""

EXIF, PROFILE = b"Exif\0\0", b"ICC_PROFILE\0"
APP1, APP2 = 0xE1, 0xE2
COLOURS = {0xE0: 16, 0xEE: 14}
"""Application data of JFIF and Adobe say what colours mean, if they are at least as long."""

METADATA = {0xFE, *range(0xE0, 0xF0)}
"""Comments and application data."""

FILLERS = b"\0" * 64 + END, b"\0" + b"\x5a" * 63 + END
"""Stand for the end of a file that has none: where rows are missing they give different pixels."""


class Head(NamedTuple):
    """What stands before the first scan.

    Attributes:
        pieces: of the file, without its metadata.
        exif: EXIF metadata; empty where there is none.
        profile: the colour profile; empty where there is none or it is not whole.
        frame: the marker that says how pixels are coded; 0 where there is none.
    """

    pieces: list[memoryview]
    exif: bytes
    profile: bytes
    frame: int


def open_image(data: bytes, max_pixels: int) -> ImageFile:
    """Open a JPEG by its header.

    Raises:
        InvalidImage: it is damaged, or a variant that is not read.
        ImageTooLarge: more than `max_pixels`.
    """
    head = _walk(data)
    if head.frame in VARIANTS:
        raise InvalidImage(f"the JPEG {VARIANTS[head.frame]}, a variant that is not read")
    stream = b"".join(head.pieces)
    image = _Jpeg(limits.MeteredFile(stream if END in stream else stream + FILLERS[0]))
    if END not in stream:
        image.unended = stream
    limits.check_size(*image.size, max_pixels)
    if head.frame in ARITHMETIC:
        image.decodermaxblock = len(data) + len(FILLERS[0])  # libjpeg cannot wait for more of it
    image.info["orientation"] = exif.orientation(head.exif)
    if head.profile:
        image.info["icc_profile"] = head.profile
    return image


class _Jpeg(JpegImageFile):
    """A JPEG that may lack its end marker, if all of its rows are there.

    Attributes:
        unended: what there is of one that has none.
    """

    unended = b""

    def load(self) -> Any:  # noqa: ANN401 - Pillow's own
        if not self.tile:
            return super().load()
        tile, config = self.tile, self.decoderconfig
        loaded = super().load()
        if self.unended:
            other = _Jpeg(limits.MeteredFile(self.unended + FILLERS[1]))
            other._size, other._mode = self.size, self.mode
            other.tile, other.decoderconfig = tile, config
            other.decodermaxblock = self.decodermaxblock
            other.load()
            if ImageChops.difference(self, other).getbbox():
                raise InvalidImage("the JPEG is cut off: its last rows are missing")
        return loaded


def _walk(data: bytes) -> Head:
    """Walk from marker to marker, as libjpeg does, to the end of the first image.

    What may follow is not read: a phone's moving photo ends in megabytes of video, in which the
    bytes of a marker come by chance.

    Raises:
        InvalidImage: it has over `MAX_SCANS` scans or `MAX_SEGMENTS` segments.
    """
    view = memoryview(data)
    pieces: list[memoryview] = []
    exif_found, profile = b"", []
    at, copied, scans, frame = 2, 0, 0, 0
    components = b""
    for _ in range(MAX_SEGMENTS):
        found = MARKER.search(data, at)
        if found is None or found[1][0] == END_OF_IMAGE:
            break
        marker, at = found[1][0], found.end()
        if marker == START_OF_IMAGE:
            continue
        end = at + max(2, int.from_bytes(data[at : at + 2]))
        if marker in METADATA and not scans and end - at < COLOURS.get(marker, MAX_SEGMENT_BYTES):
            pieces.append(view[copied : found.start()])
            copied = end
            body = view[at + 2 : end]
            if marker == APP1 and not exif_found and body[:6] == EXIF:
                exif_found = bytes(body)
            elif marker == APP2 and body[:12] == PROFILE:
                profile.append(bytes(body[12:]))
        elif marker in FRAMES:
            frame, components = marker, data[at + 7 : at + 8]
        elif marker == START_OF_SCAN:
            scans += 1
            if frame in SEQUENTIAL and data[at + 2 : at + 3] == components:
                break  # a whole image in one scan, after which libjpeg reads no other
            if scans > MAX_SCANS:
                raise InvalidImage(f"the JPEG has more than {MAX_SCANS} scans")
        at = end
    else:
        raise InvalidImage(f"the JPEG has more than {MAX_SEGMENTS} segments")
    return Head([*pieces, view[copied:]], exif_found, _joined(profile), frame)


def _joined(parts: Sequence[bytes]) -> bytes:
    """A profile from its numbered parts; empty where some are missing (ICC.1, B.4)."""
    numbered = {part[0]: part[2:] for part in parts if len(part) > 2}
    count = parts[0][1] if parts and len(parts[0]) > 1 else 0
    if set(numbered) != set(range(1, count + 1)):
        return b""
    return b"".join(numbered[number] for number in sorted(numbered))
