"""GIF; of an animation the first frame."""

from PIL.GifImagePlugin import GifImageFile
from PIL.ImageFile import ImageFile

from service.images import limits


def accept(head: bytes) -> bool:
    return head.startswith((b"GIF87a", b"GIF89a"))


def open_image(data: bytes, max_pixels: int) -> ImageFile:
    """Open a GIF by the header of its first frame.

    Raises:
        ImageTooLarge: more than `max_pixels`.
    """
    width, height = (int.from_bytes(data[at : at + 2], "little") for at in (6, 8))
    limits.check_size(width, height, max_pixels)
    return GifImageFile(limits.MeteredFile(data))
