"""Icons and cursors: the largest image of the file, a PNG or a bitmap with a mask."""

import struct

import numpy as np
from PIL import Image

from service.errors import InvalidImage
from service.images import limits
from service.images.readers import bmp, png

ICON, CURSOR = 1, 2
MAX_ENTRIES = 1000


def open_image(data: bytes, max_pixels: int) -> Image.Image:
    """Open the largest image; one that is a bitmap is decoded at once.

    Raises:
        InvalidImage: it is damaged.
        ImageTooLarge: more than `max_pixels`.
    """
    _, kind, count = struct.unpack_from("<HHH", data)
    entries = [
        struct.unpack_from("<BBBxHHII", data, 6 + 16 * number)
        for number in range(min(count, MAX_ENTRIES, (len(data) - 6) // 16))
    ]
    if not entries:
        raise InvalidImage("the icon is damaged: it has no image")

    def rank(entry: tuple[int, ...]) -> tuple[int, int]:
        width, height, _, _, bits, _, _ = entry  # of a cursor its bits are not known
        return (width or 256) * (height or 256), bits if kind == ICON else 0

    *_, size, at = max(entries, key=rank)
    body = data[at : at + size]
    if body.startswith(png.SIGNATURE):
        return png.open_image(body, max_pixels)
    return _masked(body, max_pixels)


def _masked(body: bytes, max_pixels: int) -> Image.Image:
    """A bitmap of twice the height: below its colours, a bit for each pixel that is transparent."""
    header = bmp.read_header(body, 0)
    width, height = header.width, abs(header.height) // 2
    limits.check_size(width, height, max_pixels)
    colors = header.colors or (1 << header.bits if header.bits <= 8 else 0)
    begins = header.size + colors * (3 if header.size == bmp.CORE_HEADER else 4)
    begins += 4 * len(header.masks) if header.size == 40 else 0
    half = bytearray(body)
    half[8:12] = struct.pack("<i", height)
    head = struct.pack("<2sIII", b"BM", 0, 0, bmp.FILE_HEADER + begins)
    stride = (width * header.bits + 31) // 32 * 4
    rows = np.frombuffer(body, np.uint8, stride * height, begins).reshape(height, stride)[::-1]
    colour = bmp.open_image(head + bytes(half), max_pixels).convert("RGB")
    if header.bits == 32 and rows[:, 3::4].any():
        alpha = np.ascontiguousarray(rows[:, 3::4])
    else:
        mask_stride = (width + 31) // 32 * 4
        at = begins + stride * height
        mask = np.frombuffer(
            body[at : at + mask_stride * height].ljust(mask_stride * height, b"\0"), np.uint8
        ).reshape(height, mask_stride)[::-1]
        alpha = (1 - np.unpackbits(mask, axis=1)[:, :width]) * np.uint8(255)
    colour.putalpha(Image.fromarray(alpha))
    return colour
