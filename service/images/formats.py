"""The formats that are taken, each with its reader; what a file is, by its first bytes."""

from collections.abc import Callable
from typing import NamedTuple

from PIL import Image

from service.images.heif import reader as heic
from service.images.readers import avif, bmp, gif, ico, jpeg, png, tiff, webp

SIGNATURE_BYTES = 16
"""As many as tell whether a file may be an image."""


class Format(NamedTuple):
    """A file format.

    Attributes:
        name: as people write it.
        accept: whether a file, or its beginning, is of this format.
        open_image: from a file's bytes, and the most pixels it may have, to an image that is not
            decoded; raises InvalidImage, ImageTooLarge, or whatever Pillow does on damaged data.
    """

    name: str
    accept: Callable[[bytes], bool]
    open_image: Callable[[bytes, int], Image.Image]


FORMATS = (
    Format("JPEG", jpeg.accept, jpeg.open_image),
    Format("PNG", png.accept, png.open_image),
    Format("WEBP", webp.accept, webp.open_image),
    Format("GIF", gif.accept, gif.open_image),
    Format("BMP", bmp.accept, bmp.open_image),
    Format("TIFF", tiff.accept, tiff.open_image),
    Format("ICO", ico.accept, ico.open_image),
    Format("HEIC", heic.accept, heic.open_image),
    Format("AVIF", avif.accept, avif.open_image),
)
"""HEIC is asked before AVIF: both may begin as HEIF of any codec."""

NAMES = tuple(form.name for form in FORMATS if form.name != "HEIC" or heic.INSTALLED)
"""Of those that this installation reads."""

OTHERS = {
    b"%PDF": "a PDF",
    b"<svg": "an SVG",
    b"<?xml": "XML, perhaps an SVG",
    b"<!DOCTYPE": "a web page",
    b"<html": "a web page",
    b"8BPS": "a Photoshop file",
    b"\xff\x0a": "JPEG XL",
    b"\0\0\0\x0cJXL ": "JPEG XL",
    b"\0\0\0\x0cjP  ": "JPEG 2000",
    b"\xff\x4f\xff\x51": "JPEG 2000",
    b"qoif": "QOI",
    b"PK\x03\x04": "a ZIP archive",
    b"\x1f\x8b": "a gzip file",
}
"""What is sent in place of an image, by its first bytes."""


def format_of(data: bytes) -> Format | None:
    """The format that a file, or at least its first `SIGNATURE_BYTES`, may be in."""
    return next((form for form in FORMATS if form.accept(data)), None)


def unknown(data: bytes) -> str:
    """What to say of data in none of the formats."""
    head = data[:SIGNATURE_BYTES].lstrip()
    other = next((name for start, name in OTHERS.items() if head.startswith(start)), None)
    it_is = f"; it is {other}" if other else ""
    return f"the data is not an image in a known format ({', '.join(NAMES)}){it_is}"
