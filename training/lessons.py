"""What a pupil learns from: pictures, and what it shall say of each; made once, kept on disk."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d
from tqdm import tqdm

from training import collected
from training.collages import SIDE, Collages
from training.network import Network
from training.targets import targets
from training.tutor import Tutor

OWN_SIDE = 112
"""Size at which the pupil's first word is taken: a quarter of the cost of 224."""
PART = 32


class Lessons(NamedTuple):
    """Pictures uint8 [n, 3, SIDE, SIDE], and a target of length 1 for each, [n, width]."""

    pictures: Tensor
    targets: Tensor


def prepare(
    pupil: Network, count: int, seed: int, collection: Path, cache: Path, threads: int
) -> Lessons:
    """Draw pictures, ask the tutor and the pupil about them; what is in `cache` is read.

    Args:
        pupil: As it is before it learns.
        count: How many pictures.
        seed: Of the pictures.
        collection: Where `collected.fetch` put its packages.
        cache: Where pictures and answers lie and will lie.
        threads: How many draw and ask.
    """
    cache.mkdir(parents=True, exist_ok=True)
    pictures = _pictures(count, seed, collection, cache / f"collages-{seed}-{count}.npy", threads)
    said = cache / f"features-{seed}-{count}.pt"
    if not said.exists():
        _keep(said, _ask(Tutor().says, pictures, threads, "asking the tutor"))
    own = cache / f"own-{seed}-{count}.pt"
    if not own.exists():
        _keep(own, _own(pupil, pictures, threads))
    return Lessons(pictures, targets(torch.load(said), torch.load(own)))


def _pictures(count: int, seed: int, collection: Path, path: Path, threads: int) -> Tensor:
    if not path.exists():
        collages = Collages(
            collected.pictures(collection, "photos", held_out=False),
            collected.pictures(collection, "cutouts", held_out=False),
            threads,
        )
        part = path.with_suffix(".part")
        shape = (count, 3, SIDE, SIDE)
        drawn = np.lib.format.open_memmap(part, "w+", np.uint8, shape)
        with ThreadPoolExecutor(threads) as workers:  # Pillow lets go of the GIL
            pictures = workers.map(partial(collages.draw, seed), range(count))
            for i, picture in enumerate(tqdm(pictures, "drawing pictures", count)):
                drawn[i] = picture
        drawn.flush()
        part.rename(path)
    return torch.from_numpy(np.load(path, mmap_mode="c"))


def _own(pupil: Network, pictures: Tensor, threads: int) -> Tensor:
    """What the pupil says of the pictures, with mean 0 and variance 1 in every dimension."""
    pupil.resize(OWN_SIDE)

    @torch.no_grad()
    def says(part: Tensor) -> Tensor:
        embedded: Tensor = pupil(avg_pool2d(part.float() / 255, SIDE // OWN_SIDE))
        return embedded

    said = _ask(says, pictures, threads, "asking the pupil")
    return (said - said.mean(0)) / said.std(0)


def _ask(says: Callable[[Tensor], Tensor], pictures: Tensor, threads: int, label: str) -> Tensor:
    """Its answers, a part in each thread: on busy cores far faster than threads inside each."""
    torch.set_num_threads(1)
    parts = pictures.split(PART)
    with ThreadPoolExecutor(threads) as workers:
        answers = workers.map(says, parts)
        return torch.cat(list(tqdm(answers, label, len(parts), smoothing=0.05)))


def _keep(path: Path, tensor: Tensor) -> None:
    torch.save(tensor, path.with_suffix(".part"))
    path.with_suffix(".part").rename(path)
