"""TIFF: levels of any range become those of 8 bits; it turns as its own tag says, not its XMP."""

import io
import math
import struct
from collections.abc import Mapping
from typing import Any, cast

import numpy as np
from PIL import Image
from PIL.ImageFile import ImageFile
from PIL.TiffImagePlugin import TiffImageFile

from service.errors import ImageTooLarge, InvalidImage
from service.images import geometry, levels, limits
from service.images.readers.exif import ORIENTATION_TAG

HEADS = {
    b"II*\0": ("<", False),
    b"MM\0*": (">", False),
    b"II+\0": ("<", True),
    b"MM\0+": (">", True),
}

WIDTH, HEIGHT, TILE_WIDTH, TILE_HEIGHT = 256, 257, 322, 323
BITS, COMPRESSION, PHOTOMETRIC, SAMPLES = 258, 259, 262, 277
FORMAT, SMALLEST, LARGEST = 339, 340, 341
OFFSETS = 273, 324
LENGTHS = 279, 325
"""Of strips and tiles, in bytes."""

SIGNED = 2
"""A `FORMAT`."""

WHITE_IS_ZERO = 0
"""A `PHOTOMETRIC`."""

VARIANT = {
    "compression": COMPRESSION,
    "photometric interpretation": PHOTOMETRIC,
    "bits a sample": BITS,
    "sample format": FORMAT,
}

PIXEL_TAGS = {
    *(WIDTH, HEIGHT, TILE_WIDTH, TILE_HEIGHT, BITS, COMPRESSION, PHOTOMETRIC, SAMPLES, FORMAT),
    *(OFFSETS + LENGTHS),
    *(254, 255, 263, 266, 278, 284, 292, 293, 317, 320, 330, 332, 334, 338, 347),
    *range(512, 522),
    *(529, 530, 531, 532),
}
"""What pixels are read by. Of a tag that comes twice Pillow takes the last, libtiff the first."""

MAX_PARTS = 100_000
"""Strips or tiles: more than a strip a row in the tallest image that is usual."""

SHARED_BYTES = 16 * 1024 * 1024
"""Parts may be the same bytes, as empty tiles are: as many more than the file has."""

BLACK_IN_12_BITS = 15
"""The highest byte of 16-bit samples that are in the lowest 12 bits."""

SWAPPED = {"L": "B", "B": "L", "N": "B"}
"""The order of bytes that gives the lower ones of 16-bit samples, by that for the higher."""


def open_image(data: bytes, max_pixels: int) -> ImageFile:
    """Open a TIFF by its first directory.

    Raises:
        InvalidImage: it is damaged, in too many parts, or a variant that is not read.
        ImageTooLarge: more than `max_pixels`, in its tiles too.
    """
    _check_directory(data)
    image = _Tiff(limits.MeteredFile(data))
    limits.check_size(*image.size, max_pixels)
    _check_parts(image.tag_v2, len(data), max_pixels)
    return image


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

    def load(self) -> Any:  # noqa: ANN401 - Pillow's own
        if not self.tile:
            return super().load()
        file, tile = cast("io.BytesIO", self.fp), self.tile
        loaded = super().load()
        bits: tuple[int, ...] = self.tag_v2.get(BITS, (1,))
        if self.mode in {"F", "I"} or self.mode.startswith("I;16"):
            self._scale_grey()
        elif max(bits) == 16 and self._is_dark():
            self._scale_colour(file, tile)
        return Image.Image.load(self) if self.mode == "L" else loaded

    def load_end(self) -> None:
        turn = geometry.TURNS.get(self.tag_v2.get(ORIENTATION_TAG, 1), geometry.TURNS[1])
        if turn.transpose is not None:
            self.im = self.im.transpose(turn.transpose)
            self._size = self.im.size

    def _scale_grey(self) -> None:
        """Grey of more than 8 bits to 8, but for 16 bits that are all used: `rgb` does those."""
        grey: levels.Levels = np.asarray(self)
        if self.mode == "I" and _first(self.tag_v2.get(FORMAT)) != SIGNED:
            grey = grey.view(np.uint32)
        scale = self._said() or levels.found(grey)
        inverted = self.tag_v2.get(PHOTOMETRIC) == WHITE_IS_ZERO
        if self.mode.startswith("I;16") and scale == levels.FULL_16_BITS and not inverted:
            return
        eight = levels.to_eight_bits(grey, scale)
        self.im = Image.fromarray(255 - eight if inverted else eight).im
        self._mode = "L"

    def _said(self) -> levels.Range | None:
        """The range that the file says its levels have."""
        black, white = (_first(self.tag_v2.get(tag)) for tag in (SMALLEST, LARGEST))
        if white is None or not math.isfinite(white) or not (black or 0) < white:
            return None
        return levels.Range(black or 0, white)

    def _is_dark(self) -> bool:
        """Whether no sample has any of the highest 4 of its 16 bits."""
        return int(np.asarray(self)[..., :3].max()) <= BLACK_IN_12_BITS

    def _scale_colour(self, file: io.BytesIO, tile: list[Any]) -> None:
        """Samples of 16 bits that use the lowest 12, of which Pillow kept the highest 8.

        Reading them in the other byte order gives the lowest 8.
        """
        lower = _Tiff(limits.MeteredFile(file.getvalue()))
        lower.tile = [
            part._replace(args=(part.args[0][:-1] + SWAPPED[part.args[0][-1]], *part.args[1:]))
            for part in tile
        ]
        TiffImageFile.load(lower)
        samples = np.asarray(self).astype(np.uint16) << 8 | np.asarray(lower)  # [h, w, n]
        colour = samples[..., : 4 if self.mode == "CMYK" else 3]
        scale = self._said() or levels.found(colour)
        eight = np.asarray(self).copy()
        eight[..., : colour.shape[2]] = levels.to_eight_bits(colour, scale)
        self.im = Image.fromarray(eight, self.mode).im


def _first(value: object) -> Any:  # noqa: ANN401 - a number of any kind
    return value[0] if isinstance(value, tuple) and value else value


def _check_directory(data: bytes) -> None:
    """Look at the first directory; TIFF 6.0, section 2; BigTIFF has wider numbers."""
    order, big = HEADS[data[:4]]
    first, length, entry = ("8xQ", "Q", "HHQQ") if big else ("4xI", "H", "HHII")
    try:
        (at,) = struct.unpack_from(order + first, data)
        (entries,) = struct.unpack_from(order + length, data, at)
        at += struct.calcsize(order + length)
    except (OverflowError, struct.error):
        raise InvalidImage("the TIFF is damaged: its first directory is not there") from None
    # A directory may claim more entries than there are; Pillow takes those that are there.
    size = struct.calcsize(order + entry)
    there = min(entries, max(0, len(data) - at) // size)
    counts: dict[int, int] = {}
    for tag, _, count, _ in struct.iter_unpack(order + entry, data[at : at + there * size]):
        if tag in counts and tag in PIXEL_TAGS:
            raise InvalidImage(f"the TIFF has tag {tag} twice: two pictures in one")
        counts[tag] = count
    parts = max(counts.get(tag, 0) for tag in OFFSETS + LENGTHS)
    if parts > MAX_PARTS:
        raise InvalidImage(f"the TIFF is in {parts} parts, more than {MAX_PARTS}")


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
