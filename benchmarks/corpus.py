"""The images that are sent: real photos that scikit-image and scikit-learn carry."""

import io
from pathlib import Path

import numpy as np
import skimage.data
import sklearn.datasets
from PIL import Image, ImageOps

SIZE = (500, 375)
QUALITY = 92


def photos() -> list[Image.Image]:
    """Six photos, RGB, between 451 x 300 and 640 x 427."""
    data = skimage.data
    arrays = [data.astronaut(), data.chelsea(), data.coffee(), data.rocket()]
    arrays += sklearn.datasets.load_sample_images().images
    return [Image.fromarray(array) for array in arrays]


def jpeg(image: Image.Image, quality: int = QUALITY) -> bytes:
    """An image as a JPEG file."""
    file = io.BytesIO()
    image.save(file, "JPEG", quality=quality)
    return file.getvalue()


def write(folder: Path) -> list[Path]:
    """Write the photos as JPEGs of 500 x 375, the size of ImageNet's; where they are."""
    paths = []
    for number, photo in enumerate(photos()):
        path = folder / f"{number}.jpg"
        path.write_bytes(jpeg(ImageOps.fit(photo, SIZE, Image.Resampling.LANCZOS)))
        paths.append(path)
    return paths


def phone_photo() -> bytes:
    """A JPEG of 4032 x 3024: a photo enlarged, with a sensor's noise for the decoder to chew on."""
    large = photos()[4].resize((4032, 3024), Image.Resampling.LANCZOS)
    pixels = np.asarray(large, np.float32)
    noise = np.random.default_rng(0).normal(0, 6, pixels.shape)
    return jpeg(Image.fromarray(np.clip(pixels + noise, 0, 255).astype(np.uint8)), 88)
