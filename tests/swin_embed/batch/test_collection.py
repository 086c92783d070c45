import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from model_export.model_card import METADATA_KEY, ModelCard
from swin_embed.batch.collection import Collection
from swin_embed.batch.errors import OutputError
from swin_embed.batch.recipe import Recipe, Row

HALF = Row("a", "p/a", "00", 4, 3, np.linspace(0, 1, 128, dtype=np.float32))
BAD = Row("b", "p/b", "11", error="invalid_image: no")
LAST = Row("c", "p/c", "22", 5, 6, -np.ones(128, np.float32))
COLUMNS = ("id", "path", "sha256", "width", "height", "embedding", "error")


@pytest.fixture
def recipe(embedder):
    return Recipe(embedder.card, embedder.model.digest)


@pytest.mark.parametrize("form", ["parquet", "npy", "lance"])
@pytest.mark.parametrize("dtype", ["float32", "float16"])
def test_what_is_written_is_read(tmp_path, embedder, form, dtype):
    if form == "lance":
        pytest.importorskip("lancedb", reason="needs make setup-scale")
    recipe = Recipe(embedder.card, embedder.model.digest, dtype)
    collection = Collection.at(str(tmp_path / "out"))
    assert collection.recipe() is None
    assert collection.next_number() == 0
    for number, rows in enumerate([[HALF, BAD], [LAST]]):
        collection.write(number, recipe.table(rows, 99), form)
    assert collection.recipe() == recipe
    collection.admit(recipe)
    found = [row for table in collection.tables(*COLUMNS) for row in table.to_pylist()]
    found.sort(key=lambda row: row["id"])
    assert [row["id"] for row in found] == ["a", "b", "c"]
    assert found[1] | {"path": "p/b", "sha256": "11", "error": BAD.error} == found[1]
    assert found[1]["embedding"] is None
    np.testing.assert_array_equal(found[0]["embedding"], HALF.vector.astype(dtype))
    np.testing.assert_array_equal(found[2]["embedding"], LAST.vector)
    lengths = [np.linalg.norm(vectors, axis=1) for _, vectors in collection.vectors()]
    np.testing.assert_allclose(np.concatenate(lengths), [1, 1], rtol=1e-6)
    names = {name for table, _ in collection.vectors() for name in table["id"].to_pylist()}
    assert names == {"a", "c"}


def test_a_part_says_which_model_made_it(tmp_path, recipe, embedder):

    collection = Collection.at(str(tmp_path))
    collection.write(7, recipe.table([HALF], 1), "parquet")
    metadata = pq.read_schema(tmp_path / "part-000007.parquet").metadata
    assert ModelCard.model_validate_json(metadata[METADATA_KEY.encode()]) == embedder.card
    assert collection.next_number() == 8


def test_vectors_of_another_making_are_refused(tmp_path, recipe, embedder):
    collection = Collection.at(str(tmp_path))
    collection.write(0, recipe.table([HALF], 1), "parquet")
    other = Recipe(embedder.card, "f" * 64)
    with pytest.raises(OutputError, match=r"ffffffffffff.*another --output"):
        collection.admit(other)
    with pytest.raises(OutputError, match="float32, normalized True, not float16"):
        collection.admit(Recipe(embedder.card, embedder.model.digest, "float16"))
    collection.write(1, other.table([BAD], 1), "parquet")
    with pytest.raises(OutputError, match="cannot be compared"):
        collection.recipe()


def test_a_folder_of_other_tables_is_no_collection(tmp_path):

    with pytest.raises(OutputError, match="holds no vectors"):
        Collection.at(str(tmp_path)).made()
    pq.write_table(pa.table({"id": ["a"]}), tmp_path / "part-000000.parquet")
    with pytest.raises(OutputError, match="not written by swin-embed"):
        Collection.at(str(tmp_path)).made()
