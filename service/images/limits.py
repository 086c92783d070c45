"""Files that are small to send and long to read: refused before most of the work is done.

Pillow bounds what it inflates, but not how often a file may make it go round. `docs/decisions.md`
has what each kind took without these bounds.
"""

import io
import os

from PIL import Image

from service.errors import ImageTooLarge, InvalidImage

FREE_READS = 10_000
BYTES_PER_READ = 512
"""Readers take a few bytes at a time of what stands around pixels; of pixels 64 KiB."""

MAX_SCANS = 20
"""Of a JPEG: each costs a pass over all pixels. libjpeg writes 10 for colour and 18 for CMYK
(jcparam.c, jpeg_simple_progression), mozjpeg and jpegli no more than 16."""

MAX_SIDE = 65_535
"""The longest side that a JPEG can have, for all formats: long lines cost far more than squares."""

TILED = 1.25
"""Tiles reach over an image's edges: they may have this many times the pixels it may have."""


def configure_pillow(max_pixels: int) -> None:
    """Set the limits that Pillow and libtiff keep for a whole process, once, before it decodes.

    Pillow's own guard against decompression bombs must not be lower than the operator's limit.
    """
    Image.MAX_IMAGE_PIXELS = max(Image.MAX_IMAGE_PIXELS or 0, max_pixels)
    # libtiff reads a JPEG in each part of a TIFF, and lets it have 100 scans unless told otherwise.
    os.environ.setdefault("LIBTIFF_JPEG_MAX_ALLOWED_SCAN_NUMBER", str(MAX_SCANS))


class MeteredFile(io.BytesIO):
    """A file in memory that can be read a number of times that grows with its length.

    What a format's reader does between two reads is short, so this bounds the time it takes for
    millions of empty chunks, comments or fill bytes.
    """

    def __init__(self, data: bytes) -> None:
        super().__init__(data)
        self._reads_left = FREE_READS + len(data) // BYTES_PER_READ

    def read(self, size: int | None = -1, /) -> bytes:
        """Bytes from where the last read ended.

        Raises:
            InvalidImage: it has been read too often.
        """
        self._reads_left -= 1
        if self._reads_left < 0:
            raise InvalidImage("the image is in too many small parts to be read")
        return super().read(size)


def check_size(width: int, height: int, max_pixels: int) -> None:
    """Look at the size that a file says.

    Raises:
        ImageTooLarge: more than `max_pixels`, or a side over `MAX_SIDE`.
    """
    if width * height > max_pixels:
        raise ImageTooLarge(
            f"the image is {width} x {height}, more than the {max_pixels} pixels allowed; "
            "scale it down before sending"
        )
    if max(width, height) > MAX_SIDE:
        raise ImageTooLarge(f"the image is {width} x {height}, a side has at most {MAX_SIDE}")
