"""GIF; of an animation the first frame."""

from typing import Any

from PIL import Image
from PIL.GifImagePlugin import GifImageFile
from PIL.ImageFile import ImageFile

from service.images import limits


def open_image(data: bytes, max_pixels: int) -> ImageFile:
    """Open a GIF by the header of its first frame.

    Raises:
        ImageTooLarge: more than `max_pixels`.
    """
    width, height = (int.from_bytes(data[at : at + 2], "little") for at in (6, 8))
    limits.check_size(width, height, max_pixels)
    return _Gif(limits.MeteredFile(data))


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
