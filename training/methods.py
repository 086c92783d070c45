"""Ways to describe an image by a vector of length 1, so that like images have a large product."""

import io
from collections.abc import Callable, Sequence
from pathlib import Path

import imagehash
import numpy as np
import numpy.typing as npt
from PIL import Image
from skimage.feature import hog

from service.engine.model import load
from service.images.preprocess import preprocess

Vector = npt.NDArray[np.float32]
Method = Callable[[Image.Image], Vector]


def artifact(path: Path) -> Method:
    """What the service answers with that artifact."""
    model = load(path, "cpu", threads=1)

    def embed(image: Image.Image) -> Vector:
        buffer = io.BytesIO()
        image.save(buffer, "BMP")
        picture = preprocess(buffer.getvalue(), model.card.preprocessing, 1 << 30)
        return _unit(model.run(picture.pixels[None])[0])

    return embed


def perceptual_hash(image: Image.Image) -> Vector:
    """The pHash of imagehash, 64 bits; the product counts bits that agree."""
    return _signs(imagehash.phash(image))


def difference_hash(image: Image.Image) -> Vector:
    """The dHash of imagehash, 64 bits."""
    return _signs(imagehash.dhash(image))


def colour_histogram(image: Image.Image) -> Vector:
    """Shares of 8 x 8 x 8 colours; the product is Bhattacharyya's coefficient."""
    pixels = np.asarray(image.resize((224, 224), Image.Resampling.BILINEAR)) >> 5
    codes = pixels.reshape(-1, 3).astype(np.int64) @ np.array([64, 8, 1])
    return _unit(np.sqrt(np.bincount(codes, minlength=512)))


def oriented_gradients(image: Image.Image) -> Vector:
    """Histograms of oriented gradients of the image at 128 x 128, grey."""
    grey = np.asarray(image.convert("L").resize((128, 128), Image.Resampling.BILINEAR))
    return _unit(hog(grey, orientations=9, pixels_per_cell=(16, 16), cells_per_block=(2, 2)))


def small_pixels(image: Image.Image) -> Vector:
    """16 x 16 pixels in colour, less their mean."""
    pixels = np.asarray(image.resize((16, 16), Image.Resampling.BOX), np.float32).ravel()
    return _unit(pixels - pixels.mean())


def tutor() -> Method:
    """The network that the default model learnt meaning from: pooled features."""
    import torch

    from training.tutor import Tutor

    torch.set_num_threads(1)  # on busy cores its threads wait for each other: a tenth of the speed
    taught = Tutor()

    def embed(image: Image.Image) -> Vector:
        square = np.asarray(image.convert("RGB").resize((224, 224), Image.Resampling.BICUBIC))
        return _unit(taught.says(torch.tensor(square).permute(2, 0, 1)[None])[0].numpy())

    return embed


BASELINES: dict[str, Method] = {
    "pHash": perceptual_hash,
    "dHash": difference_hash,
    "colour histogram": colour_histogram,
    "HOG": oriented_gradients,
    "16x16 pixels": small_pixels,
}


def describe(method: Method, images: Sequence[Image.Image]) -> Vector:
    """A row for each image: [n, width]."""
    return np.stack([method(image) for image in images])


def _signs(found: imagehash.ImageHash) -> Vector:
    return _unit(np.where(found.hash.ravel(), 1.0, -1.0))


def _unit(vector: npt.NDArray[np.floating]) -> Vector:
    unit: Vector = (vector / max(float(np.linalg.norm(vector)), 1e-12)).astype(np.float32)
    return unit
