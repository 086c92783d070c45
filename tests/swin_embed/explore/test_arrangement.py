import numpy as np
import pytest

from swin_embed.explore.arrangement import Arrangement, cluster, components, compute, fitted

pytestmark = pytest.mark.slow


@pytest.fixture
def vectors():
    """Four groups of thirty, and one that is like none."""
    random = np.random.default_rng(0)
    centres = np.eye(5, 32)[[0, 1, 2, 3]]
    groups = np.repeat(centres, 30, axis=0) + 0.05 * random.normal(size=(120, 32))
    vectors = np.concatenate([groups, -np.eye(5, 32)[4:5]])
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


def test_components_are_those_of_a_singular_value_decomposition(vectors, monkeypatch):
    monkeypatch.setattr("swin_embed.explore.arrangement.BLOCK", 50)
    centred = vectors - vectors.mean(axis=0)
    _, _, axes = np.linalg.svd(centred)
    expected = fitted(centred @ axes[[1, 0]].T)
    points = components(vectors)
    for axis in (0, 1):  # up to sign
        assert abs(np.corrcoef(points[:, axis], expected[:, axis])[0, 1]) > 0.999
    assert points.min() >= -0.02
    assert points.max() <= 1.02


def test_clusters_are_numbered_from_the_largest_and_fit_is_the_cosine_to_the_mean(vectors):
    numbers, fit = cluster(vectors)
    sizes = np.bincount(numbers)
    assert (np.diff(sizes) <= 0).all()
    for number in range(len(sizes)):
        mean = vectors[numbers == number].mean(axis=0)
        mean /= np.linalg.norm(mean)
        np.testing.assert_allclose(
            fit[numbers == number], vectors[numbers == number] @ mean, atol=0.05
        )


def test_a_map_and_what_stands_out_are_kept(vectors, tmp_path):
    arrangement = Arrangement(tmp_path, vectors)
    compute(tmp_path, vectors)
    assert arrangement.state()["there"] == ["clusters", "fit", "apart", "map"]
    assert arrangement.load("map").shape == (121, 2)
    apart = arrangement.load("apart")
    assert apart.argmin() == 120
    assert apart[:120].min() > 0.5


def test_a_few_images_have_a_map_and_nothing_is_computed_beside(tmp_path):
    arrangement = Arrangement(tmp_path, np.eye(3, 8, dtype=np.float32))
    arrangement.start()
    assert arrangement.state() == {"there": ["pca"], "running": False, "trouble": ""}
