"""What is computed of a collection's vectors once and kept: a map, clusters, what stands out.

`python -m swin_embed.explore.arrangement FOLDER DIM` computes it in a process of its own, so that
the page answers meanwhile and the memory is given back.
"""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import numpy.typing as npt

from model_export import extras
from swin_embed.explore.catalog import BLOCK, Vectors

Points = npt.NDArray[np.float32]
"""float32 `[n, 2]`, from 0 to 1."""

NEIGHBOURS = 15
"""About as many others say where on the map an image lies (t-SNE's perplexity)."""

ARRAYS = ("pca", "clusters", "fit", "apart", "map")
MOST_CLUSTERS = 40
FEW = 10
"""Below as many images there is nothing to arrange."""


class Arrangement:
    """The files of a catalogue's folder that are computed from its vectors, and what computes them.

    `pca.npy`, `map.npy`: Points. `clusters.npy`: int32 `[n]`, the largest being 0, and
    `fit.npy`: float32 `[n]`, an image's cosine to its cluster's mean. `apart.npy`: float32 `[n]`,
    its mean cosine to its nearest neighbours, low where it stands out.
    """

    def __init__(self, folder: Path, vectors: Vectors) -> None:
        self._folder = folder
        self._vectors = vectors
        self._process: subprocess.Popen[bytes] | None = None
        self.trouble = ""

    def start(self) -> None:
        """Compute what is missing: PCA here and now, the rest beside."""
        if not (self._folder / "pca.npy").exists():
            _save(self._folder / "pca.npy", components(self._vectors))
        if len(self._vectors) < FEW or (self._folder / "map.npy").exists():
            return
        command = [sys.executable, "-m", "swin_embed.explore.arrangement", str(self._folder)]
        self._process = subprocess.Popen(  # noqa: S603 - our own module
            [*command, str(self._vectors.shape[1])],
            stderr=subprocess.PIPE,
            # Threads that spin while they wait take the cores from the page.
            env=os.environ | {"OMP_WAIT_POLICY": "PASSIVE"},
        )

    def state(self) -> dict[str, object]:
        """What is there, whether more is being computed, and why not."""
        process = self._process
        running = process is not None and process.poll() is None
        if process is not None and not running and process.returncode and process.stderr:
            self._process = None
            with process.stderr as told:
                lines = told.read().decode("utf-8", "replace").strip().splitlines()
            self.trouble = "".join(lines[-1:])
        there = [name for name in ARRAYS if self.has(name)]
        return {"there": there, "running": running, "trouble": self.trouble}

    def has(self, name: str) -> bool:
        return name in ARRAYS and (self._folder / f"{name}.npy").exists()

    def load(self, name: str) -> npt.NDArray[np.generic]:
        """One of the arrays, mapped.

        Raises:
            FileNotFoundError: it is not there yet.
        """
        found: npt.NDArray[np.generic] = np.load(self._folder / f"{name}.npy", mmap_mode="r")
        return found

    def close(self) -> None:
        """Stop computing."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            if self._process.stderr:
                self._process.stderr.close()


def components(vectors: Vectors) -> Points:
    """The two principal components of vectors `[n, dim]`."""
    n, dim = vectors.shape
    total, products = np.zeros(dim), np.zeros((dim, dim))
    for start in range(0, n, BLOCK):
        block = vectors[start : start + BLOCK].astype(np.float64)  # [b, dim]
        total += block.sum(axis=0)
        products += block.T @ block
    mean = total / max(n, 1)
    _, axes = np.linalg.eigh(products / max(n, 1) - np.outer(mean, mean))
    plane = axes[:, -2:].astype(np.float32)  # [dim, 2]
    blocks = [vectors[start : start + BLOCK] @ plane for start in range(0, n, BLOCK)]
    return fitted(np.concatenate([np.empty((0, 2), np.float32), *blocks]))


def fitted(points: npt.NDArray[np.floating]) -> Points:
    """Points `[n, 2]` moved and scaled to lie between 0 and 1; the far ends are drawn in."""
    if not len(points):
        return points.astype(np.float32)
    low, high = np.percentile(points, [0.1, 99.9], axis=0)
    scale = np.maximum(high - low, np.finfo(np.float32).tiny)
    found: Points = np.clip((points - low) / scale, -0.02, 1.02).astype(np.float32)
    return found


def cluster(vectors: Vectors) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.float32]]:
    """Clusters of vectors `[n, dim]` by k-means, numbered from the largest, `[n]`; and each image's
    cosine to its cluster's mean `[n]`.

    The number grows with the root of the images. k-means gives every image a cluster, and 100,000
    take seconds; a density cluster of the raw vectors takes all pairs, and leaves most images out.
    """
    from sklearn.cluster import MiniBatchKMeans

    n = len(vectors)
    count = int(np.clip(round((n / 2) ** 0.5), 2, min(MOST_CLUSTERS, n)))
    found = MiniBatchKMeans(count, batch_size=BLOCK, n_init=3, random_state=0).fit(vectors)
    sizes = np.bincount(found.labels_, minlength=count)
    number = np.empty(count, np.int32)
    number[np.argsort(-sizes, kind="stable")] = np.arange(count)
    centres = found.cluster_centers_ / np.linalg.norm(found.cluster_centers_, axis=1, keepdims=True)
    fit = np.concatenate(
        [
            np.einsum("nd,nd->n", vectors[i : i + BLOCK], centres[found.labels_[i : i + BLOCK]])
            for i in range(0, n, BLOCK)
        ]
    )
    return number[found.labels_], fit.astype(np.float32)


def compute(folder: Path, vectors: Vectors) -> None:
    """Write what is missing of the arrays; each appears when it is whole.

    t-SNE for any number of images: below a thousand its neighbours are exact, above by Annoy, and
    from ten thousand on its forces come from a grid, so that time grows with the images.
    """
    if not (folder / "clusters.npy").exists():
        numbers, fit = cluster(vectors)
        _save(folder / "fit.npy", fit)
        _save(folder / "clusters.npy", numbers)
    from openTSNE import TSNE
    from openTSNE.affinity import PerplexityBasedNN, get_knn_index
    from openTSNE.nearest_neighbors import PrecomputedNeighbors

    whole = np.asarray(vectors)
    count = min(3 * NEIGHBOURS, len(vectors) - 1)
    index = get_knn_index(whole, "auto", count, "cosine", n_jobs=-1, random_state=0)
    near, distances = index.build()  # [n, count], the nearest first
    _save(folder / "apart.npy", likeness(vectors, near[:, :NEIGHBOURS]))
    affinities = PerplexityBasedNN(
        perplexity=count / 3, knn_index=PrecomputedNeighbors(near, distances), n_jobs=-1
    )
    points = TSNE(initialization="pca", n_jobs=-1, random_state=0).fit(whole, affinities)
    _save(folder / "map.npy", fitted(np.asarray(points)))


def likeness(vectors: Vectors, near: npt.NDArray[np.int64]) -> npt.NDArray[np.float32]:
    """The mean cosine `[n]` of vectors `[n, dim]` to those whose numbers `[n, k]` are near them."""
    blocks = [
        np.einsum("nd,nd->n", vectors[i : i + BLOCK], vectors[near[i : i + BLOCK]].mean(axis=1))
        for i in range(0, len(vectors), BLOCK)
    ]
    return np.concatenate(blocks)


def _save(file: Path, array: npt.NDArray[np.generic]) -> None:
    part = file.with_name(f".{file.stem}.{os.getpid()}.npy")
    np.save(part, array)
    part.replace(file)


if __name__ == "__main__":
    place = Path(sys.argv[1])
    mapped = np.memmap(place / "vectors", np.float32, "r").reshape(-1, int(sys.argv[2]))
    try:
        compute(place, mapped)
    except ModuleNotFoundError as error:
        sys.exit(extras.missing(error, "the map with its clusters") or str(error))
