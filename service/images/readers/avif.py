"""AVIF; of a sequence the first frame. It turns as the file's own properties say, not its EXIF."""

import re

from PIL.AvifImagePlugin import AvifImageFile
from PIL.ImageFile import ImageFile

from service.images import color, limits
from service.images.readers import exif

EXIF_ITEM = re.compile(rb"(infe(?:\x02.{7}|\x03.{9}))Exif", re.DOTALL)
"""The entry of EXIF metadata in a file's list of items (ISO/IEC 14496-12, 8.11.6)."""

NCLX = re.compile(rb"colrnclx(\0.\0.)", re.DOTALL)
"""Colours as numbers of ITU-T H.273, of 16 bits each: primaries, transfer (12.1.5)."""

HIDDEN = rb"\1free"
"""Its entry under a name that libavif skips: it refuses the image where its EXIF is damaged."""


def open_image(data: bytes, max_pixels: int) -> ImageFile:
    """Open an AVIF by its header.

    Raises:
        ImageTooLarge: more than `max_pixels`.
    """
    image = AvifImageFile(limits.MeteredFile(EXIF_ITEM.sub(HIDDEN, data)))
    limits.check_size(*image.size, max_pixels)
    if "icc_profile" not in image.info and (code := NCLX.search(data)):
        primaries, transfer = code[1][1], code[1][3]
        # Curves of video are shown as that of screens, which it was graded on.
        shown = color.SRGB_CURVE if transfer in color.VIDEO else transfer
        image.info["cICP"] = bytes([primaries, shown])
    # Pillow writes EXIF for what the file's properties say.
    image.info["orientation"] = exif.orientation(image.info.get("exif", b""))
    return image
