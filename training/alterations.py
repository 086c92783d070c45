"""What happens to copies of photos, at three strengths each: with Pillow, not with `views`.

Training makes its copies otherwise and never runs this code. Each takes a photo, a strength of 0,
1 or 2, a random generator, and another photo to lay over it.
"""

import io
from collections.abc import Callable

import numpy as np
from PIL import Image, ImageDraw, ImageEnhance, ImageFilter

Random = np.random.Generator
Alteration = Callable[[Image.Image, int, Random, Image.Image], Image.Image]

KEEP = (0.8, 0.6, 0.4)
SHRINK = (0.5, 0.25, 0.125)
QUALITY = (50, 30, 10)
BLUR = (0.01, 0.02, 0.04)
HUE = (0.03, 0.07, 0.15)
SWING = (0.2, 0.4, 0.6)
DEGREES = (10, 30, 90)
COVER = (0.1, 0.25, 0.4)


def crop(photo: Image.Image, strength: int, random: Random, _: Image.Image) -> Image.Image:
    """80, 60 or 40 % of each side, anywhere in the photo."""
    width, height = (round(side * KEEP[strength]) for side in photo.size)
    left = int(random.integers(photo.width - width + 1))
    top = int(random.integers(photo.height - height + 1))
    return photo.crop((left, top, left + width, top + height))


def resize(photo: Image.Image, strength: int, _: Random, __: Image.Image) -> Image.Image:
    """Shrunk to a half, a quarter or an eighth."""
    width, height = (max(8, round(side * SHRINK[strength])) for side in photo.size)
    return photo.resize((width, height), Image.Resampling.BILINEAR)


def jpeg(photo: Image.Image, strength: int, _: Random, __: Image.Image) -> Image.Image:
    """JPEG at quality 50, 30 or 10."""
    buffer = io.BytesIO()
    photo.save(buffer, "JPEG", quality=QUALITY[strength])
    return Image.open(buffer).convert("RGB")


def blur(photo: Image.Image, strength: int, _: Random, __: Image.Image) -> Image.Image:
    """Gaussian, its standard deviation 1, 2 or 4 % of the short side."""
    return photo.filter(ImageFilter.GaussianBlur(BLUR[strength] * min(photo.size)))


def colour(photo: Image.Image, strength: int, random: Random, _: Image.Image) -> Image.Image:
    """Hue turned by 11, 25 or 54 degrees; brightness, contrast, saturation by 20, 40 or 60 %."""
    hue, saturation, value = photo.convert("HSV").split()
    turned = np.asarray(hue) + np.uint8(round(256 * HUE[strength] * random.choice([-1, 1])) % 256)
    altered = Image.merge("HSV", (Image.fromarray(turned), saturation, value)).convert("RGB")
    for enhance in (ImageEnhance.Brightness, ImageEnhance.Contrast, ImageEnhance.Color):
        altered = enhance(altered).enhance(1 + SWING[strength] * random.choice([-1, 1]))
    return altered


def rotate(photo: Image.Image, strength: int, random: Random, _: Image.Image) -> Image.Image:
    """By 10, 30 or 90 degrees either way, black in the corners, at the old size."""
    angle = DEGREES[strength] * random.choice([-1, 1])
    return photo.rotate(angle, Image.Resampling.BICUBIC, expand=DEGREES[strength] == 90)


def overlay(photo: Image.Image, strength: int, random: Random, other: Image.Image) -> Image.Image:
    """Another photo over 10, 25 or 40 % of the area, and a line of writing."""
    width, height = (round(side * COVER[strength] ** 0.5) for side in photo.size)
    left = int(random.integers(photo.width - width + 1))
    top = int(random.integers(photo.height - height + 1))
    altered = photo.copy()
    altered.paste(other.resize((width, height)), (left, top))
    size, ink = max(10, photo.height // 10), tuple(int(c) for c in random.integers(0, 256, 3))
    place = (photo.width * 0.05, float(random.uniform(0, 0.85)) * photo.height)
    ImageDraw.Draw(altered).text(place, "look at this one", ink, font_size=size)
    return altered


ALTERATIONS: dict[str, Alteration] = {
    "crop": crop,
    "resize": resize,
    "JPEG": jpeg,
    "blur": blur,
    "colour": colour,
    "rotation": rotate,
    "overlay": overlay,
}
