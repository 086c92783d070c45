"""`python -m benchmarks.copies --model FILE`: where `duplicates` finds planted copies.

Quarters of the photos that the evaluation of the default model uses, each with five copies: the
same bytes, three quarters of the size, half of it, JPEG at quality 60, and 5 % cut off each side's
length. Printed are the least cosine of each kind, and for thresholds the share of planted pairs
found and the pairs of quarters that show different things. Needs `make setup` and matplotlib.
"""

import argparse
import contextlib
import io
import tempfile
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
from PIL import Image

from swin_embed.__main__ import main as swin_embed
from swin_embed.batch.collection import Collection
from training import photos

THRESHOLDS = (0.8, 0.85, 0.9, 0.92, 0.94, 0.95, 0.96, 0.97, 0.98, 0.99)


def copies(image: Image.Image, random: np.random.Generator) -> Mapping[str, Image.Image]:
    """Copies of an image, by what was done to it; kept without loss but for `q60`."""
    width, height = image.size
    left = int(random.integers(round(0.05 * width) + 1))
    top = int(random.integers(round(0.05 * height) + 1))
    cut = (left, top, left + round(0.95 * width), top + round(0.95 * height))
    return {
        "resized3-4": image.resize((width * 3 // 4, height * 3 // 4), Image.Resampling.LANCZOS),
        "resized1-2": image.resize((width // 2, height // 2), Image.Resampling.LANCZOS),
        "q60": image,
        "cropped": image.crop(cut),
    }


def plant(folder: Path) -> None:
    """Write quarters and their copies: `photo.quarter.kind.png`, `.jpg` for `q60`."""
    random = np.random.default_rng(0)
    for name, photo in photos.library().items():
        for number, quarter in enumerate(photos.tiles(photo)):
            stem = f"{name}.{number}"
            quarter.save(folder / f"{stem}.original.png")
            (folder / f"{stem}.exact.png").write_bytes(
                (folder / f"{stem}.original.png").read_bytes()
            )
            for kind, image in copies(quarter, random).items():
                if kind == "q60":
                    image.save(folder / f"{stem}.{kind}.jpg", quality=60)
                else:
                    image.save(folder / f"{stem}.{kind}.png")


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.copies", description=__doc__)
    parser.add_argument("--model", type=Path, required=True)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        folder, output = Path(scratch) / "images", Path(scratch) / "out"
        folder.mkdir()
        plant(folder)
        with contextlib.redirect_stderr(io.StringIO()):
            swin_embed(["embed", str(folder), f"--output={output}", f"--model={options.model}"])
            swin_embed(["duplicates", str(output)])
        pairs = pq.read_table(output / "duplicates" / "pairs.parquet")
        parts = list(Collection.at(str(output)).vectors())
    vectors = np.concatenate([part for _, part in parts])  # [n, dim]
    names = [Path(path).name.split(".") for rows, _ in parts for path in rows["path"].to_pylist()]
    quarter = np.array([".".join(name[:2]) for name in names])  # [n]
    photo, kind = np.array([name[0] for name in names]), np.array([name[2] for name in names])
    original = {quarter[n]: n for n in range(len(names)) if kind[n] == "original"}

    print("| kind | least cosine to the original | median |\n| --- | --- | --- |")
    planted = []
    for one in ("exact", "resized3-4", "resized1-2", "q60", "cropped"):
        mine = [vectors[n] @ vectors[original[quarter[n]]] for n in np.flatnonzero(kind == one)]
        planted += mine
        print(f"| {one} | {min(mine):.4f} | {np.median(mine):.4f} |")
    firsts = np.array(sorted(original.values()))
    cosines = vectors[firsts] @ vectors[firsts].T  # [q, q]
    above = np.triu(np.ones_like(cosines, dtype=bool), 1)
    same = photo[firsts][:, None] == photo[firsts][None]
    print(f"\n{len(firsts)} originals, {(above & ~same).sum()} pairs of different photos\n")
    print(
        "| threshold | planted pairs found | pairs of one photo's quarters | of different photos |"
    )
    print("| --- " * 4 + "|")
    for threshold in THRESHOLDS:
        found = np.mean(np.array(planted) >= threshold)
        within = (above & same & (cosines >= threshold)).sum()
        between = (above & ~same & (cosines >= threshold)).sum()
        print(f"| {threshold} | {100 * found:.1f} % | {within} | {between} |")
    exact = sum(pairs["exact"].to_pylist())
    print(f"\n`duplicates` as it is: {exact} pairs of the same bytes, of {len(firsts)} planted")


if __name__ == "__main__":
    main()
