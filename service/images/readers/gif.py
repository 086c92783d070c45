"""GIF; of an animation the first frame, and of what stands before it only how it is shown."""

from typing import Any

from PIL import Image
from PIL.GifImagePlugin import GifImageFile
from PIL.ImageFile import ImageFile

from service.errors import InvalidImage
from service.images import limits

FRAME, EXTENSION = b"\x2c", b"\x21"
GRAPHIC_CONTROL = b"\xf9\x04"
"""An extension that says what is transparent, with the length of its one block."""


def open_image(data: bytes, max_pixels: int) -> ImageFile:
    """Open a GIF by the header of its first frame.

    Raises:
        ImageTooLarge: more than `max_pixels`.
    """
    width, height = (int.from_bytes(data[at : at + 2], "little") for at in (6, 8))
    limits.check_size(width, height, max_pixels)
    return _Gif(limits.MeteredFile(_without_extensions(data)))


def _without_extensions(data: bytes) -> bytes:
    """The file without comments and the like before its first frame (GIF89a, 23 to 26).

    Raises:
        InvalidImage: it has no frame, or is in too many parts.
    """
    flags = data[10]
    at = begins = 13 + (3 << (flags & 7) + 1 if flags & 0x80 else 0)
    shown = b""
    for _ in range(limits.FREE_READS + len(data) // limits.BYTES_PER_READ):
        mark = data[at : at + 1]
        if mark == FRAME:
            return data[:begins] + shown + data[at:]
        if mark != EXTENSION:
            break
        start, at = at, at + 2
        while at < len(data) and data[at]:
            at += data[at] + 1
        at += 1
        if data[start + 1 : start + 3] == GRAPHIC_CONTROL and at - start == 8:
            shown = data[start:at]
    else:
        raise InvalidImage("the GIF is in too many small parts to be read")
    raise InvalidImage("the GIF is damaged: it has no frame")


class _Gif(GifImageFile):
    """A GIF that is transparent where its first frame does not reach, as browsers show it."""

    def load(self) -> Any:  # noqa: ANN401 - Pillow's own
        if not self.tile:
            return super().load()
        box = self.tile[0].extents
        loaded = super().load()
        if box in (None, (0, 0, *self.size)):
            return loaded
        frame = self.convert("RGBA").crop(box)
        canvas = Image.new("RGBA", self.size)
        canvas.paste(frame, box)
        self._mode, self.im, self.palette = canvas.mode, canvas.im, None
        self.info.pop("transparency", None)
        return Image.Image.load(self)
