"""The image formats that are read: a row for each."""

import re
from collections.abc import Callable
from typing import NamedTuple

from PIL import Image

from service.images import headers
from service.images.headers import Header
from service.images.heif import reader as heic
from service.images.readers import avif, bmp, gif, ico, jpeg, png, tiff, webp

SIGNATURE_BYTES = 16
"""These first bytes of a file tell whether it may be an image."""


class Format(NamedTuple):
    """A file format.

    Attributes:
        name: as people write it.
        signature: matches the beginning of its files.
        header: reads a file's size from its header, for estimates; see `headers`.
        open_image: from a file's bytes, and the most pixels it may have, to an image that is not
            decoded; raises InvalidImage, ImageTooLarge, or any error of Pillow's on damaged data.
    """

    name: str
    signature: re.Pattern[bytes]
    header: Callable[[bytes], Header | None]
    open_image: Callable[[bytes, int], Image.Image]


def _starts(pattern: bytes) -> re.Pattern[bytes]:
    return re.compile(pattern, re.DOTALL)


FORMATS = (
    Format("JPEG", _starts(rb"\xff\xd8\xff"), headers.jpeg, jpeg.open_image),
    Format("PNG", _starts(re.escape(png.SIGNATURE)), headers.png, png.open_image),
    Format("WEBP", _starts(rb"RIFF.{4}WEBP"), headers.webp, webp.open_image),
    Format("GIF", _starts(rb"GIF8[79]a"), headers.gif, gif.open_image),
    Format("BMP", _starts(rb"BM"), headers.bmp, bmp.open_image),
    Format("TIFF", _starts(b"|".join(map(re.escape, tiff.HEADS))), headers.tiff, tiff.open_image),
    Format("ICO", _starts(rb"\0\0[\1\2]\0(?!\0\0)"), headers.ico, ico.open_image),
    Format("HEIC", heic.SIGNATURE, headers.heif, heic.open_image),
    Format("AVIF", _starts(rb".{4}ftyp(avif|avis|mif1|msf1)"), headers.heif, avif.open_image),
)
"""HEIC comes before AVIF: both may begin as HEIF of any codec."""

NAMES = tuple(form.name for form in FORMATS if form.name != "HEIC" or heic.INSTALLED)
"""The names of the formats that this installation reads."""

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
    b"II\xbc": "JPEG XR",
    b"icns": "an icon of macOS",
    b"DDS ": "DDS",
    b"v/1\x01": "OpenEXR",
    b"#?RADIANCE": "Radiance HDR",
    b"%!PS": "PostScript",
    b"qoif": "QOI",
    b"PK\x03\x04": "a ZIP archive",
    b"\x1f\x8b": "a gzip file",
}
"""Other kinds of files that people send, by their first bytes."""


def format_of(data: bytes) -> Format | None:
    """The format of a file, told by its first bytes: at least `SIGNATURE_BYTES` of them."""
    for form in FORMATS:
        if form.signature.match(data):
            return form
    return None


def unknown(data: bytes) -> str:
    """The error message for data in none of the formats."""
    head = data[:SIGNATURE_BYTES].lstrip()
    other = next((name for start, name in OTHERS.items() if head.startswith(start)), None)
    if data[4:8] == b"ftyp":
        other = "a video, or an image of another kind in such a file"
    it_is = f"; it is {other}" if other else ""
    return f"the data is not an image in a known format ({', '.join(NAMES)}){it_is}"
