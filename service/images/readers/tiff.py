"""TIFF: the decoder is handed the tags that pixels need; its own tag turns it, and not its XMP."""

import math
import struct
from collections.abc import Mapping

from PIL import Image
from PIL.TiffImagePlugin import ImageFileDirectory_v2, TiffImageFile

from service.errors import ImageTooLarge, InvalidImage
from service.images import geometry, limits
from service.images.readers import tiff_samples
from service.images.readers.exif import ORIENTATION_TAG

HEADS = {
    b"II*\0": ("<", False),
    b"MM\0*": (">", False),
    b"II+\0": ("<", True),
    b"MM\0+": (">", True),
}

WIDTH, HEIGHT, TILE_WIDTH, TILE_HEIGHT = 256, 257, 322, 323
BITS, COMPRESSION, PHOTOMETRIC, SAMPLES = 258, 259, 262, 277
FORMAT, PROFILE_TAG = 339, 34675
OFFSETS = 273, 324
LENGTHS = 279, 325
"""Of strips and tiles, in bytes."""

WEBP = 50001
"""A `COMPRESSION` that Pillow's libtiff is built without."""

VARIANT = {
    "compression": COMPRESSION,
    "photometric interpretation": PHOTOMETRIC,
    "bits a sample": BITS,
    "sample format": FORMAT,
}

ABOUT_PIXELS = {ORIENTATION_TAG, PROFILE_TAG}
"""How to show pixels, which can be had without."""

PIXEL_TAGS = {
    *(WIDTH, HEIGHT, TILE_WIDTH, TILE_HEIGHT, BITS, COMPRESSION, PHOTOMETRIC, SAMPLES, FORMAT),
    *(OFFSETS + LENGTHS),
    *(254, 255, 263, 266, 278, 284, 292, 293, 317, 320, 330, 332, 334, 338, 347),
    *range(512, 522),
    *(340, 341, 529, 530, 531, 532),
    *ABOUT_PIXELS,
}
"""What pixels are read by. Of a tag that comes twice Pillow takes the last, libtiff the first."""

MAX_PARTS = 100_000
"""Strips or tiles: more than a strip a row in the tallest image that is usual."""

SHARED_BYTES = 16 * 1024 * 1024
"""Parts may be the same bytes, as empty tiles are: as many more than the file has."""


def open_image(data: bytes, max_pixels: int) -> Image.Image:
    """Open a TIFF by its first directory; what Pillow does not read rightly is decoded at once.

    Raises:
        InvalidImage: it is damaged, in too many parts, or a variant that is not read.
        ImageTooLarge: more than `max_pixels`, in its tiles too.
    """
    order, is_big = HEADS[data[:4]]
    file = limits.MeteredFile(_with_pixel_tags(data))
    tags = ImageFileDirectory_v2(file.read(16 if is_big else 8))
    file.seek(tags.next)
    tags.load(file)
    width, height = tags.get(WIDTH), tags.get(HEIGHT)
    if not (isinstance(width, int) and isinstance(height, int) and width > 0 and height > 0):
        raise InvalidImage("the TIFF is damaged: it has no size")
    limits.check_size(width, height, max_pixels)
    _check_parts(tags, len(data), max_pixels)
    if tags.get(COMPRESSION) == WEBP:
        raise InvalidImage("the TIFF is compressed as WebP, a variant that is not read")
    if not tiff_samples.accept(tags):
        file.seek(0)
        return _Tiff(file)
    del file  # as large as the data
    image = tiff_samples.read(data, tags, order, max_pixels)
    turn = geometry.TURNS.get(tags.get(ORIENTATION_TAG, 1), geometry.TURNS[1])
    upright = image if turn.transpose is None else image.transpose(turn.transpose)
    if profile := tags.get(PROFILE_TAG):
        upright.info["icc_profile"] = profile
    return upright


class _Tiff(TiffImageFile):
    """Turned while it is decoded, as Pillow does it, but by its tag alone."""

    def _setup(self) -> None:
        try:
            super()._setup()
        except (KeyError, SyntaxError) as error:
            said = ", ".join(
                f"{name} {self.tag_v2.get(tag, 'not given')}" for name, tag in VARIANT.items()
            )
            raise InvalidImage(f"the TIFF is a variant that is not read: {said}") from error

    def load_end(self) -> None:
        turn = geometry.TURNS.get(self.tag_v2.get(ORIENTATION_TAG, 1), geometry.TURNS[1])
        if turn.transpose is not None:
            self.im = self.im.transpose(turn.transpose)
            self._size = self.im.size


def _with_pixel_tags(data: bytes) -> bytes:
    """The file with a first directory that has the tags which pixels need, and is the only one.

    TIFF 6.0, section 2; BigTIFF has wider numbers.

    Raises:
        InvalidImage: it is damaged, or in too many parts.
    """
    order, is_big = HEADS[data[:4]]
    first, length, entry = ("Q", "Q", "HHQQ") if is_big else ("I", "H", "HHII")
    head = 8 if is_big else 4
    try:
        (at,) = struct.unpack_from(order + first, data, head)
        (entries,) = struct.unpack_from(order + length, data, at)
        at += struct.calcsize(order + length)
    except (OverflowError, struct.error):
        raise InvalidImage("the TIFF is damaged: its first directory is not there") from None
    # A directory may claim more entries than there are; Pillow takes those that are there.
    size = struct.calcsize(order + entry)
    there = min(entries, max(0, len(data) - at) // size)
    counts: dict[int, int] = {}
    kept: list[bytes] = []
    for start in range(at, at + there * size, size):
        tag, _, count, _ = struct.unpack_from(order + entry, data, start)
        if tag not in PIXEL_TAGS:
            continue
        if tag in counts and tag in ABOUT_PIXELS:
            continue  # the first counts
        if tag in counts:
            raise InvalidImage(f"the TIFF has tag {tag} twice: two pictures in one")
        counts[tag] = count
        kept.append(data[start : start + size])
    parts = max(counts.get(tag, 0) for tag in OFFSETS + LENGTHS)
    if parts > MAX_PARTS:
        raise InvalidImage(f"the TIFF is in {parts} parts, more than {MAX_PARTS}")
    begins = struct.pack(order + first, len(data))
    rest = memoryview(data)[head + len(begins) :]
    directory = struct.pack(order + length, len(kept)) + b"".join(kept)
    return b"".join([data[:head], begins, rest, directory, bytes(len(begins))])


def _check_parts(tags: Mapping[int, object], size: int, max_pixels: int) -> None:
    """Look at the strips or tiles of a TIFF of so many bytes.

    Raises:
        ImageTooLarge: its tiles, which are decoded whole, reach far beyond the image.
        InvalidImage: it has the same bytes decoded over and over.
    """
    covered = math.prod(
        math.ceil(side / tile) * tile
        for side, tile in (
            (tags.get(WIDTH), tags.get(TILE_WIDTH)),
            (tags.get(HEIGHT), tags.get(TILE_HEIGHT)),
        )
        if isinstance(side, int) and isinstance(tile, int) and tile > 0
    )
    if covered > limits.TILED * max_pixels:
        raise ImageTooLarge(f"the tiles of the image have more than {max_pixels} pixels")
    for tag in LENGTHS:
        given = tags.get(tag, ())
        lengths = given if isinstance(given, tuple) else ()
        if sum(length for length in lengths if isinstance(length, int)) > size + SHARED_BYTES:
            raise InvalidImage("the parts of the TIFF are larger than its file")
