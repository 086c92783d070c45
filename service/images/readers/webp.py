"""WebP; of an animation the first frame."""

from PIL.ImageFile import ImageFile
from PIL.WebPImagePlugin import WebPImageFile

from service.errors import InvalidImage
from service.images import limits
from service.images.readers import exif

HEAD_BYTES = 30
"""The first chunk of each kind says the size within these (RFC 9649, 2.5 to 2.7)."""


def open_image(data: bytes, max_pixels: int) -> ImageFile:
    """Open a WebP by its header; the decoder takes the canvas's memory when it is made.

    Raises:
        InvalidImage: it is damaged.
        ImageTooLarge: more than `max_pixels`.
    """
    limits.check_size(*_size(data[:HEAD_BYTES]), max_pixels)
    image = WebPImageFile(limits.MeteredFile(data))
    image.info["orientation"] = exif.orientation(image.info.get("exif", b""))
    return image


def _size(head: bytes) -> tuple[int, int]:
    match head[12:16]:
        case b"VP8 ":
            width, height = (int.from_bytes(head[at : at + 2], "little") for at in (26, 28))
            return width & 0x3FFF, height & 0x3FFF
        case b"VP8L":
            bits = int.from_bytes(head[21:25], "little")
            return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
        case b"VP8X":
            width, height = (int.from_bytes(head[at : at + 3], "little") for at in (24, 27))
            return width + 1, height + 1
    raise InvalidImage("the WebP is damaged: it does not begin with an image")
