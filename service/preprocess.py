"""Image bytes to the pixels the network was trained on: uint8 `[crop, crop, 3]`, RGB."""

import io
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from PIL import Image

from model_export.model_card import Preprocessing
from service.errors import ImageTooLarge, InvalidImage

Pixels = npt.NDArray[np.uint8]
"""uint8 `[height, width, 3]`, RGB."""

Box = tuple[float, float, float, float]
"""Left, top, right, bottom, in pixels."""

FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "AVIF")

SIGNATURE_BYTES = 16
"""As many as Pillow hands to a format that is asked whether a file is its own."""

ORIENTATION_TAG = 0x0112

Image.init()


class Turn(NamedTuple):
    """What turns a stored image upright.

    `sides` says which side of the upright image (0 left, 1 top, 2 right, 3 bottom) the stored left,
    top, right and bottom become.
    """

    transpose: Image.Transpose | None
    sides: tuple[int, int, int, int]

    @property
    def swaps_axes(self) -> bool:
        return self.sides[0] % 2 == 1


# EXIF 2.32, 4.6.4 A, tag Orientation.
TURNS = {
    1: Turn(None, (0, 1, 2, 3)),
    2: Turn(Image.Transpose.FLIP_LEFT_RIGHT, (2, 1, 0, 3)),
    3: Turn(Image.Transpose.ROTATE_180, (2, 3, 0, 1)),
    4: Turn(Image.Transpose.FLIP_TOP_BOTTOM, (0, 3, 2, 1)),
    5: Turn(Image.Transpose.TRANSPOSE, (1, 0, 3, 2)),
    6: Turn(Image.Transpose.ROTATE_270, (1, 2, 3, 0)),
    7: Turn(Image.Transpose.TRANSVERSE, (3, 2, 1, 0)),
    8: Turn(Image.Transpose.ROTATE_90, (3, 0, 1, 2)),
}
INTERPOLATIONS = {
    "bicubic": Image.Resampling.BICUBIC,
    "bilinear": Image.Resampling.BILINEAR,
    "lanczos": Image.Resampling.LANCZOS,
}


class Picture(NamedTuple):
    """An image ready for the network; the size it had, in pixels; its format, such as `jpeg`."""

    pixels: Pixels
    width: int
    height: int
    format: str


def preprocess(data: bytes, recipe: Preprocessing, max_pixels: int) -> Picture:
    """Decode an image, turn it upright, resize it and cut the centre.

    Resize and crop are one pass: only the part that is kept is resampled, at the positions at which
    resizing the whole image would have sampled it. Of an animation it is the first frame.

    Args:
        data: the encoded file.
        recipe: the model card's preprocessing.
        max_pixels: largest width x height that is decoded.

    Returns:
        Its pixels, `[recipe.crop, recipe.crop, 3]`, the size it was stored in, and its format.

    Raises:
        InvalidImage: not an image of a format in `FORMATS`, or a damaged one.
        ImageTooLarge: more than `max_pixels`; known from the header, before anything is decoded.
    """
    image = _open(data, max_pixels)
    try:
        turn = TURNS.get(image.getexif().get(ORIENTATION_TAG, 1), TURNS[1])
        rgb = _to_rgb(image)
    except Exception as error:  # a decoder may raise anything on damaged data
        raise InvalidImage(f"the image is damaged: {_reason(error)}") from error
    box = _crop_box(rgb.size, turn, recipe)
    resampling = INTERPOLATIONS[recipe.interpolation]
    if turn.swaps_axes:
        # Pillow resamples rows, then columns, and rounds in between: keep to the upright order.
        left, top, right, bottom = box
        rgb = rgb.resize((rgb.width, recipe.crop), resampling, box=(0, top, rgb.width, bottom))
        box = (left, 0, right, recipe.crop)
    pixels = rgb.resize((recipe.crop, recipe.crop), resampling, box=box)
    if turn.transpose is not None:
        pixels = pixels.transpose(turn.transpose)
    return Picture(np.asarray(pixels), *image.size, str(image.format).lower())


def may_be_image(head: bytes) -> bool:
    """Whether a file's first `SIGNATURE_BYTES` are those of a format in `FORMATS`."""
    answers = [accept(head) for form in FORMATS if (accept := Image.OPEN[form][1])]
    # A format that this Pillow was built without answers with a warning's text.
    return any(answer and not isinstance(answer, str) for answer in answers)


def _open(data: bytes, max_pixels: int) -> Image.Image:
    # Pillow's own guard against decompression bombs must not be lower than the operator's limit.
    Image.MAX_IMAGE_PIXELS = max(Image.MAX_IMAGE_PIXELS or 0, max_pixels)
    try:
        image = Image.open(io.BytesIO(data), formats=FORMATS)
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise ImageTooLarge(f"the image has more than {max_pixels} pixels") from error
    except Exception as error:
        known = ", ".join(FORMATS)
        raise InvalidImage(f"the data is not an image in a known format ({known})") from error
    width, height = image.size
    if width * height > max_pixels:
        raise ImageTooLarge(
            f"the image is {width} x {height}, more than the {max_pixels} pixels allowed; "
            "scale it down before sending"
        )
    return image


def _to_rgb(image: Image.Image) -> Image.Image:
    """Any mode to RGB: transparency over white, 16 bits a channel scaled to 8."""
    if image.mode.startswith("I"):
        # Pillow would clip 16-bit grey to 255 where it has to be scaled: 65535 / 257 = 255.
        grey = np.asarray(image, dtype=np.float32) / 257
        return Image.fromarray(np.clip(np.rint(grey), 0, 255).astype(np.uint8)).convert("RGB")
    if image.has_transparency_data:
        rgba = image.convert("RGBA")
        white = Image.new("RGBA", rgba.size, "white")
        return Image.alpha_composite(white, rgba).convert("RGB")
    return image.convert("RGB")


def _crop_box(size: tuple[int, int], turn: Turn, recipe: Preprocessing) -> Box:
    """The part of a stored image that ends up in the crop.

    Sizes and offsets are rounded as torchvision's Resize and CenterCrop do, which timm's transform
    is made of: the long side is truncated to whole pixels, the crop's offset rounded.
    """
    width, height = size[::-1] if turn.swaps_axes else size
    if recipe.resize_mode == "stretch":
        resized = (recipe.resize, recipe.resize)
    elif width <= height:
        resized = (recipe.resize, int(recipe.resize * height / width))
    else:
        resized = (int(recipe.resize * width / height), recipe.resize)
    left = round((resized[0] - recipe.crop) / 2)
    top = round((resized[1] - recipe.crop) / 2)
    margins = (left, top, resized[0] - recipe.crop - left, resized[1] - recipe.crop - top)
    # From here on in the stored image's own directions.
    left, top, right, bottom = (margins[side] for side in turn.sides)
    across, down = resized[::-1] if turn.swaps_axes else resized
    x, y = size[0] / across, size[1] / down
    return (left * x, top * y, size[0] - right * x, size[1] - bottom * y)


def _reason(error: Exception) -> str:
    return str(error).split("\n", 1)[0] or type(error).__name__
