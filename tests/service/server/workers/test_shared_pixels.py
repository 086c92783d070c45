import os

import numpy as np
import pytest

from service.server.workers import shared_pixels
from service.server.workers.shared_pixels import Layout, SharedPixels

LAYOUT = Layout(lanes=3, images=2, side=5, dim=7)


@pytest.fixture
def both():
    """Two mappings of the same memory, as two processes have them."""
    one = SharedPixels.create(LAYOUT)
    other = SharedPixels(LAYOUT, one.descriptor)
    os.close(one.descriptor)
    return one, other


def test_what_one_writes_the_other_reads(both):
    one, other = both
    random = np.random.default_rng(0)
    pixels = random.integers(0, 256, (3, 2, 5, 5, 3), np.uint8)
    vectors = random.normal(size=(3, 2, 7)).astype(np.float32)
    one.pixels[:] = pixels
    other.vectors[:] = vectors
    one.beat(healthy=True)
    assert np.array_equal(other.pixels, pixels)
    assert np.array_equal(one.vectors, vectors)
    assert other.healthy()


def test_the_engine_is_well_when_it_says_so(both):
    one, other = both
    assert not other.healthy()
    one.beat(healthy=True)
    assert other.healthy()
    one.beat(healthy=False)
    assert not other.healthy()


def test_an_engine_that_says_nothing_is_not_well(both, monkeypatch):
    one, other = both
    monkeypatch.setattr(shared_pixels, "BEAT_LASTS_S", 0.0)
    one.beat(healthy=True)
    assert not other.healthy()


def test_the_memory_has_no_name(both):
    one, _ = both
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(one.descriptor)
    assert one.pixels.sum() == 0
