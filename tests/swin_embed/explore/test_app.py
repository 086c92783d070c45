import io

import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image
from starlette.testclient import TestClient

from swin_embed.batch import duplicates
from swin_embed.batch.collection import Collection
from swin_embed.explore.app import create
from swin_embed.explore.arrangement import Arrangement
from swin_embed.explore.catalog import Catalog
from swin_embed.explore.thumbnails import Thumbnails
from tests.support.images import encode, noise

BASE = "http://127.0.0.1:8000"


@pytest.fixture
def catalog(collection, tmp_path):
    return Catalog.of(Collection.at(str(collection)), tmp_path)


@pytest.fixture
def client(catalog, collection, tmp_path, expected):
    arrangement = Arrangement(catalog.folder, catalog.vectors)
    thumbnails = Thumbnails(tmp_path / "thumbnails.sqlite", 10**6)
    app = create(
        catalog,
        arrangement,
        thumbnails,
        lambda image: expected(image)[0],
        lambda threshold: duplicates.find(Collection.at(str(collection)), threshold),
        8000,
    )
    with TestClient(app, BASE) as client:
        yield client
    thumbnails.close()


def number_of(client, name):
    return client.get("/api/images").json()["names"].index(name)


def test_images_are_told_with_errors_and_missing_files(client):
    table = client.get("/api/images").json()
    assert len(table["names"]) == 27
    assert table["vectors"] == 26
    assert table["errors"][0].startswith("invalid_image")
    files = client.get("/api/files").json()
    assert [table["names"][n] for n in files["missing"]] == ["gone.png"]
    assert files["bytes"].count(None) == 1
    assert set(table["types"]) == {"png", "webp"}


@pytest.mark.parametrize(
    "headers",
    [
        {"Host": "evil.example:8000"},
        {"Host": "127.0.0.1.evil.example:8000"},
        {"Host": "127.0.0.1:9000"},
        {"Host": ""},
        {"Origin": "http://evil.example"},
        {"Origin": "null"},
        {"Sec-Fetch-Site": "cross-site"},
    ],
)
@pytest.mark.parametrize("path", ["/api/images", "/api/thumbnail/0"])
def test_other_sites_get_nothing(client, headers, path):
    assert client.get(path, headers=headers).status_code == 403


def test_the_page_may_load_nothing_from_elsewhere(client):
    policy = client.get("/").headers["Content-Security-Policy"]
    assert policy.startswith("default-src 'self'; img-src 'self' blob:;")
    assert "unsafe" not in policy
    for name in ("explore.js", "explore.css", "tiles.js"):
        assert client.get(f"/page/{name}").status_code == 200
    assert client.get("/playground/map.js").status_code == 200
    assert client.get("/page/..%2f..%2fapp.py").status_code == 404


def test_thumbnails_are_made_once_and_images_leave_as_jpegs(client, collection):
    number = number_of(client, "0-small.webp")
    first = client.get(f"/api/thumbnail/{number}")
    assert first.headers["Content-Type"] == "image/jpeg"
    assert Image.open(io.BytesIO(first.content)).size == (48, 48)
    place = collection.parent / "photos/even/0-small.webp"
    place.rename(place.with_suffix(".away"))
    try:
        assert client.get(f"/api/thumbnail/{number}").content == first.content
        assert client.get(f"/api/image/{number}").status_code == 404
    finally:
        place.with_suffix(".away").rename(place)
    assert client.get(f"/api/image/{number}").headers["Content-Type"] == "image/jpeg"


def test_what_is_not_the_image_that_was_embedded_is_not_shown(client, collection, tmp_path):
    """Whether it was replaced, or is a link to elsewhere by now."""
    place = collection.parent / "photos/even/2-small.webp"
    embedded = place.read_bytes()
    elsewhere = tmp_path / "private.webp"
    elsewhere.write_bytes(encode(noise(40, 40, 7), "WEBP"))
    number = number_of(client, place.name)
    place.unlink()
    try:
        place.symlink_to(elsewhere)
        assert client.get(f"/api/thumbnail/{number}").status_code == 404
        assert client.get(f"/api/image/{number}").status_code == 404
        place.unlink()
        place.write_bytes(elsewhere.read_bytes())
        assert client.get(f"/api/image/{number}").status_code == 404
    finally:
        place.unlink()
        place.write_bytes(embedded)
    assert client.get(f"/api/thumbnail/{number}").status_code == 200


@pytest.mark.parametrize("name", ["gone.png", "damaged.png"])
def test_what_cannot_be_shown_is_404(client, name):
    assert client.get(f"/api/thumbnail/{number_of(client, name)}").status_code == 404


@pytest.mark.parametrize("number", ["27", "-1", "999999999999"])
def test_a_number_of_no_image_is_404(client, number):
    assert client.get(f"/api/thumbnail/{number}").status_code == 404
    assert client.get(f"/api/like/{number}").status_code == 404


def test_search_by_number_and_by_image_is_a_full_product(client, catalog, collection):
    number = number_of(client, "3.png")
    hits = client.get(f"/api/like/{number}").json()
    cosines = catalog.vectors @ catalog.vectors[number]
    assert [cosine for _, cosine in hits] == pytest.approx(sorted(cosines, reverse=True), abs=1e-5)
    image = (collection.parent / "photos/odd/3.png").read_bytes()
    searched = client.post("/api/search", content=image).json()
    assert [n for n, _ in searched][:2] == [n for n, _ in hits][:2]
    refused = client.post("/api/search", content=b"no image")
    assert refused.status_code == 422
    assert refused.text


def test_duplicates_are_told_by_number(client):
    groups = client.get("/api/duplicates?threshold=0.999999").json()
    names = client.get("/api/images").json()["names"]
    exact = {
        (names[group["keep"]], names[number])
        for group in groups
        for number, _, is_exact in group["copies"]
        if is_exact
    }
    assert {frozenset(pair) for pair in exact} == {
        frozenset((f"{n}.png", f"{n}-copy.png")) for n in range(8)
    }


def test_a_selection_is_written(client, tmp_path):
    numbers = [number_of(client, name) for name in ("1.png", "2.png")]
    paths = client.post("/api/selection", json={"form": "paths", "images": numbers})
    assert [line.rpartition("/")[2] for line in paths.text.splitlines()] == ["1.png", "2.png"]
    text = client.post("/api/selection", json={"form": "csv", "images": numbers}).text
    assert text.splitlines()[0] == "id,path,sha256,width,height"
    body = client.post("/api/selection", json={"form": "parquet", "images": numbers}).content
    rows = pq.read_table(io.BytesIO(body)).to_pylist()
    assert [row["width"] for row in rows] == [64, 64]
    assert client.post("/api/selection", json={"form": "exe", "images": []}).status_code == 422


def test_a_catalogue_is_kept_while_the_collection_is_the_same(collection, tmp_path, catalog):
    stamp = (catalog.folder / "vectors").stat().st_mtime_ns
    again = Catalog.of(Collection.at(str(collection)), tmp_path)
    assert again.folder == catalog.folder
    assert (again.folder / "vectors").stat().st_mtime_ns == stamp
    np.testing.assert_array_equal(again.vectors, catalog.vectors)


def test_arrays_come_when_they_are_there(client, catalog):
    assert client.get("/api/arrays/pca").status_code == 404
    np.save(catalog.folder / "pca.npy", np.zeros((26, 2), np.float32))
    assert len(client.get("/api/arrays/pca").content) == 26 * 8
    assert client.get("/api/arrays/rows").status_code == 404
