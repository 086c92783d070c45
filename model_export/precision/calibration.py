"""Images for measuring the network with: someone's own, or made from nothing but a seed."""

from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageOps, UnidentifiedImageError

from model_export.errors import CalibrationError
from model_export.model_card import Preprocessing

Pixels = npt.NDArray[np.uint8]

MOST = 64
"""Images taken from a folder, evenly spaced over their sorted names."""

MADE = 32
"""Images made where there is no folder."""


def images(folder: Path | None, preprocessing: Preprocessing) -> Pixels:
    """Prepared images, uint8 [n, crop, crop, 3], at least two.

    Raises:
        CalibrationError: The folder has fewer than two images, or one that cannot be read.
    """
    if folder is None:
        return np.stack([procedural(preprocessing.crop, seed) for seed in range(MADE)])
    suffixes = Image.registered_extensions()
    files = sorted(f for f in folder.rglob("*") if f.suffix.lower() in suffixes and f.is_file())
    if len(files) < 2:
        raise CalibrationError(
            f"the folder {folder} holds {len(files)} images, and two or more are needed; "
            "without a folder, images are made up"
        )
    chosen = np.linspace(0, len(files) - 1, min(MOST, len(files))).round().astype(int)
    return np.stack([_read(files[i], preprocessing) for i in chosen])


def procedural(side: int, seed: int) -> Pixels:
    """An image with the statistics of photos, uint8 [side, side, 3].

    Noise whose amplitude falls with frequency, as that of natural scenes does (Field, 1987), with
    correlated colours; every second one is cut into flat regions, for edges.
    """
    random = np.random.default_rng(seed)
    down, across = np.fft.fftfreq(side)[:, None], np.fft.fftfreq(side)[None, :]
    frequency = np.maximum(np.hypot(down, across), 1 / side)[:, :, None]
    spectrum = np.fft.fft2(random.standard_normal((side, side, 3)), axes=(0, 1))
    noise = np.fft.ifft2(spectrum / frequency ** random.uniform(0.5, 1.5), axes=(0, 1)).real
    colours = noise @ (np.full((3, 3), 0.5) + random.uniform(0, 1, (3, 3)))
    colours = (colours - colours.mean()) / colours.std()
    if seed % 2:
        colours = np.rint(colours * 1.5) / 1.5
    shaded = random.uniform(80, 176) + random.uniform(30, 80) * colours
    pixels: Pixels = np.clip(np.rint(shaded), 0, 255).astype(np.uint8)
    return pixels


def _read(file: Path, preprocessing: Preprocessing) -> Pixels:
    try:
        with Image.open(file) as opened:
            image = ImageOps.exif_transpose(opened).convert("RGB")
    except (OSError, UnidentifiedImageError, Image.DecompressionBombError) as error:
        raise CalibrationError(f"cannot read {file}: {error}") from error
    width, height = preprocessing.resized(*image.size)
    image = image.resize((width, height), Image.Resampling[preprocessing.interpolation.upper()])
    left, top, side = preprocessing.offset(width), preprocessing.offset(height), preprocessing.crop
    return np.asarray(image.crop((left, top, left + side, top + side)))
