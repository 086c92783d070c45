"""Another image size: windows in proportion, bias tables spread as timm spreads them."""

import numpy as np
import pytest

from model_export.checkpoints.seeded import seeded
from model_export.errors import CheckpointError
from model_export.resizing import interpolated, resized
from tests.support.small_model import SMALL_MODEL, SMALL_MODEL_V2
from tests.support.weights import lively


def test_windows_keep_their_share_of_the_image():
    entry, checkpoint = resized(SMALL_MODEL, lively(SMALL_MODEL.architecture), 64)
    assert entry.architecture.windows == (8, 8)
    assert entry.preprocessing.crop == 64
    table = checkpoint.tensors["stages.0.blocks.0.attention.relative_position_bias_table"]
    assert table.shape == (15 * 15, 2)
    assert "windows from 4 to 8, position bias tables interpolated" in checkpoint.notes[-1]


def test_v2_keeps_its_tensors():
    checkpoint = lively(SMALL_MODEL_V2.architecture)
    entry, larger = resized(SMALL_MODEL_V2, checkpoint, 64)
    assert entry.architecture.windows == (8, 8)
    assert larger.tensors == checkpoint.tensors
    assert "interpolated" not in larger.notes[-1]


def test_the_same_size_changes_nothing():
    checkpoint = seeded(SMALL_MODEL.architecture)
    assert resized(SMALL_MODEL, checkpoint, 32) == (SMALL_MODEL, checkpoint)


def test_a_size_that_windows_do_not_fill_is_refused():
    with pytest.raises(CheckpointError, match=r"36.*not a multiple of 8; multiples of 8 fit"):
        resized(SMALL_MODEL, seeded(SMALL_MODEL.architecture), 36)


def test_bias_tables_are_interpolated_as_timm_does():
    # timm 1.0.31: resize_rel_pos_bias_table(arange(25), (4, 4)), the corner of 7 x 7
    timms = [
        [0, 0.3333329, 1, 2],
        [1.6666646, 1.9999975, 2.6666646, 3.6666646],
        [5, 5.333333, 6, 7],
        [10, 10.333333, 10.999999, 12],
    ]
    found = interpolated(np.arange(25, dtype=np.float32)[:, None], 4).reshape(7, 7)
    np.testing.assert_allclose(found[:4, :4], timms, atol=1e-5)
