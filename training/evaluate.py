"""How good an artifact is on real photos, beside its untrained self and simple descriptors.

    python -m training.evaluate models/swin_nano_patch4_window7_224.onnx [more.onnx ...]

Every figure is a retrieval by nearest vector. Among equal similarities an image's rank is the mean
of its possible ranks, so that a hash of 64 bits gains nothing from the order of a list.
"""

import argparse
import sys
import tempfile
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image
from tqdm import tqdm

from model_export.catalog import NANO
from model_export.checkpoints.seeded import seeded
from model_export.export import export
from training import alterations, methods, photos, report, things
from training.methods import Method
from training.ranking import copy_ranks, crop_scores, first, neighbour_accuracy
from training.report import Scores
from training.things import Things

STRENGTHS = 3
CROPS = 6


@dataclass(frozen=True)
class Copies:
    """Photos, altered copies of each, and images that are neither.

    Attributes:
        references: What copies are looked up among; the distractors come last.
        queries: By alteration and strength, one copy of each photo, in the photos' order.
    """

    references: list[Image.Image]
    queries: dict[tuple[str, int], list[Image.Image]]


def make_copies(originals: Mapping[str, Image.Image], distractors: list[Image.Image]) -> Copies:
    """The copy-detection suite of some photos: the same for the same photos."""
    cut = {f"{name} {i}": t for name, p in originals.items() for i, t in enumerate(photos.tiles(p))}
    originals_list = list(cut.values())
    queries: dict[tuple[str, int], list[Image.Image]] = {}
    for kind, alter in alterations.ALTERATIONS.items():
        for strength in range(STRENGTHS):
            altered = []
            for i, (name, tile) in enumerate(cut.items()):
                random = np.random.default_rng(zlib.crc32(f"{kind} {strength} {name}".encode()))
                other = originals_list[(i + len(originals_list) // 2) % len(originals_list)]
                altered.append(alter(tile, strength, random, other))
            queries[kind, strength] = altered
    return Copies(originals_list + distractors, queries)


def make_crops(originals: Mapping[str, Image.Image]) -> list[Image.Image]:
    """CROPS crops of each photo, half to three quarters of its sides, anywhere."""
    crops = []
    for name, photo in originals.items():
        random = np.random.default_rng(zlib.crc32(name.encode()))
        for _ in range(CROPS):
            width, height = (round(s * random.uniform(0.5, 0.75)) for s in photo.size)
            left = int(random.integers(photo.width - width + 1))
            top = int(random.integers(photo.height - height + 1))
            crops.append(photo.crop((left, top, left + width, top + height)))
    return crops


def score(
    method: Method,
    copies: Copies,
    crops: list[Image.Image],
    known: Things | None,
    label: str,
) -> Scores:
    """All suites with one method."""
    bar = tqdm(copies.queries.items(), label, unit="suite", leave=False)
    references = methods.describe(method, copies.references)
    ranks = {of: copy_ranks(methods.describe(method, q) @ references.T) for of, q in bar}
    recall, precision = crop_scores(methods.describe(method, crops), CROPS)
    images, targets = photos.digits()
    return Scores(
        copies={of: float(first(rank).mean()) for of, rank in ranks.items()},
        copies_map=float(np.mean([1 / rank for rank, _ in ranks.values()])),
        crops=recall,
        crops_map=precision,
        digits=neighbour_accuracy(methods.describe(method, images), targets),
        meaning=things.meaning(method, known),
    )


def untrained() -> Method:
    """The default architecture as the exporter's seed leaves it."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "untrained.onnx"
        export(NANO, seeded(NANO.architecture), path)
        return methods.artifact(path)


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the table; with --output, write it and the plot to a folder."""
    parser = argparse.ArgumentParser(prog="python -m training.evaluate", description=__doc__)
    parser.add_argument("artifacts", nargs="*", type=Path, metavar="FILE.onnx")
    parser.add_argument("--photos", type=Path, metavar="FOLDER", help="photos of your own")
    parser.add_argument(
        "--collected", type=Path, metavar="FOLDER", help="of training.collected, to judge meaning"
    )
    parser.add_argument("--no-baselines", action="store_true", help="only the artifacts")
    parser.add_argument("--output", type=Path, metavar="FOLDER", help="for table.md and plot.png")
    options = parser.parse_args(arguments)
    originals = photos.folder(options.photos) if options.photos else photos.library()
    copies = make_copies(originals, photos.faces())
    crops = make_crops(originals)
    named = {path.stem: methods.artifact(path) for path in options.artifacts}
    known = None
    if options.collected:
        tutor = methods.tutor()
        known = things.held_out(options.collected, tutor)
        named["EfficientNet-Lite0"] = tutor
    if not options.no_baselines:
        named |= {"untrained": untrained(), **methods.BASELINES}
    scores = {name: score(method, copies, crops, known, name) for name, method in named.items()}
    counts = (
        f"{len(originals)} photos, {len(copies.queries) * len(next(iter(copies.queries.values())))}"
        f" copies among {len(copies.references)} images"
    )
    table = report.table(scores)
    print(counts, table, sep="\n\n")
    if options.output:
        options.output.mkdir(parents=True, exist_ok=True)
        (options.output / "table.md").write_text(f"{counts}\n\n{table}\n")
        report.plot(scores, options.output / "plot.png")
    return 0


if __name__ == "__main__":
    sys.exit(main())
