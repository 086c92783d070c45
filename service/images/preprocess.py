"""Image bytes to the pixels the network was trained on: uint8 `[crop, crop, 3]`, RGB."""

import math
from functools import partial

import numpy as np
from PIL import Image
from PIL.JpegImagePlugin import JpegImageFile

from model_export.model_card import ColorProfiles, Preprocessing
from service.errors import ImageTooLarge
from service.images import color, decoding, geometry
from service.images.geometry import Box, Size
from service.images.rgb import to_rgb
from service.types import Picture

DRAFT_MARGIN = 2.0
"""A JPEG is decoded at no less than this many times the size it is resized to."""

REDUCING_GAP = 3.0
"""An image is averaged down to no less than this many times the size it is resized to."""

EXACT_REDUCING_GAP = 64.0
"""The same where no difference may be seen: bounds the memory that resampling takes."""

MOST_OBLONG = 16
"""Long side over short side up to which `exact` resizes the whole image before it crops.

Pillow keeps the edges of a box in single precision, so a crop resampled by itself is off by up to
two grey levels; but the whole of a strip of 60,000 x 1 pixels could be larger than memory."""

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
        exact: decode and resample every pixel, so that the result is that of resizing the whole
            image and then cropping it; of images more than 16 times as long as wide, within two
            grey levels of it. Otherwise large JPEGs are decoded at a
            fraction of their size and large images averaged down before they are resampled, by
            the margins in `DRAFT_MARGIN` and `REDUCING_GAP`.

    Returns:
        Its pixels, `[recipe.crop, recipe.crop, 3]`, the size it was stored in (that of an image
        which its reader turns upright, TIFF and HEIC, is as it comes from there), and its format.

    Raises:
        InvalidImage: not an image of a format in `formats.FORMATS`, a damaged one, or a
            variant that is not read.
        ImageTooLarge: more than `max_pixels` or a side over `limits.MAX_SIDE`, known from the
            header before anything is decoded; or more than there is memory for.
    """
    try:
        return _preprocess(data, recipe, max_pixels, exact=exact)
    except MemoryError as error:
        raise ImageTooLarge("there is not enough memory for the image") from error


def _preprocess(data: bytes, recipe: Preprocessing, max_pixels: int, *, exact: bool) -> Picture:
    opened = decoding.open_image(data, max_pixels)
    image = opened.image
    if not isinstance(image, JpegImageFile):  # which has to be asked first, to be drafted
        decoding.load(opened)  # a TIFF is turned upright here
    size = image.size
    turn = decoding.turn_of(image)
    resized = geometry.resized_size(size, turn, recipe)
    with decoding.named_errors(opened):
        scale = 1.0 if exact else _draft(image, resized)
        decoding.load(opened)
        coded, convert = _colours(image, recipe.color_profiles)
    columns_first = (
        geometry.columns_first(geometry.upright(size, turn), geometry.upright(resized, turn))
        != turn.swaps_axes
    )
    resample = partial(_resample, coded, recipe, columns_first=columns_first)
    if exact and max(resized) <= MOST_OBLONG * min(resized):
        whole = resample(resized, (0, 0, *coded.size), reducing_gap=EXACT_REDUCING_GAP)
        pixels = whole.crop(geometry.crop_of_resized(resized, turn, recipe))
    else:
        left, top, right, bottom = geometry.crop_box(size, resized, turn, recipe)
        pixels = resample(
            (recipe.crop, recipe.crop),
            (left * scale, top * scale, right * scale, bottom * scale),
            reducing_gap=EXACT_REDUCING_GAP if exact else REDUCING_GAP,
        )
    if turn.transpose is not None:
        pixels = pixels.transpose(turn.transpose)
    if convert:
        pixels = convert(pixels)
    return Picture(np.asarray(pixels), *size, opened.format)


def thumbnail(
    data: bytes, side: int, max_pixels: int, color_profiles: ColorProfiles = "ignore"
) -> Image.Image:
    """An image as the model sees it, upright and RGB, with no side over `side` pixels.

    Raises:
        InvalidImage, ImageTooLarge: as `preprocess`.
    """
    opened = decoding.open_image(data, max_pixels)
    with decoding.named_errors(opened):
        opened.image.draft(None, (side, side))
        decoding.load(opened)
        image, convert = _colours(opened.image, color_profiles)
    image.thumbnail((side, side))
    turn = decoding.turn_of(opened.image)
    if turn.transpose is not None:
        image = image.transpose(turn.transpose)
    return convert(image) if convert else image


def _colours(image: Image.Image, policy: ColorProfiles) -> tuple[Image.Image, color.Convert | None]:
    """A decoded image to resample, and what makes its colours sRGB after that, in fewer pixels.

    It is RGB, or CMYK where ink is to be converted.
    """
    convert = color.conversion(image) if policy == "apply" else None
    if convert is None:
        return to_rgb(image), None
    if image.has_transparency_data:  # which is laid over white in sRGB, so that comes first
        rgba = image.convert("RGBA")
        shown = convert(rgba.convert("RGB"))
        shown.putalpha(rgba.getchannel("A"))
        return to_rgb(shown), None
    return (image if image.mode == "CMYK" else to_rgb(image)), convert


def _draft(image: Image.Image, resized: Size) -> float:
    """Have a JPEG decoded at 1/2, 1/4 or 1/8 of its size where that is enough; the scale chosen."""
    across, down = (math.ceil(DRAFT_MARGIN * side) for side in resized)
    if not isinstance(image, JpegImageFile):
        return 1.0
    width = image.width
    drafted = image.draft(None, (across, down))
    return drafted[1][2] / width if drafted else 1.0


def _resample(
    image: Image.Image,
    recipe: Preprocessing,
    result: Size,
    box: Box,
    *,
    columns_first: bool,
    reducing_gap: float,
) -> Image.Image:
    """Resize what is in the box to the size of the result, in the order that was asked for.

    Pillow resamples in one direction, rounds, and then in the other.
    """
    resampling = INTERPOLATIONS[recipe.interpolation]
    if columns_first != geometry.columns_first(image.size, result):
        left, top, right, bottom = box
        if columns_first:
            size, first = (image.width, result[1]), (0.0, top, float(image.width), bottom)
            box = (left, 0, right, result[1])
        else:
            size, first = (result[0], image.height), (left, 0.0, right, float(image.height))
            box = (0, top, result[0], bottom)
        image = image.resize(size, resampling, first, reducing_gap)
    return image.resize(result, resampling, box, reducing_gap)
