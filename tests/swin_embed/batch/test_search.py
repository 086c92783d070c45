import json

import numpy as np
import pytest

from swin_embed.__main__ import main
from swin_embed.batch.collection import Collection
from swin_embed.batch.recipe import Recipe, Row

pytest.importorskip("lancedb", reason="needs make setup-scale")

from swin_embed.batch import search


@pytest.fixture
def vectors():
    """Eighty clusters, as real collections have."""
    random = np.random.default_rng(0)
    centres = random.normal(size=(80, 128))
    vectors = centres[random.integers(0, 80, 5000)] + 0.5 * random.normal(size=(5000, 128))
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


@pytest.fixture
def collection(tmp_path, embedder, vectors):
    recipe = Recipe(embedder.card, embedder.model.digest)
    collection = Collection.at(str(tmp_path / "out"))
    rows = [Row(str(n), f"p/{n}", str(n), 1, 1, vector) for n, vector in enumerate(vectors)]
    collection.write(
        0, recipe.table([*rows, Row("bad", "p", error="x: y")], len(rows) + 1), "parquet"
    )
    return collection


def test_exact_is_a_full_product_and_the_index_hardly_misses(collection, vectors, tmp_path):
    index = search.Index.of(collection, tmp_path / "index")
    recalls = []
    for query in vectors[::500]:
        cosines = vectors @ query
        best = np.argsort(-cosines)[:10]
        hits = index.nearest(query, 10, exact=True)
        assert [int(hit.id) for hit in hits] == best.tolist()
        np.testing.assert_allclose([hit.cosine for hit in hits], cosines[best], atol=1e-5)
        near = {int(hit.id) for hit in index.nearest(query, 10, exact=False)}
        recalls.append(len(near & set(best.tolist())) / 10)
    assert np.mean(recalls) >= 0.95


def test_an_index_follows_its_collection(tmp_path, embedder, vectors):
    folder, url = tmp_path / "index", tmp_path / "out"
    recipe = Recipe(embedder.card, embedder.model.digest)

    def found(number, name, vector):
        """The nearest image once a part of one row is there, or there in another's place."""
        collection = Collection.at(str(url))
        row = Row(name, f"p/{name}", name, 1, 1, vector)
        collection.write(number, recipe.table([row], 1), "parquet")
        (hit,) = search.Index.of(collection, folder).nearest(vector, 1, exact=False)
        return hit.id

    assert found(0, "first", vectors[0]) == "first"
    assert found(1, "second", -vectors[0]) == "second"
    assert found(1, "instead", -vectors[0]) == "instead"


def test_what_lies_beside_an_index_stays(collection, tmp_path, embedder, vectors):
    output = tmp_path / "out"
    (output / "notes.txt").write_text("mine")
    search.Index.of(collection, output)
    recipe = Recipe(embedder.card, embedder.model.digest)
    collection.write(1, recipe.table([Row("new", "p", "n", 1, 1, vectors[0])], 1), "parquet")
    search.Index.of(collection, output)
    assert {"notes.txt", "part-000000.parquet", "part-000001.parquet"} <= {
        path.name for path in output.iterdir()
    }


def test_a_lance_table_is_searched(tmp_path, embedder, vectors):
    collection = Collection.at(str(tmp_path / "out"))
    recipe = Recipe(embedder.card, embedder.model.digest)
    for number, vector in enumerate(vectors[:3]):
        row = Row(str(number), f"p/{number}", str(number), 1, 1, vector)
        collection.write(number, recipe.table([row], 1), "lance")
    index = search.Index.of(collection, tmp_path / "index")
    assert index.nearest(vectors[2], 1, exact=True)[0].id == "2"


def test_a_collection_of_errors_has_no_hits(tmp_path, embedder, vectors):
    collection = Collection.at(str(tmp_path / "out"))
    recipe = Recipe(embedder.card, embedder.model.digest)
    collection.write(0, recipe.table([Row("bad", "p", error="x: y")], 1), "parquet")
    index = search.Index.of(collection, tmp_path / "index")
    assert index.nearest(vectors[0], 10, exact=False) == []


def test_an_image_finds_itself_and_a_sheet_shows_it(photos, tmp_path, artifact, capsys):
    output, page = tmp_path / "out", tmp_path / "sheet.html"
    model = f"--model={artifact}"
    main(["embed", str(photos), f"--output={output}", model])
    query = str(photos / "07.png")
    capsys.readouterr()
    (photos / "02.png").unlink()
    arguments = ["search", str(output), query, "-k", "11", "--json", f"--html={page}", model]
    assert main(arguments) == 0
    hits = json.loads(capsys.readouterr().out)
    assert hits[0]["path"] == query
    assert hits[0]["cosine"] == pytest.approx(1, abs=1e-5)
    assert len(hits) == 11
    text = page.read_text()
    assert text.count("<img") == 11
    assert text.count('href="file://') == 2 * 12
    assert text.count("not readable any more") == 1


def test_another_models_vectors_are_not_searched(photos, tmp_path, artifact, capsys):
    output, other = tmp_path / "out", tmp_path / "other.onnx"
    main(["embed", str(photos), f"--output={output}", f"--model={artifact}"])
    other.write_bytes(artifact.read_bytes() + b"\x0a\x00")
    assert main(["search", str(output), str(photos / "07.png"), f"--model={other}"]) == 1
    assert "name it with --model" in capsys.readouterr().err


def test_several_queries_find_what_is_near_all_and_a_pipe_can_read_it(
    photos, tmp_path, artifact, capsys, expected
):
    output = tmp_path / "out"
    main(["embed", str(photos), f"--output={output}", f"--model={artifact}"])
    queries = [photos / "07.png", photos / "08.png"]
    capsys.readouterr()
    names = [str(query) for query in queries]
    assert main(["search", str(output), *names, "-k3", "--exact", f"--model={artifact}"]) == 0
    lines = [line.split("\t") for line in capsys.readouterr().out.splitlines()]
    mean = sum(expected(*(query.read_bytes() for query in queries)))
    mean /= np.linalg.norm(mean)
    for cosine, path in lines:
        (vector,) = expected((photos / path).read_bytes())
        assert float(cosine) == pytest.approx(vector @ mean, abs=1e-4)
    assert len(lines) == 3


def test_the_model_that_made_a_collection_is_found_beside_the_one_that_is_named(
    photos, tmp_path, artifact, capsys
):
    output, models = tmp_path / "out", tmp_path / "models"
    models.mkdir()
    (models / "made.onnx").write_bytes(artifact.read_bytes())
    other = models / "other.onnx"
    other.write_bytes(artifact.read_bytes() + b"\x0a\x00")
    main(["embed", str(photos), f"--output={output}", f"--model={artifact}"])
    assert main(["search", str(output), str(photos / "07.png"), f"--model={other}"]) == 0
    assert capsys.readouterr().out.splitlines()[0].endswith("07.png")
