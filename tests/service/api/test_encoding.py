import io

import numpy as np
import pytest

from service.api.encoding import rows
from service.engine.embedder import unit_length
from service.types import Embedding


def embeddings(*vectors):
    return [Embedding(np.array(vector, np.float32), 0, 0, 0, 1, 1) for vector in vectors]


@pytest.fixture
def random_embeddings():
    return embeddings(*np.random.default_rng(0).normal(size=(5, 20)))


def test_float32_rows_are_the_vectors(random_embeddings):
    array = rows(random_embeddings, normalize=False).array
    assert array.dtype == np.dtype("<f4")
    assert [row.tobytes() for row in array] == [e.vector.tobytes() for e in random_embeddings]


def test_rows_of_unit_length(random_embeddings):
    array = rows(random_embeddings, normalize=True).array
    for row, embedding in zip(array, random_embeddings, strict=True):
        assert row.tobytes() == unit_length(embedding.vector).tobytes()


def test_float16(random_embeddings):
    array = rows(random_embeddings, normalize=True, dtype="float16").array
    assert array.dtype == np.dtype("<f2")
    assert np.allclose(array, rows(random_embeddings, normalize=True).array, atol=1e-3)


def test_int8_uses_the_whole_range_and_tells_its_scale(random_embeddings):
    quantised = rows(random_embeddings, normalize=False, dtype="int8")
    assert (np.abs(quantised.array).max(axis=1) == 127).all()
    exact = np.stack([embedding.vector for embedding in random_embeddings])
    restored = quantised.array * quantised.scales[:, None]
    assert (np.abs(restored - exact) <= quantised.scales[:, None] * 0.5001).all()


def test_int8_by_hand():
    quantised = rows(embeddings([-2.54, 1.0, 0, 0.01], [0, 0, 0, 0]), normalize=False, dtype="int8")
    assert quantised.array.tolist() == [[-127, 50, 0, 0], [0, 0, 0, 0]]
    assert quantised.scales.tolist() == pytest.approx([0.02, 1])


def test_binary_by_hand():
    vector = [1, -1, 0, 0.5, -2, 3, 1e-9, -0.0, 1, -1]
    quantised = rows(embeddings(vector), normalize=False, dtype="binary")
    assert quantised.array.tolist() == [[0b10010110, 0b10000000]]
    assert quantised.shape == "1,2"


@pytest.mark.parametrize("dtype", ["float32", "float16", "int8", "binary"])
def test_npy_is_what_numpy_reads(random_embeddings, dtype):
    made = rows(random_embeddings, normalize=True, dtype=dtype)
    read = np.load(io.BytesIO(made.npy()))
    assert read.dtype == made.array.dtype
    assert np.array_equal(read, made.array)
