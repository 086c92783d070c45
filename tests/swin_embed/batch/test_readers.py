"""What is written, with errors among it, as other tools read it; pgvector and Qdrant are in
test_loaders.py."""

import numpy as np
import pytest

from swin_embed.batch.collection import Collection
from swin_embed.batch.recipe import Recipe, Row

DIM = 128


@pytest.fixture
def written(tmp_path, embedder):
    """A folder of 30 vectors in 3 parts, each with an error; one part has nothing else."""
    random = np.random.default_rng(0)
    vectors = random.normal(size=(30, DIM)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    collection = Collection.at(str(tmp_path / "out"))
    recipe = Recipe(embedder.card, embedder.model.digest)
    rows = [Row(str(n), f"p/{n}", str(n), 4, 3, vector) for n, vector in enumerate(vectors)]
    for number in range(3):
        bad = Row(f"bad {number}", "p/bad", "00", error="invalid_image: no")
        collection.write(number, recipe.table([bad, *rows[number::3]], 99), "parquet")
    bad = Row("bad 3", "p/bad", error="unreadable: no")
    collection.write(3, recipe.table([bad], 1), "parquet")
    assert collection.next_number() == 4
    return tmp_path / "out", vectors


def in_order(ids, found):
    return np.array([vector for _, vector in sorted(zip(map(int, ids), found, strict=True))])


def test_errors_have_files_of_their_own(written):
    folder, _ = written
    names = sorted(path.name for path in folder.iterdir())
    assert names == [f"_errors-{n:06}.parquet" for n in range(4)] + [
        f"part-{n:06}.parquet" for n in range(3)
    ]
    rows = [row for table in Collection.at(str(folder)).tables("id", "error", "embedding")
            for row in table.to_pylist()]  # fmt: skip
    assert len(rows) == 34
    assert [row["id"] for row in rows if row["error"]] == [f"bad {n}" for n in range(4)]
    assert all((row["embedding"] is None) == (row["error"] is not None) for row in rows)


def test_pandas(written):
    pandas = pytest.importorskip("pandas", reason="needs make setup-scale")
    frame = pandas.read_parquet(written[0])
    assert len(frame) == 30
    np.testing.assert_array_equal(in_order(frame["id"], map(tuple, frame["embedding"])), written[1])


def test_polars(written):
    polars = pytest.importorskip("polars", reason="needs make setup-scale")
    frame = polars.read_parquet(f"{written[0]}/part-*.parquet")
    assert frame["embedding"].dtype == polars.Array(polars.Float32, DIM)
    found = map(tuple, frame["embedding"].to_numpy())
    np.testing.assert_array_equal(in_order(frame["id"], found), written[1])


def test_duckdb(written):
    duckdb = pytest.importorskip("duckdb", reason="needs make setup-scale")
    query = written[1][7].tolist()
    hits = duckdb.sql(
        f"SELECT id, list_cosine_similarity(embedding::FLOAT[], {query}::FLOAT[]) AS cosine "  # noqa: S608
        f"FROM '{written[0]}/part-*.parquet' ORDER BY cosine DESC LIMIT 1"
    ).fetchall()
    assert hits[0][0] == "7"
    assert hits[0][1] == pytest.approx(1)


def test_lancedb(written, tmp_path):
    lancedb = pytest.importorskip("lancedb", reason="needs make setup-scale")
    dataset = pytest.importorskip("pyarrow.dataset")
    table = dataset.dataset(written[0]).to_table()
    made = lancedb.connect(tmp_path / "lance").create_table("images", table)
    assert made.count_rows() == 30
    assert made.search(written[1][7]).limit(1).to_list()[0]["id"] == "7"


def test_datasets(written, tmp_path):
    datasets = pytest.importorskip("datasets", reason="needs make setup-scale")
    files = f"{written[0]}/part-*.parquet"
    loaded = datasets.load_dataset(
        "parquet", data_files=files, split="train", cache_dir=str(tmp_path / "cache")
    )
    assert loaded.num_rows == 30
    np.testing.assert_array_equal(in_order(loaded["id"], loaded["embedding"]), written[1])


def test_faiss(written):
    faiss = pytest.importorskip("faiss", reason="needs make setup-scale")
    index = faiss.IndexFlatIP(DIM)
    names = []
    for table, vectors in Collection.at(str(written[0])).vectors():
        index.add(vectors)
        names += table["id"].to_pylist()
    (hit,) = index.search(written[1][7:8], 1)[1][0]
    assert names[hit] == "7"


def test_chroma(written):
    chromadb = pytest.importorskip("chromadb", reason="needs make setup-scale")
    kept = chromadb.EphemeralClient().create_collection("images")
    for table, vectors in Collection.at(str(written[0])).vectors():
        kept.add(ids=table["id"].to_pylist(), embeddings=vectors)
    assert kept.count() == 30
    assert kept.query(query_embeddings=written[1][7:8], n_results=1)["ids"] == [["7"]]
