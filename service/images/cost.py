"""Estimates the time and memory for decoding an image, from its header.

An image whose header has no size counts as the most expensive one that is allowed.
"""

import math
from typing import NamedTuple

from model_export.model_card import Preprocessing
from service.images import formats
from service.images.headers import CUT_OFF, Header
from service.images.preprocess import DRAFT_MARGIN

SMALL_BYTES = 64 * 1024 * 1024
"""Images that take no more memory are not counted: photos of up to about 10 million pixels."""


class Price(NamedTuple):
    """The highest cost of a format: memory and time for a pixel, time for a byte of the file."""

    pixel_bytes: float
    pixel_s: float
    byte_s: float


# Measured over flat and noisy images of each mode of 6 million pixels, and rounded up. Pillow keeps
# 4 bytes a pixel of colour, and needs as much again to put what is transparent over white; a
# progressive JPEG keeps 2 bytes for each coefficient; a WebP is decoded twice over; colour profiles
# of what is transparent take 6 bytes (docs/decisions.md).
PRICES = {
    "jpeg": Price(8.5, 12e-9, 10e-9),
    "progressive jpeg": Price(12.5, 42e-9, 10e-9),
    "arithmetic jpeg": Price(12.5, 60e-9, 150e-9),
    "jpeg without end": Price(17, 84e-9, 100e-9),  # decoded twice, whatever its coding
    "png": Price(15, 19e-9, 10e-9),
    "webp": Price(23, 34e-9, 20e-9),
    "gif": Price(9.5, 18e-9, 6e-9),
    "bmp": Price(9.5, 10e-9, 2e-9),
    "tiff": Price(23, 50e-9, 6e-9),
    "deep tiff": Price(60, 150e-9, 6e-9),
    "heif": Price(19, 35e-9, 200e-9),  # AVIF too
}
DEAREST = Price(
    *map(max, zip(*(price for name, price in PRICES.items() if name != "deep tiff"), strict=True))
)
"""Of the largest image there may be; a deep TIFF may not have as many pixels, but as many bytes."""


class Estimate(NamedTuple):
    """Seconds that one thread takes to decode an image; bytes that it takes meanwhile."""

    decode_s: float
    decode_bytes: int

    @property
    def bounded_bytes(self) -> int:
        """Memory to set aside before it is decoded: none for a small image."""
        return self.decode_bytes if self.decode_bytes > SMALL_BYTES else 0


def dearest_bytes(max_pixels: int) -> int:
    """Memory that an image of so many pixels takes while it is decoded, in the worst format."""
    return math.ceil(DEAREST.pixel_bytes * max_pixels)


class Estimates:
    """Estimates for a model and a limit.

    Args:
        recipe: the model card's preprocessing.
        max_pixels: of the largest image that is decoded.
        exact: whether every pixel of a JPEG is decoded, however large it is.
    """

    def __init__(self, recipe: Preprocessing, max_pixels: int, *, exact: bool) -> None:
        self._max_pixels = max_pixels
        self._least_side = 0 if exact else DRAFT_MARGIN * recipe.resize

    def estimate(self, data: bytes) -> Estimate:
        """The cost of an image file; zero if it will be refused."""
        form = formats.format_of(data)
        if form is None:
            return Estimate(0.0, 0)
        try:
            header = form.header(data)
        except CUT_OFF:
            header = None
        if header is None:
            return _priced(DEAREST, self._max_pixels, self._max_pixels, len(data))
        pixels = header.pixels
        if pixels > self._max_pixels:
            return Estimate(0.0, 0)
        decoded = pixels
        if header.format == "jpeg":
            decoded = self._drafted(header)
        return _priced(PRICES[header.format], pixels, decoded, len(data))

    def _drafted(self, header: Header) -> int:
        """Pixels at which libjpeg decodes an image: at 1/2, 1/4 or 1/8 of its size, or all."""
        side = min(header.width, header.height)
        fraction = 1
        while self._least_side and fraction < 8 and side / (2 * fraction) >= self._least_side:
            fraction *= 2
        return header.pixels // fraction**2


def _priced(price: Price, pixels: int, decoded: int, size: int) -> Estimate:
    # Even at a smaller size each byte of the file is read, and each block of pixels visited.
    seconds = price.pixel_s * (decoded + pixels / 8) + price.byte_s * size
    return Estimate(seconds, math.ceil(price.pixel_bytes * decoded))
