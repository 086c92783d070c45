"""Bytes of an image file to a decoded picture, or one error that says why not."""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import NamedTuple

from PIL import Image

from service.errors import ImageTooLarge, InvalidImage, ServiceError
from service.images import formats, geometry, limits
from service.images.geometry import Turn
from service.images.heif import reader as heic


class Opened(NamedTuple):
    """An image by its header, not decoded yet, and the name of its format, such as `jpeg`."""

    image: Image.Image
    format: str


def configure(max_pixels: int) -> None:
    """Set the limits that decoders keep for a whole process, once, before it decodes.

    Args:
        max_pixels: of the largest image that is decoded.
    """
    limits.configure_pillow(max_pixels)
    heic.configure()


def open_image(data: bytes, max_pixels: int) -> Opened:
    """Open an image file by its header.

    Raises:
        InvalidImage: not an image of a format in `FORMATS`, a damaged one or a variant that is not
            read.
        ImageTooLarge: more than `max_pixels`, or a side over `limits.MAX_SIDE`.
    """
    if not data:
        raise InvalidImage("the image is empty: it has no bytes")
    form = formats.format_of(data)
    if form is None:
        raise InvalidImage(formats.unknown(data))
    with _named(form.name, "cannot be read"):
        image = form.open_image(data, max_pixels)
    limits.check_size(*image.size, max_pixels)
    return Opened(image, form.name.lower())


def load(opened: Opened) -> None:
    """Decode an image, which may be turned by that; once it is decoded, do nothing.

    Raises:
        InvalidImage: it is damaged.
    """
    image = opened.image
    said = image.size
    with named_errors(opened):
        image.load()
    if image.size not in (said, said[::-1]):
        raise InvalidImage("the image has another size than it says")


def turn_of(image: Image.Image) -> Turn:
    """What turns a decoded image upright."""
    return geometry.TURNS.get(image.info.get("orientation", 1), geometry.TURNS[1])


def named_errors(opened: Opened) -> AbstractContextManager[None]:
    """Have what decoding raises, which may be anything on damaged data, as InvalidImage."""
    return _named(opened.format.upper(), "is damaged")


@contextmanager
def _named(name: str, what: str) -> Iterator[None]:
    try:
        yield
    except (MemoryError, ServiceError):
        raise
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise ImageTooLarge("the image has more pixels than allowed") from error
    except Exception as error:
        reason = str(error).split("\n", 1)[0] or type(error).__name__
        raise InvalidImage(f"the {name} {what}: {reason}") from error
