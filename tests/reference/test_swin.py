"""The seed example: a 32 x 32 x 3 image, patch 4, C = 64, M = 4, each figure of it."""

import numpy as np
import pytest

from tests.reference import swin
from tests.support.small_model import SMALL_MODEL
from tests.support.weights import lively

WEIGHTS = lively(SMALL_MODEL.architecture).tensors


@pytest.fixture
def image():
    return np.random.default_rng(1).standard_normal((32, 32, 3))


@pytest.fixture
def tokens(image):
    weights = swin.part(WEIGHTS, "linear_embedding")
    return swin.linear_embedding(swin.patch_partition(image, 4), weights)


def test_an_image_is_64_patches_of_48_values(image):
    patches = swin.patch_partition(image, 4)
    assert patches.shape == (8, 8, 48)
    assert patches.reshape(-1, 48).shape[0] == 64
    # The second patch of the first row begins where the first ends.
    np.testing.assert_array_equal(patches[0, 1, :3], image[0, 4])


def test_linear_embedding_makes_8_x_8_tokens_of_64_channels(tokens):
    assert tokens.shape == (8, 8, 64)


def test_windows_hold_16_tokens_and_every_token_is_in_one():
    found = swin.windows(8, 4, 0)
    assert [len(rows) for rows, _ in found] == [16, 16, 16, 16]
    places = {place for rows, columns in found for place in zip(rows, columns, strict=True)}
    assert len(places) == 64


def test_a_shift_by_2_makes_9_windows_of_which_only_the_middle_one_is_whole():
    sizes = [len(rows) for rows, _ in swin.windows(8, 4, 2)]
    assert sorted(sizes) == [4, 4, 4, 4, 8, 8, 8, 8, 16]


def test_a_window_and_head_takes_256_dot_products(tokens):
    rows, columns = swin.windows(8, 4, 0)[0]
    weights = swin.part(WEIGHTS, "stages.0.blocks.0.attention")
    in_window = tokens[rows, columns]
    query, key, _ = np.split(swin.linear(in_window, swin.part(weights, "qkv")), 3, axis=-1)
    table = weights["relative_position_bias_table"][:, 0]
    bias = swin.relative_position_bias(table, rows, columns, 4)
    scores = swin.attention_scores(query[:, :32], key[:, :32], bias)
    assert scores.size == 256


def test_patch_merging_concatenates_to_256_and_projects_to_128(tokens):
    assert swin.concatenate_neighbours(tokens).shape == (4, 4, 256)
    merged = swin.patch_merging(tokens, swin.part(WEIGHTS, "stages.1.patch_merging"))
    assert merged.shape == (4, 4, 128)


def test_a_shift_moves_what_attends_to_what(tokens):
    weights = swin.part(WEIGHTS, "stages.0.blocks.0")
    changed = tokens.copy()
    changed[0, 0, 0] += 1
    moved = {
        shift: np.abs(
            swin.swin_block(changed, weights, 2, 4, shift)
            - swin.swin_block(tokens, weights, 2, 4, shift)
        ).any(axis=-1)
        for shift in (0, 2)
    }
    expected = np.zeros((8, 8), bool)
    expected[:4, :4] = True
    np.testing.assert_array_equal(moved[0], expected)
    expected = np.zeros((8, 8), bool)
    expected[:2, :2] = True
    np.testing.assert_array_equal(moved[2], expected)
