"""HEIC by pillow-heif, where it is installed: `swin-embed[heic]`.

It applies a file's own rotation and mirroring, which its EXIF orientation only repeats.
"""

import io
import re

from PIL import Image

from service.errors import ImageTooLarge, InvalidImage
from service.images.heif.still import still
from service.images.limits import TILED, check_size

try:
    import pillow_heif
except ModuleNotFoundError:
    INSTALLED = False
else:
    pillow_heif.libheif_version()  # an installation that is broken fails here, not with a file
    INSTALLED = True

BRAND = rb"(?:hei[cxms]|hev[cxms])"
SIGNATURE = re.compile(rb".{4}ftyp(?=%b|mif1|msf1)(?:.{4}){0,13}?%b" % (BRAND, BRAND), re.DOTALL)
"""HEIF that names HEVC, first or among the brands it is compatible with. `mif1` and `msf1` name no
codec: AVIF may begin with them too."""

MISSING = "HEIC images need the heic extra: pip install 'swin-embed[heic]'"


def configure() -> None:
    """Set what libheif reads and how, for the whole process.

    A decoder has a thread of its own, which works while its caller waits; no more than that.
    """
    if INSTALLED:
        pillow_heif.options.DECODE_THREADS = 0
        pillow_heif.options.THUMBNAILS = False
        pillow_heif.options.DEPTH_IMAGES = False
        pillow_heif.options.AUX_IMAGES = False


def open_image(data: bytes, max_pixels: int) -> Image.Image:
    """Open a HEIC of which libheif is shown the primary image only.

    Raises:
        InvalidImage: it is damaged, or the extra is not installed.
        ImageTooLarge: its tiles and its transparency, an image of its own, have far more pixels
            than an image may have.
    """
    if not INSTALLED:
        raise InvalidImage(MISSING)
    shown, coded_pixels = still(data)
    image: Image.Image = pillow_heif.HeifImageFile(  # type: ignore[no-untyped-call]
        io.BytesIO(shown)
    )
    check_size(*image.size, max_pixels)
    if coded_pixels > 2 * TILED * max_pixels:
        raise ImageTooLarge(f"the parts of the image have more than {max_pixels} pixels")
    return image
