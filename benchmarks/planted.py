"""`python -m benchmarks.planted --model FILE [--folder DIR]`: how well `duplicates` groups.

2,000 pictures: 60 photos with five copies each (half the size; JPEG at quality 40; a tenth cut off
the sides' lengths; turned by a right angle; a watermark), 50 bursts of four pictures in which
things have moved a little, which are no copies, and 1,440 pictures that have none. A picture is a
part of a real photo, recoloured, with parts of others laid over it. Printed are seconds, and
precision and recall of pairs and the largest wrong group: of the groups as they are, and of single
linkage, which chains. Needs `make setup` and matplotlib.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterable, Sequence
from itertools import combinations
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
from PIL import Image, ImageDraw, ImageEnhance, ImageOps

from training import photos

COPIED, BURSTS, SINGLE = 60, 50, 1440
KINDS = ("half", "q40", "cropped", "turned", "watermarked")
SIZE = (480, 360)
THRESHOLDS = (0.8, 0.85, 0.9, 0.95)


class Painter:
    """Paints pictures of parts of photos, the same from the same seed."""

    def __init__(self, seed: int) -> None:
        self._photos = list(photos.library().values())
        self._random = np.random.default_rng(seed)

    def things(self) -> list[tuple[Image.Image, float, float]]:
        """A ground and what lies on it: parts of photos, and where they are, 0 to 1."""
        count = int(self._random.integers(2, 7))
        sizes = [SIZE, *(self._side() for _ in range(count))]
        return [(self._part(size), *self._random.uniform(0, 1, 2)) for size in sizes]

    def picture(self, things: Sequence[tuple[Image.Image, float, float]]) -> Image.Image:
        """The things in one picture."""
        picture = things[0][0].copy()
        for thing, x, y in things[1:]:
            mask = Image.new("L", thing.size, 0)
            ImageDraw.Draw(mask).ellipse((0, 0, *thing.size), fill=255)
            at = round(x * SIZE[0] - thing.width / 2), round(y * SIZE[1] - thing.height / 2)
            picture.paste(thing, at, mask)
        return picture

    def moved(
        self, things: Sequence[tuple[Image.Image, float, float]]
    ) -> list[tuple[Image.Image, float, float]]:
        """The things a moment later: each somewhere else nearby."""
        steps = self._random.uniform(-0.12, 0.12, (len(things), 2))
        return [
            (thing, x + dx, y + dy) for (thing, x, y), (dx, dy) in zip(things, steps, strict=True)
        ]

    def _side(self) -> tuple[int, int]:
        across, down = self._random.integers(70, 220, 2)
        return int(across), int(down)

    def _part(self, size: tuple[int, int]) -> Image.Image:
        photo = self._photos[self._random.integers(len(self._photos))]
        share = self._random.uniform(0.25, 0.7)
        width, height = round(photo.width * share), round(photo.height * share)
        left = int(self._random.integers(photo.width - width + 1))
        top = int(self._random.integers(photo.height - height + 1))
        part = photo.crop((left, top, left + width, top + height)).resize(size)
        if self._random.random() < 0.5:
            part = ImageOps.mirror(part)
        hue, saturation, value = part.convert("HSV").split()
        turn = int(self._random.integers(256))
        hue = hue.point([(level + turn) % 256 for level in range(256)])
        part = Image.merge("HSV", (hue, saturation, value)).convert("RGB")
        return ImageEnhance.Brightness(part).enhance(self._random.uniform(0.7, 1.3))


def copies(image: Image.Image) -> dict[str, tuple[Image.Image, int]]:
    """Copies by kind, and the quality that each is saved with."""
    width, height = image.size
    marked = image.copy()
    text = Image.new("RGBA", (width // 2, height // 6), (0, 0, 0, 0))
    ImageDraw.Draw(text).text((4, 4), "SAMPLE  SAMPLE", fill=(255, 255, 255, 150), font_size=32)
    marked.paste(text, (width // 4, height // 2), text)
    cut = (width // 20, height // 20, width - width // 20, height - height // 20)
    return {
        "half": (image.resize((width // 2, height // 2)), 90),
        "q40": (image, 40),
        "cropped": (image.crop(cut), 90),
        "turned": (image.transpose(Image.Transpose.ROTATE_90), 90),
        "watermarked": (marked, 90),
    }


def plant(folder: Path) -> None:
    """Write the pictures, `FAMILY.kind.jpg`; those of a burst have a family each."""
    painter = Painter(0)

    def save(image: Image.Image, name: str, quality: int = 92) -> None:
        image.save(folder / f"{name}.jpg", quality=quality)

    for number in range(COPIED):
        original = painter.picture(painter.things())
        save(original, f"copied{number:03}.original")
        for kind, (image, quality) in copies(original).items():
            save(image, f"copied{number:03}.{kind}", quality)
    for number in range(BURSTS):
        things = painter.things()
        for moment in range(4):
            save(painter.picture(things), f"burst{number:03}.{moment}")
            things = painter.moved(things)
    for number in range(SINGLE):
        save(painter.picture(painter.things()), f"single{number:04}.original")


def family(name: str) -> str:
    """What a picture is a copy of: of a burst, nothing but itself."""
    return name if name.startswith("burst") else name.partition(".")[0]


def linked(pairs: Iterable[tuple[str, str]]) -> list[list[str]]:
    """Groups that pairs join, directly or through others."""
    group: dict[str, list[str]] = {}
    for a, b in pairs:
        left, right = group.setdefault(a, [a]), group.setdefault(b, [b])
        if left is not right:
            left += right
            group.update(dict.fromkeys(right, left))
    return list({id(members): members for members in group.values()}.values())


def report(way: str, threshold: float, groups: Sequence[Sequence[str]]) -> None:
    """A row of the table."""
    together = [pair for group in groups for pair in combinations(group, 2)]
    right = [pair for pair in together if family(pair[0]) == family(pair[1])]
    bursts = [
        pair
        for pair in together
        if pair[0].startswith("burst") and pair[0].partition(".")[0] == pair[1].partition(".")[0]
    ]
    planted = COPIED * len(list(combinations(range(len(KINDS) + 1), 2)))
    place = {name: number for number, group in enumerate(groups) for name in group}
    found = Counter(
        name.partition(".")[2]
        for name, number in place.items()
        if name.startswith("copied")
        and "original" not in name
        and place.get(f"{name.partition('.')[0]}.original") == number
    )
    wrong = [len(group) for group in groups if len({name.partition(".")[0] for name in group}) > 1]
    kinds = ", ".join(f"{kind} {found[kind]}" for kind in KINDS)
    print(
        f"| {way} | {threshold} | {len(right) / max(1, len(together)):.3f} | "
        f"{len(right) / max(1, len(together) - len(bursts)):.3f} | {len(right) / planted:.3f} | "
        f"{sum(found.values())} ({kinds}) | {len(wrong)} | {max(wrong, default=0)} |"
    )


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.planted", description=__doc__)
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--folder", type=Path, help="keep the pictures and the page here")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        place = options.folder or Path(scratch)
        folder = place / "pictures"
        if not folder.exists():
            folder.mkdir(parents=True)
            plant(folder)
        print(
            "| groups | threshold | precision | bursts aside | recall | copies with their "
            "original, of 300 | groups of several pictures | largest |"
        )
        print("| --- " * 8 + "|")
        for threshold in THRESHOLDS:
            command = [sys.executable, "-m", "swin_embed", "duplicates", str(folder), "--json"]
            command += [f"--output={place}/found", f"--html={place}/page.html"]
            command += [f"--model={options.model}", f"--threshold={threshold}"]
            started = time.monotonic()
            done = subprocess.run(command, check=True, capture_output=True, text=True)
            seconds = time.monotonic() - started
            pairs = pq.read_table(f"{place}/found/pairs.parquet")
            names = [[Path(path).stem for path in pairs[side].to_pylist()] for side in ("a", "b")]
            report("single linkage", threshold, linked(zip(*names, strict=True)))
            members = json.loads(done.stdout)["members"]
            report(
                f"as they are, {seconds:.1f} s",
                threshold,
                [[Path(member["path"]).stem for member in group] for group in members],
            )


if __name__ == "__main__":
    main()
