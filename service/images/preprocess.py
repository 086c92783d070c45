"""Image bytes to the pixels the network was trained on: uint8 `[crop, crop, 3]`, RGB."""

import math

import numpy as np
from PIL import Image
from PIL.AvifImagePlugin import AvifImageFile
from PIL.BmpImagePlugin import BmpImageFile
from PIL.GifImagePlugin import GifImageFile
from PIL.ImageFile import ImageFile
from PIL.JpegImagePlugin import JpegImageFile
from PIL.PngImagePlugin import PngImageFile
from PIL.TiffImagePlugin import TiffImageFile
from PIL.WebPImagePlugin import WebPImageFile

from model_export.model_card import Preprocessing
from service.errors import ImageTooLarge, InvalidImage, ServiceError
from service.images import geometry, limits
from service.images.geometry import Box, Size
from service.images.heif import reader as heic
from service.types import Picture

READERS: tuple[type[ImageFile], ...] = (
    JpegImageFile,
    PngImageFile,
    WebPImageFile,
    GifImageFile,
    BmpImageFile,
    TiffImageFile,
    AvifImageFile,
    *heic.READERS,
)
"""Pillow's, of the formats that are taken; it knows no other unless it is asked to look."""

FORMATS = tuple(str(reader.format) for reader in READERS)

SIGNATURE_BYTES = 16
"""As many as Pillow hands to a format that is asked whether a file is its own."""

MAX_SIDE = 65_535
"""The longest side that a JPEG can have, for all formats: long lines cost far more than squares."""

ORIENTATION_TAG = 0x0112

GREY = ((np.arange(65536) + 128) // 257).astype(np.uint8)
"""16 bits to 8: 65535 / 257 = 255, rounded to nearest."""

DRAFT_MARGIN = 2.0
"""A JPEG is decoded at no less than this many times the size it is resized to."""

REDUCING_GAP = 3.0
"""An image is averaged down to no less than this many times the size it is resized to."""

EXACT_REDUCING_GAP = 64.0
"""The same where no difference may be seen: bounds the memory that resampling takes."""


INTERPOLATIONS = {
    "bicubic": Image.Resampling.BICUBIC,
    "bilinear": Image.Resampling.BILINEAR,
    "lanczos": Image.Resampling.LANCZOS,
}


def preprocess(
    data: bytes, recipe: Preprocessing, max_pixels: int, *, exact: bool = False
) -> Picture:
    """Decode an image, turn it upright, resize it and cut the centre.

    Resize and crop are one pass: only the part that is kept is resampled, at the positions at which
    resizing the whole image would have sampled it. Of an animation it is the first frame.

    Args:
        data: the encoded file.
        recipe: the model card's preprocessing.
        max_pixels: largest width x height that is decoded.
        exact: decode and resample every pixel, so that the result is within one grey level of
            resizing the whole image and then cropping it. Otherwise large JPEGs are decoded at a
            fraction of their size and large images averaged down before they are resampled, by
            the margins in `DRAFT_MARGIN` and `REDUCING_GAP`.

    Returns:
        Its pixels, `[recipe.crop, recipe.crop, 3]`, the size it was stored in (that of an image
        which its reader turns upright, TIFF and HEIC, is as it comes from there), and its format.

    Raises:
        InvalidImage: not an image of a format in `FORMATS`, or a damaged one.
        ImageTooLarge: more than `max_pixels` or a side over `MAX_SIDE`, known from the header
            before anything is decoded; or more than there is memory for.
    """
    try:
        return _preprocess(data, recipe, max_pixels, exact=exact)
    except MemoryError as error:
        raise ImageTooLarge("there is not enough memory for the image") from error


def _preprocess(data: bytes, recipe: Preprocessing, max_pixels: int, *, exact: bool) -> Picture:
    image = _open(data, max_pixels)
    try:
        if isinstance(image, TiffImageFile):
            limits.check_parts(image, len(data), max_pixels)
        heic.check(image, max_pixels)
        if isinstance(image, PngImageFile):
            _to_pixel_bits(image)
        if not isinstance(image, JpegImageFile):  # which has to be asked first, to be drafted
            _load(image)  # Pillow turns a TIFF upright here, and then takes its tag away
        size = image.size
        turn = geometry.TURNS.get(image.getexif().get(ORIENTATION_TAG, 1), geometry.TURNS[1])
        resized = geometry.resized_size(size, turn, recipe)
        scale = 1.0 if exact else _draft(image, resized)
        _load(image)
        rgb = to_rgb(image)
    except (MemoryError, ServiceError):
        raise
    except Exception as error:  # a decoder may raise anything on damaged data
        raise InvalidImage(f"the image is damaged: {_reason(error)}") from error
    left, top, right, bottom = geometry.crop_box(size, resized, turn, recipe)
    pixels = _resample(
        rgb,
        recipe,
        (left * scale, top * scale, right * scale, bottom * scale),
        columns_first=geometry.columns_first(
            geometry.upright(size, turn), geometry.upright(resized, turn)
        )
        != turn.swaps_axes,
        reducing_gap=EXACT_REDUCING_GAP if exact else REDUCING_GAP,
    )
    if turn.transpose is not None:
        pixels = pixels.transpose(turn.transpose)
    return Picture(np.asarray(pixels), *size, str(image.format).lower())


def may_be_image(head: bytes) -> bool:
    """Whether a file's first `SIGNATURE_BYTES` are those of a format in `FORMATS`."""
    # A format that this Pillow was built without answers with a warning's text.
    return any(
        (answer := accept(head)) and not isinstance(answer, str)
        for form in FORMATS
        if (accept := Image.OPEN[form][1])
    )


def _open(data: bytes, max_pixels: int) -> Image.Image:
    # Pillow's own guard against decompression bombs must not be lower than the operator's limit.
    Image.MAX_IMAGE_PIXELS = max(Image.MAX_IMAGE_PIXELS or 0, max_pixels)
    if not data:
        raise InvalidImage("the image is empty: it has no bytes")
    limits.check(data)
    try:
        image = Image.open(limits.MeteredFile(data), formats=FORMATS)
    except (MemoryError, ServiceError):
        raise
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise ImageTooLarge(f"the image has more than {max_pixels} pixels") from error
    except Exception as error:
        if heic.is_heic(data) and not heic.READERS:
            raise InvalidImage(heic.MISSING) from error
        known = ", ".join(FORMATS)
        raise InvalidImage(f"the data is not an image in a known format ({known})") from error
    width, height = image.size
    if width * height > max_pixels:
        raise ImageTooLarge(
            f"the image is {width} x {height}, more than the {max_pixels} pixels allowed; "
            "scale it down before sending"
        )
    if max(width, height) > MAX_SIDE:
        raise ImageTooLarge(f"the image is {width} x {height}, a side has at most {MAX_SIDE}")
    return image


def _to_pixel_bits(image: PngImageFile) -> None:
    """Of a PNG not decoded yet: the transparent colour, which Pillow leaves in the file's bits."""
    colour = image.info.get("transparency")
    if colour is None:
        return
    match [tile.args for tile in image.tile]:
        case ["L;2"]:
            image.info["transparency"] = (colour & 3) * 85
        case ["L;4"]:
            image.info["transparency"] = (colour & 15) * 17
        case ["RGB;16B"]:
            image.info["transparency"] = tuple(level >> 8 for level in colour)


def _load(image: Image.Image) -> None:
    """Decode an image, which may be turned by that; once it is decoded, do nothing."""
    said = image.size
    image.load()
    if image.size not in (said, said[::-1]):
        raise InvalidImage("the image has another size than it says")


def _draft(image: Image.Image, resized: Size) -> float:
    """Have a JPEG decoded at 1/2, 1/4 or 1/8 of its size where that is enough; the scale chosen."""
    across, down = (math.ceil(DRAFT_MARGIN * side) for side in resized)
    width = image.width
    drafted = image.draft(None, (across, down))
    return drafted[1][2] / width if drafted else 1.0


def to_rgb(image: Image.Image) -> Image.Image:
    """Any mode to RGB: transparency over white, 16 bits a channel scaled to 8."""
    if image.mode.startswith("I"):
        # Pillow would clip 16-bit grey to 255 where it has to be scaled.
        grey = np.asarray(image)
        levels = GREY[grey if grey.dtype == np.uint16 else grey.clip(0, 65535)]
        if "transparency" in image.info:  # the grey that is transparent
            levels[grey == image.info["transparency"]] = 255
        return Image.fromarray(levels).convert("RGB")
    if image.has_transparency_data:
        rgba = image if image.mode == "RGBA" else image.convert("RGBA")
        rgb = Image.new("RGB", rgba.size, "white")
        rgb.paste(rgba, mask=rgba)  # alpha_composite would take three copies more
        return rgb
    return image if image.mode == "RGB" else image.convert("RGB")  # which would copy it


def _resample(
    image: Image.Image,
    recipe: Preprocessing,
    box: Box,
    *,
    columns_first: bool,
    reducing_gap: float,
) -> Image.Image:
    """Resize what is in the box to the crop's size, in the order that was asked for.

    Pillow resamples in one direction, rounds, and then in the other.
    """
    resampling = INTERPOLATIONS[recipe.interpolation]
    side = recipe.crop
    if columns_first != geometry.columns_first(image.size, (side, side)):
        left, top, right, bottom = box
        if columns_first:
            size, first = (image.width, side), (0.0, top, float(image.width), bottom)
            box = (left, 0, right, side)
        else:
            size, first = (side, image.height), (left, 0.0, right, float(image.height))
            box = (0, top, side, bottom)
        image = image.resize(size, resampling, first, reducing_gap)
    return image.resize((side, side), resampling, box, reducing_gap)


def _reason(error: Exception) -> str:
    return str(error).split("\n", 1)[0] or type(error).__name__
