"""Images for tests: real photos that scikit-image and scikit-learn carry, and encoders."""

import io
from collections.abc import Mapping
from functools import cache
from typing import Any

import numpy as np
import skimage.data
import sklearn.datasets
from PIL import Image


@cache
def photos() -> Mapping[str, Image.Image]:
    """Real photos, RGB, of several sizes and aspect ratios."""
    china, flower = sklearn.datasets.load_sample_images().images
    arrays = {
        "astronaut": skimage.data.astronaut(),
        "chelsea": skimage.data.chelsea(),
        "coffee": skimage.data.coffee(),
        "rocket": skimage.data.rocket(),
        "china": china,
        "flower": flower,
    }
    return {name: Image.fromarray(array) for name, array in arrays.items()}


def encode(image: Image.Image, form: str = "PNG", **options: Any) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, form, **options)
    return buffer.getvalue()


@cache
def jpeg(name: str) -> bytes:
    return encode(photos()[name], "JPEG", quality=90)


def noise(width: int, height: int, seed: int = 0) -> Image.Image:
    pixels = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
    return Image.fromarray(pixels)
