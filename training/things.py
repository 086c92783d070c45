"""Whether pictures of alike things are near: on cut-out things that training did not see."""

from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image

from training import collages, collected, methods, photos
from training.methods import Method, Vector
from training.ranking import agreement, neighbour_accuracy, same_kind

LEAST_OF_A_KIND = 3


@dataclass(frozen=True)
class Things:
    """Pictures of one thing each, their kinds [n], and the tutor's vectors of them [n, width]."""

    pictures: list[Image.Image]
    kinds: npt.NDArray[np.int64]
    tutors: Vector


def held_out(folder: Path, tutor: Method) -> Things:
    """Tux Paint's stamps that training did not see, on white; a kind is a folder of theirs.

    Args:
        folder: Where `collected.fetch` put its packages.
        tutor: Says which things are near.

    Raises:
        ValueError: There are none in the folder.
    """
    files = collected.pictures(folder, "cutouts", held_out=True)
    stamps = [path for path in files if "tuxpaint" in path.parts]
    counts = Counter(path.parent for path in stamps)
    opened = [
        (path.parent, thing)
        for path in stamps
        if counts[path.parent] >= LEAST_OF_A_KIND and (thing := collages.open_cutout(path))
    ]
    if not opened:
        raise ValueError(f"{folder} has no stamps; `python -m training.collected {folder}`")
    names = sorted({name for name, _ in opened})
    pictures = [collages.on_plain_ground(thing) for _, thing in opened]
    kinds = np.array([names.index(name) for name, _ in opened])
    return Things(pictures, kinds, methods.describe(tutor, pictures))


def meaning(method: Method, known: Things | None) -> dict[str, float]:
    """Faces told from what is none; of things, kind of the nearest and agreement with the tutor."""
    images, targets = photos.faces_and_others()
    found = {"faces 5-NN": neighbour_accuracy(methods.describe(method, images), targets)}
    if known:
        vectors = methods.describe(method, known.pictures)
        found["kind R@1"] = same_kind(vectors, known.kinds)
        found["as tutor"] = agreement(vectors, known.tutors)
    return found
