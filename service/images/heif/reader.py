"""HEIC by pillow-heif, where it is installed: `swin-embed[heic]`.

It applies a file's own rotation and mirroring, which its EXIF orientation only repeats.
"""

import io

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

BRANDS = {b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs"}
GENERAL_BRANDS = {b"mif1", b"msf1"}
"""Those of HEIF with HEVC, and of HEIF with any codec: AVIF may begin so too."""

MISSING = "HEIC images need the heic extra: pip install 'swin-embed[heic]'"


def accept(head: bytes) -> bool:
    """Whether a file says to be HEIC, at its beginning or among what it is compatible with."""
    return (
        head[4:8] == b"ftyp"
        and head[8:12] in BRANDS | GENERAL_BRANDS
        and any(head[at : at + 4] in BRANDS for at in range(8, 64, 4))
    )


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
