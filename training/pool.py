"""The pictures of a training run: drawn once, kept on disk, held in memory as bytes."""

from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d
from tqdm import tqdm

from training.scenes import SHEET, SIDE, sheet


def draw(seed: int, sheets: int, cache: Path, processes: int = 1) -> Tensor:
    """Pictures of sheets 0, 1, ..., uint8 [sheets * SHEET, 3, SIDE, SIDE].

    Sheets already in `cache` are read; the others are drawn, by several processes, and put there.
    """
    cache.mkdir(parents=True, exist_ok=True)
    missing = [i for i in range(sheets) if not _file(cache, seed, i).exists()]
    if missing:
        with ProcessPoolExecutor(processes) as workers:
            drawn = workers.map(partial(_draw, seed, cache), missing)
            list(tqdm(drawn, "drawing pictures", len(missing), unit="sheet", smoothing=0.05))
    pictures = np.empty((sheets * SHEET, 3, SIDE, SIDE), np.uint8)
    for i in range(sheets):
        pictures[i * SHEET : (i + 1) * SHEET] = np.load(_file(cache, seed, i))
    return torch.from_numpy(pictures)


def shrink(pictures: Tensor, side: int) -> Tensor:
    """Pictures halved until less than four times `side`: enough for copies of that side."""
    while pictures.shape[-1] >= 4 * side:
        halves = [
            avg_pool2d(part.float(), 2).round().to(torch.uint8) for part in pictures.split(64)
        ]
        pictures = torch.cat(halves)
    return pictures


def _draw(seed: int, cache: Path, number: int) -> None:
    torch.set_num_threads(1)  # the processes share the cores already
    path = _file(cache, seed, number)
    partial_path = path.with_suffix(".part")
    with partial_path.open("wb") as file:
        np.save(file, sheet(seed, number).numpy())
    partial_path.rename(path)


def _file(cache: Path, seed: int, number: int) -> Path:
    return cache / f"sheet-{seed}-{number:05}.npy"
