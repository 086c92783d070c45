from dataclasses import replace

import numpy as np
import pytest

from service.engine import model
from service.engine.gpu.buckets import GRAPH, Buckets

SIZES = (1, 2, 4, 7)


class Session:
    """Passes runs on to the real one, and keeps their sizes, bindings and options."""

    def __init__(self, session) -> None:
        self.session = session
        self.runs = []

    def io_binding(self):
        return self.session.io_binding()

    def run_with_iobinding(self, binding, options):
        self.session.run_with_iobinding(binding, options)
        (vectors,) = binding.get_outputs()
        self.runs.append((vectors.shape()[0], binding, options))


@pytest.fixture
def loaded(artifact):
    loaded = model.load(artifact, "cpu", threads=1)
    return replace(loaded, session=Session(loaded.session))


def images(count: int, seed: int = 0):
    numbers = np.random.default_rng(seed)
    return list(numbers.integers(0, 256, (count, 32, 32, 3), dtype=np.uint8))


def test_every_bucket_is_run_before_the_first_request(loaded):
    Buckets(loaded, SIZES).warm_up()
    assert {size for size, _, _ in loaded.session.runs} == set(SIZES)


def test_a_batch_is_padded_to_the_next_bucket(loaded):
    buckets = Buckets(loaded, SIZES)
    buckets.warm_up()
    loaded.session.runs.clear()
    for count in range(1, 8):
        assert buckets.run(images(count)).shape == (count, 128)
    assert [size for size, _, _ in loaded.session.runs] == [1, 2, 4, 4, 7, 7, 7]


def test_vectors_have_the_same_bits_whatever_pads_the_batch(loaded):
    """Promise 1 on the CPU provider; on a GPU it holds within a bucket."""
    buckets = Buckets(loaded, SIZES)
    buckets.warm_up()
    for count in (1, 3, 5, 7, 2):
        batch = images(count, seed=count)
        expected = np.concatenate(
            [loaded.lone_session.run(None, {"pixels": image[None]})[0] for image in batch]
        )
        assert np.array_equal(buckets.run(batch), expected)


def test_one_bucket_runs_all_batches_in_one_size(loaded):
    buckets = Buckets(loaded, (4,))
    buckets.warm_up()
    for count in (1, 2, 4):
        buckets.run(images(count))
    assert {size for size, _, _ in loaded.session.runs} == {4}


def test_runs_reuse_buffers_and_their_results_outlive_them(loaded):
    buckets = Buckets(loaded, (2,))
    buckets.warm_up()
    first = buckets.run(images(2, seed=1))
    kept = first.copy()
    buckets.run(images(2, seed=2))
    assert np.array_equal(first, kept)
    assert len({id(binding) for _, binding, _ in loaded.session.runs}) == 1


def test_each_size_has_a_graph_of_its_own(loaded):
    Buckets(loaded, (1, 4), graphs=True).warm_up()
    named = {size: options.get_run_config_entry(GRAPH) for size, _, options in loaded.session.runs}
    assert named == {1: "1", 4: "4"}
