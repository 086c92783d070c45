"""Real photos for the evaluation, which no training has seen: those that libraries carry."""

from importlib.resources import files
from pathlib import Path

import numpy as np
import numpy.typing as npt
import skimage.data
import sklearn.datasets
from PIL import Image

# Files of scikit-image's that are photographs. Not motorcycle_right.png: a twin of the left one.
SKIMAGE = (
    *("astronaut.png", "brick.png", "camera.png", "cell.png", "chelsea.png", "clock_motion.png"),
    *("coffee.png", "coins.png", "grass.png", "gravel.png", "hubble_deep_field.jpg", "ihc.png"),
    *("moon.png", "motorcycle_left.png", "page.png", "retina.jpg", "rocket.jpg", "text.png"),
)
LEAST_SIDE = 150
"""Pixels a tile has at least."""


def library() -> dict[str, Image.Image]:
    """Photos by name, RGB: scikit-image's, scikit-learn's and matplotlib's."""
    folder = Path(skimage.data.__file__).parent
    found = {Path(name).stem: folder / name for name in SKIMAGE}
    sample = files("matplotlib") / "mpl-data/sample_data/grace_hopper.jpg"
    found["grace_hopper"] = Path(str(sample))
    photos = {name: Image.open(path).convert("RGB") for name, path in found.items()}
    china, flower = sklearn.datasets.load_sample_images().images
    return photos | {"china": Image.fromarray(china), "flower": Image.fromarray(flower)}


def folder(path: Path) -> dict[str, Image.Image]:
    """Every image in a folder of one's own, RGB."""
    suffixes = {".jpg", ".jpeg", ".png", ".webp"}
    names = sorted(file for file in path.iterdir() if file.suffix.lower() in suffixes)
    return {file.name: Image.open(file).convert("RGB") for file in names}


def tiles(photo: Image.Image) -> list[Image.Image]:
    """A photo's four quarters, or itself if those would be small: none shows what another shows."""
    width, height = photo.size
    if min(width, height) < 2 * LEAST_SIDE:
        return [photo]
    x, y = width // 2, height // 2
    corners = ((0, 0), (x, 0), (0, y), (x, y))
    return [photo.crop((left, top, left + x, top + y)) for left, top in corners]


def faces() -> list[Image.Image]:
    """Small grey faces (a part of Labeled Faces in the Wild), enlarged: distractors."""
    return [_enlarged(face * 255) for face in skimage.data.lfw_subset()[:100]]


def faces_and_others() -> tuple[list[Image.Image], npt.NDArray[np.int64]]:
    """Small grey cuts of photos, in turn a face and none, and which is a face."""
    cuts = skimage.data.lfw_subset()  # faces first
    mixed = np.arange(len(cuts)).reshape(2, -1).T.ravel()
    return [_enlarged(cuts[i] * 255) for i in mixed], (mixed < len(cuts) // 2).astype(np.int64)


def digits() -> tuple[list[Image.Image], npt.NDArray[np.int64]]:
    """Handwritten digits, enlarged from 8 x 8 pixels, and which they are."""
    bunch = sklearn.datasets.load_digits()
    return [_enlarged(digit * (255 / 16)) for digit in bunch.images], bunch.target


def _enlarged(grey: npt.NDArray[np.float64]) -> Image.Image:
    image = Image.fromarray(np.rint(grey).astype(np.uint8)).convert("RGB")
    return image.resize((160, 160), Image.Resampling.BICUBIC)
