import numpy as np
import pyarrow.parquet as pq
import pytest

from swin_embed.batch import duplicates
from swin_embed.batch.collection import Collection
from swin_embed.batch.folder import Folder
from swin_embed.batch.recipe import Recipe, Row


def unit(vectors):
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


@pytest.fixture
def find(tmp_path, embedder):
    """Write vectors `[n, 128]` with a digest each; what is found above a threshold."""

    def run(vectors, sha256, threshold):
        recipe = Recipe(embedder.card, embedder.model.digest)
        collection = Collection.at(str(tmp_path / "out"))
        rows = [
            Row(str(n), f"p/{n}", digest, 1, 1, vector)
            for n, (vector, digest) in enumerate(zip(vectors, sha256, strict=True))
        ]
        half = len(rows) // 2
        collection.write(
            0, recipe.table([*rows[:half], Row("bad", "p", error="x: y")], half + 1), "parquet"
        )
        collection.write(1, recipe.table(rows[half:], len(rows)), "parquet")
        output = Folder.at(str(tmp_path / "out/duplicates"))
        found = duplicates.find(collection, threshold, output)
        pairs = pq.read_table(tmp_path / "out/duplicates/pairs.parquet").to_pylist()
        groups = pq.read_table(tmp_path / "out/duplicates/groups.parquet").to_pylist()
        assert collection.made() == recipe  # what was found is no part of the collection
        return found, pairs, groups

    return run


@pytest.mark.parametrize("block", [3, 16, 64])
def test_finds_the_pairs_that_a_full_product_finds(monkeypatch, block):
    monkeypatch.setattr(duplicates, "BLOCK", block)
    vectors = unit(np.random.default_rng(0).normal(size=(40, 4)))
    found = {
        (a, b): cosine
        for rows, columns, cosines in duplicates.pairs_above(0.9, vectors)
        for a, b, cosine in zip(rows.tolist(), columns.tolist(), cosines, strict=True)
    }
    product = vectors.astype(np.float64) @ vectors.T.astype(np.float64)
    assert set(found) == {
        (a, b) for a in range(40) for b in range(a + 1, 40) if product[a, b] >= 0.9
    }
    assert found
    for pair, cosine in found.items():
        assert cosine == pytest.approx(product[pair], abs=1e-6)


def test_groups_are_joined_through_others(find):
    angles = np.radians([0, 20, 40, 90, 100, 170])
    vectors = np.zeros((6, 128))
    vectors[:, 0], vectors[:, 1] = np.cos(angles), np.sin(angles)
    found, pairs, groups = find(unit(vectors), "abcdef", np.cos(np.radians(25)))
    assert [(pair["a"], pair["b"], pair["exact"]) for pair in pairs] == [
        ("0", "1", False),
        ("1", "2", False),
        ("3", "4", False),
    ]
    assert [(row["group"], row["id"], row["path"]) for row in groups] == [
        (0, "0", "p/0"),
        (0, "1", "p/1"),
        (0, "2", "p/2"),
        (1, "3", "p/3"),
        (1, "4", "p/4"),
    ]
    assert found == duplicates.Found(images=6, pairs=3, groups=2, grouped=5)


def test_exact_copies_are_found_at_any_threshold_and_only_with_the_first(find):
    vectors = unit(np.eye(6, 128))
    vectors[[2, 3, 5]] = vectors[1]
    found, pairs, groups = find(vectors, "abbbeb", 2.0)
    assert [(pair["a"], pair["b"], pair["cosine"], pair["exact"]) for pair in pairs] == [
        ("1", "2", 1.0, True),
        ("1", "3", 1.0, True),
        ("1", "5", 1.0, True),
    ]
    assert [row["id"] for row in groups] == ["1", "2", "3", "5"]
    assert found.images == 6


def test_a_collection_without_duplicates_has_none(find):
    found, pairs, groups = find(unit(np.eye(6, 128)), "abcdef", 0.5)
    assert (found.pairs, found.groups, pairs, groups) == (0, 0, [], [])
