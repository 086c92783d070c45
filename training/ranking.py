"""From vectors to figures: who comes first, and how often rightly. Pure NumPy."""

import numpy as np
import numpy.typing as npt

Matrix = npt.NDArray[np.float32]
NEIGHBOURS = 5

Ranks = tuple[npt.NDArray[np.float64], npt.NDArray[np.int64]]


def copy_ranks(similarity: Matrix) -> Ranks:
    """Rank of the right reference for each query, and how many others equal it.

    `similarity` is [queries, references]; query i is a copy of reference i.
    """
    right = similarity[np.arange(len(similarity)), np.arange(len(similarity))][:, None]
    better = (similarity > right + 1e-6).sum(1)
    equal = (np.abs(similarity - right) <= 1e-6).sum(1) - 1
    return 1 + better + equal / 2, equal


def first(ranks: Ranks) -> npt.NDArray[np.float64]:
    """The chance that the right one comes first."""
    rank, equal = ranks
    return np.where(rank - equal / 2 == 1, 1 / (1 + equal), 0.0)


def crop_scores(vectors: Matrix, each: int) -> tuple[float, float]:
    """Recall@1 and mean average precision, of rows that belong together `each` at a time."""
    similarity = vectors @ vectors.T
    np.fill_diagonal(similarity, -np.inf)
    of = np.arange(len(vectors)) // each
    found = of[np.argsort(-similarity, axis=1, kind="stable")[:, :-1]] == of[:, None]
    precision = np.cumsum(found, axis=1) / np.arange(1, len(vectors))
    return float(found[:, 0].mean()), float(((precision * found).sum(1) / (each - 1)).mean())


def same_kind(vectors: Matrix, kinds: npt.NDArray[np.int64]) -> float:
    """Share of rows whose nearest other row is of the same kind."""
    return float((kinds[_nearest(vectors, 1)[:, 0]] == kinds).mean())


def agreement(vectors: Matrix, others: Matrix) -> float:
    """Share of rows whose nearest other row is among the NEIGHBOURS nearest by other vectors."""
    nearest = _nearest(vectors, 1)
    return float((nearest == _nearest(others, NEIGHBOURS)).any(1).mean())


def _nearest(vectors: Matrix, count: int) -> npt.NDArray[np.int64]:
    similarity = vectors @ vectors.T
    np.fill_diagonal(similarity, -np.inf)
    return np.argsort(-similarity, axis=1, kind="stable")[:, :count]


def neighbour_accuracy(vectors: Matrix, targets: npt.NDArray[np.int64]) -> float:
    """Share of the second half that most of its nearest neighbours in the first half agree with."""
    half = len(vectors) // 2
    nearest = np.argsort(-(vectors[half:] @ vectors[:half].T), axis=1)[:, :NEIGHBOURS]
    votes = np.stack([np.bincount(row, minlength=10) for row in targets[:half][nearest]])
    return float((votes.argmax(1) == targets[half:]).mean())
