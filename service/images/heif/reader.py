"""pillow-heif as one more of Pillow's readers, where it is installed: `swin-embed[heic]`.

It applies a file's own rotation and mirroring, which its EXIF orientation only repeats.
"""

import io

from PIL import Image
from PIL.ImageFile import ImageFile

from service.errors import ImageTooLarge
from service.images.heif.still import still
from service.images.limits import TILED

BRANDS = {b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs"}
GENERAL_BRANDS = {b"mif1", b"msf1"}
"""Those of HEIF with HEVC, and of HEIF with any codec: AVIF may begin so too."""

MISSING = "HEIC images need the heic extra: pip install 'swin-embed[heic]'"

READERS: tuple[type[ImageFile], ...] = ()


def may_be_heic(head: bytes) -> bool:
    """Whether a file's first 12 bytes may be those of HEIC."""
    return head[4:8] == b"ftyp" and head[8:12] in BRANDS | GENERAL_BRANDS


def is_heic(data: bytes) -> bool:
    """Whether a file says to be HEIC, at its beginning or among what it is compatible with."""
    return may_be_heic(data) and any(data[at : at + 4] in BRANDS for at in range(8, 64, 4))


def check(image: Image.Image, max_pixels: int) -> None:
    """Look at what an image of `READERS`, not decoded yet, is made of; at others not at all.

    Raises:
        ImageTooLarge: its tiles and its transparency, an image of its own, have far more pixels
            than an image may have.
    """
    if getattr(image, "coded_pixels", 0) > 2 * TILED * max_pixels:
        raise ImageTooLarge(f"the parts of the image have more than {max_pixels} pixels")


try:
    import pillow_heif
except ModuleNotFoundError:
    pass
else:
    pillow_heif.libheif_version()  # an installation that is broken fails here, not with a file

    # A decoder has a thread of its own, which works while its caller waits; no more than that.
    pillow_heif.options.DECODE_THREADS = 0
    pillow_heif.options.THUMBNAILS = False
    pillow_heif.options.DEPTH_IMAGES = False
    pillow_heif.options.AUX_IMAGES = False

    class HeicImageFile(pillow_heif.HeifImageFile):
        """Shows libheif the primary image only."""

        format = "HEIC"
        format_description = "HEIF with HEVC"
        coded_pixels = 0

        def _open(self) -> None:
            assert self.fp is not None  # noqa: S101 - it is what is opened
            data, self.coded_pixels = still(self.fp.read())
            self.fp = io.BytesIO(data)
            super()._open()  # type: ignore[no-untyped-call]

    Image.register_open(HeicImageFile.format, HeicImageFile, may_be_heic)
    READERS = (HeicImageFile,)
