"""Figures worked out by hand."""

import numpy as np
import pytest

from training import ranking


def test_a_copy_ranks_after_those_that_are_more_alike():
    similarity = np.array([[0.9, 0.1, 0.2], [0.8, 0.5, 0.6]], np.float32)
    rank, equal = ranking.copy_ranks(similarity)
    assert rank.tolist() == [1, 3]
    assert equal.tolist() == [0, 0]
    assert ranking.first((rank, equal)).tolist() == [1, 0]


def test_equal_similarities_share_their_ranks():
    similarity = np.array([[0.5, 0.5, 0.5, 0.1]], np.float32)
    rank, equal = ranking.copy_ranks(similarity)
    assert rank.tolist() == [2]
    assert ranking.first((rank, equal)).tolist() == [pytest.approx(1 / 3)]


def test_crops_of_a_photo_find_each_other():
    near, far = [1.0, 0.0], [0.0, 1.0]
    vectors = np.array([near, near, far, far], np.float32)
    assert ranking.crop_scores(vectors, 2) == (1.0, 1.0)
    swapped = np.array([near, far, near, far], np.float32)
    recall, precision = ranking.crop_scores(swapped, 2)
    assert recall == 0
    assert 0.3 < precision < 0.5


def test_digits_take_their_neighbours_vote():
    angles = np.array([0.0, 0.01, 0.02, 1.5, 1.51, 1.52, 0.03, 1.53, 0.04, 1.54, 0.05, 0.06])
    vectors = np.stack([np.cos(angles), np.sin(angles)], 1).astype(np.float32)
    targets = np.array([1, 1, 1, 2, 2, 2, 1, 2, 1, 2, 1, 2])
    assert ranking.neighbour_accuracy(vectors, targets) == pytest.approx(5 / 6)


def test_the_nearest_other_counts_as_of_the_same_kind_or_not():
    vectors = np.array([[1, 0], [0.9, 0.1], [0, 1], [0.1, 0.9]], np.float32)
    assert ranking.same_kind(vectors, np.array([0, 0, 1, 1])) == 1
    assert ranking.same_kind(vectors, np.array([0, 1, 1, 1])) == 0.5


def test_vectors_agree_with_themselves_and_hardly_with_others():
    random = np.random.default_rng(0)
    vectors, others = random.standard_normal((2, 200, 8)).astype(np.float32)
    assert ranking.agreement(vectors, vectors) == 1
    assert ranking.agreement(vectors, others) < 0.2
