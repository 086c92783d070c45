import numpy as np
import pytest

from model_export.network import windows
from tests.reference import swin as reference


def test_window_order_takes_each_place_in_a_window_from_every_window_in_turn():
    assert windows.window_order(4, 4, 2).tolist() == [
        *(0, 2, 8, 10),
        *(1, 3, 9, 11),
        *(4, 6, 12, 14),
        *(5, 7, 13, 15),
    ]


def test_a_shift_rolls_the_map_towards_the_top_left():
    assert windows.window_order(4, 4, 2, shift=1).tolist() == [
        *(5, 7, 13, 15),
        *(6, 4, 14, 12),
        *(9, 11, 1, 3),
        *(10, 8, 2, 0),
    ]


def test_reordering_gathers_one_order_into_another():
    plain, shifted = windows.window_order(8, 8, 4), windows.window_order(8, 8, 4, 2)
    values = np.random.default_rng(0).standard_normal(64)
    in_plain_order, in_shifted_order = values[plain], values[shifted]
    index = windows.reordering(plain, shifted)
    np.testing.assert_array_equal(in_plain_order[index], in_shifted_order)


@pytest.mark.parametrize("shift", [0, 2])
def test_merging_groups_are_2_x_2_neighbours_in_the_next_stages_order(shift):
    x = np.random.default_rng(0).standard_normal((8, 8, 3))
    current, wanted = windows.window_order(8, 8, 4, shift), windows.window_order(4, 4, 2)
    tokens = x.reshape(64, 3)[current]
    merged = tokens[windows.merging_groups(8, 8, current, wanted)].reshape(16, 12)
    expected = reference.concatenate_neighbours(x).reshape(16, 12)[wanted]
    np.testing.assert_array_equal(merged, expected)


@pytest.mark.parametrize("window", [1, 4, 7])
def test_relative_position_index_is_that_of_the_offset(window):
    table = np.arange((2 * window - 1) ** 2)
    rows, columns = np.divmod(np.arange(window**2), window)
    np.testing.assert_array_equal(
        table[windows.relative_position_index(window)],
        reference.relative_position_bias(table, rows, columns, window),
    )


def test_attention_mask_keeps_apart_what_only_the_shift_brought_together():
    mask = windows.attention_mask(8, 8, 4, 2)
    assert mask.shape == (4, 16, 16)
    order = windows.window_order(8, 8, 4, 2).reshape(16, 4).T
    together = np.zeros((64, 64), bool)
    for rows, columns in reference.windows(8, 4, 2):
        raster = rows * 8 + columns
        together[np.ix_(raster, raster)] = True
    expected = np.where(together[order[:, :, None], order[:, None, :]], 0, -100)
    np.testing.assert_array_equal(mask, expected)


def test_without_a_shift_nothing_is_masked():
    assert not windows.attention_mask(8, 8, 4, 0).any()
