"""Pictures made of collected ones: cuts of photos, and things laid on photos or plain grounds."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image
from tqdm import tqdm

SIDE = 224
PHOTO_SIDE = 1024
CUTOUT_SIDE = 256
MOST_PIXELS = 9_000_000
"""Of a file. Some packages carry drawings of 600 million; they take as long as all the others."""
PLAIN = 0.3
"""Share of things that lie on one colour."""
BARE = 0.2
"""Share of pictures that are a cut of a photo and nothing else."""
MOST_THINGS = 3

Random = np.random.Generator


class Collages:
    """Draws pictures from files of photos and cutouts, which it holds shrunk in memory."""

    def __init__(self, photos: Sequence[Path], cutouts: Sequence[Path], threads: int = 1) -> None:
        with ThreadPoolExecutor(threads) as workers:
            opened = workers.map(open_photo, photos)
            self.photos = [photo for photo in opened if photo]
            things = workers.map(open_cutout, cutouts)
            bar = tqdm(things, "opening pictures", len(cutouts), smoothing=0.05)
            # By folder, so that a package's thousand arrows weigh no more than its ten animals.
            groups: dict[Path, list[Image.Image]] = {}
            for path, thing in zip(cutouts, bar, strict=True):
                if thing:
                    groups.setdefault(path.parent, []).append(thing)
        self.groups = list(groups.values())
        sizes = np.sqrt([len(group) for group in self.groups])
        self.weights = sizes / sizes.sum()

    def draw(self, seed: int, number: int) -> npt.NDArray[np.uint8]:
        """Picture `number` of a seed, uint8 [3, SIDE, SIDE]; the same for the same arguments."""
        random = np.random.default_rng((seed, number))
        bare = random.random() < BARE
        if not bare and random.random() < PLAIN:
            colour = random.integers(0, 256, 3) if random.random() < 0.7 else np.full(3, 255)
            picture = Image.new("RGB", (SIDE, SIDE), tuple(int(c) for c in colour))
        else:
            photo = self.photos[random.integers(len(self.photos))]
            picture = _cut(random, photo)
        if not bare:
            things = 1 if random.random() < 0.7 else int(random.integers(2, MOST_THINGS + 1))
            group = self._group(random)
            for _ in range(things):
                thing = group[random.integers(len(group))]
                _lay(random, picture, thing, 0.95 if things == 1 else 0.6)
        return np.ascontiguousarray(np.asarray(picture).transpose(2, 0, 1))

    def _group(self, random: Random) -> list[Image.Image]:
        return self.groups[int(random.choice(len(self.groups), p=self.weights))]


def open_photo(path: Path) -> Image.Image | None:
    """RGB, its long side PHOTO_SIDE at most; None of a larger file than is worth opening."""
    if _is_large(path):
        return None
    with Image.open(path) as photo:
        photo.draft("RGB", (PHOTO_SIDE, PHOTO_SIDE))
        small = photo.convert("RGB")
    small.thumbnail((PHOTO_SIDE, PHOTO_SIDE), reducing_gap=2)
    return small


def open_cutout(path: Path) -> Image.Image | None:
    """RGBA without empty margins, its long side CUTOUT_SIDE at most; None of too large a file."""
    if _is_large(path):
        return None
    with Image.open(path) as file:
        thing = file.convert("RGBA")
    thing = thing.crop(thing.getchannel("A").getbbox() or (0, 0, *thing.size))
    thing.thumbnail((CUTOUT_SIDE, CUTOUT_SIDE), reducing_gap=2)
    return thing


def _is_large(path: Path) -> bool:
    try:
        with Image.open(path) as file:
            return file.width * file.height > MOST_PIXELS
    except Image.DecompressionBombError:
        return True


def on_plain_ground(thing: Image.Image) -> Image.Image:
    """A cutout as it is, in the middle of a white square: RGB [SIDE, SIDE]."""
    picture = Image.new("RGB", (SIDE, SIDE), "white")
    fitted = _fit(thing, 0.9 * SIDE)
    place = ((SIDE - fitted.width) // 2, (SIDE - fitted.height) // 2)
    picture.paste(fitted, place, fitted)
    return picture


def _cut(random: Random, photo: Image.Image) -> Image.Image:
    """A square anywhere in a photo, from a fifth of its short side up to all of it."""
    side = min(photo.size) * float(random.uniform(0.2, 1))
    left = float(random.uniform(0, photo.width - side))
    top = float(random.uniform(0, photo.height - side))
    box = (left, top, left + side, top + side)
    return photo.resize((SIDE, SIDE), Image.Resampling.BICUBIC, box, reducing_gap=2)


def _lay(random: Random, picture: Image.Image, thing: Image.Image, largest: float) -> None:
    """A thing over a picture, perhaps mirrored or turned a little, most of it inside."""
    if random.random() < 0.5:
        thing = thing.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    if random.random() < 0.3:
        thing = thing.rotate(float(random.uniform(-25, 25)), Image.Resampling.BILINEAR, True)
    laid = _fit(thing, float(random.uniform(0.35, largest)) * SIDE)
    left = int(random.uniform(-0.1, 1.1) * (SIDE - laid.width))
    top = int(random.uniform(-0.1, 1.1) * (SIDE - laid.height))
    picture.paste(laid, (left, top), laid)


def _fit(thing: Image.Image, side: float) -> Image.Image:
    """Enlarged or shrunk to a long side."""
    scale = side / max(thing.size)
    size = (max(1, round(thing.width * scale)), max(1, round(thing.height * scale)))
    return thing.resize(size, Image.Resampling.BICUBIC, reducing_gap=2)
