"""Every dialect gives the vectors of `/embed`, in its own words, and says what it does not take."""

import base64
import json

import numpy as np
import pytest

from tests.hostile.bodies import GOOD, MODEL, PIXEL
from tests.service.api.test_embed import vectors
from tests.support.images import encode, noise

NAME = "swin_small_example_patch4_window4_32"
IMAGES = [encode(noise(9, 7)), encode(noise(30, 40))]
B64 = [base64.b64encode(image).decode() for image in IMAGES]
URIS = [f"data:image/png;base64,{text}" for text in B64]
PREDICT = f"/v1/models/{NAME}:predict"


def listed(answer):
    return [item["embedding"] for item in answer["data"]]


def urls(kind="image_url"):
    return [{"type": kind, "image_url": {"url": uri}} for uri in URIS]


def contents(parts):
    return [{"content": [part]} for part in parts]


ASKED = {
    "Jina's objects": ("/v1/embeddings", {"input": [{"image": B64[0]}, {"bytes": B64[1]}]}, listed),
    "Jina's addresses": ("/v1/embeddings", {"input": [{"image": uri} for uri in URIS]}, listed),
    "messages": ("/v1/embeddings", {"messages": [{"role": "user", "content": urls()}]}, listed),
    "messages as input": ("/v1/embeddings", {"input": contents(urls())}, listed),
    "infinity": (
        "/embeddings",
        {"model": "default/not-specified", "input": URIS, "dimensions": 0, "modality": "image"},
        listed,
    ),
    "Azure": ("/images/embeddings", {"input": [{"image": uri} for uri in URIS]}, listed),
    "Voyage": (
        "/v1/multimodalembeddings",
        {"inputs": contents([{"type": "image_base64", "image_base64": uri} for uri in URIS])},
        listed,
    ),
    "Cohere": ("/v2/embed", {"images": URIS}, lambda answer: answer["embeddings"]["float"]),
    "Cohere's inputs": (
        "/v1/embed",
        {"inputs": contents(urls())},
        lambda answer: answer["embeddings"]["float"],
    ),
    "multi2vec-clip": ("/vectorize", {"texts": [], "images": B64}, lambda a: a["imageVectors"]),
    "KServe V1": (
        PREDICT,
        {"instances": [{"b64": B64[0]}, {"image_bytes": {"b64": B64[1]}}]},
        lambda answer: answer["predictions"],
    ),
}


@pytest.fixture(scope="module")
def expected():
    return {}


@pytest.mark.parametrize("dialect", ASKED)
def test_the_same_vectors_as_at_embed(client, expected, dialect):
    path, body, vectors_of = ASKED[dialect]
    answer = client.post(path, json=body)
    assert answer.status_code == 200, answer.text
    if not expected:
        files = [("files", image) for image in IMAGES]
        expected["rows"] = vectors(client.post("/embed", files=files))
    assert np.array_equal(np.array(vectors_of(answer.json()), np.float32), expected["rows"])


def test_answers_in_their_words(client):
    embeddings = client.post("/v1/embeddings", json={"messages": [{"content": urls()}]}).json()
    assert embeddings["id"].startswith("embd-")
    assert embeddings["created"] > 1e9
    voyage = client.post(ASKED["Voyage"][0], json=ASKED["Voyage"][1]).json()
    pixels = 9 * 7 + 30 * 40
    assert voyage["usage"] == {
        "text_tokens": 0,
        "image_pixels": pixels,
        "video_pixels": 0,
        "total_tokens": pixels,
    }
    kinds = ["float", "int8", "uint8", "binary", "ubinary"]
    cohere = client.post("/v2/embed", json={"images": URIS, "embedding_types": kinds}).json()
    assert list(cohere["embeddings"]) == kinds
    assert [(one["width"], one["height"]) for one in cohere["images"]] == [(9, 7), (30, 40)]
    assert cohere["meta"]["billed_units"] == {"images": 2}
    assert "response_type" not in cohere
    first = client.post("/v1/embed", json={"images": URIS}).json()
    assert first["response_type"] == "embeddings_by_type"
    neural = client.post("/vectors", json={"id": "7", "image": B64[0]}).json()
    assert (neural["id"], neural["dim"], len(neural["vector"])) == ("7", 128, 128)
    assert client.get(f"/v1/models/{NAME}").json()["ready"] is True


def test_cohere_s_integers_point_where_its_floats_do(client):
    kinds = ["float", "int8", "uint8", "binary", "ubinary"]
    body = {"images": URIS, "embedding_types": kinds}
    rows = {
        kind: np.array(values, np.float64)
        for kind, values in client.post("/v2/embed", json=body).json()["embeddings"].items()
    }
    cosines = (rows["float"] * rows["int8"]).sum(1) / np.linalg.norm(rows["int8"], axis=1)
    assert cosines.min() > 0.9999
    assert np.array_equal(rows["uint8"], rows["int8"] + 128)
    assert np.array_equal(rows["binary"], rows["ubinary"] - 128)
    assert np.array_equal(
        np.unpackbits(rows["ubinary"].astype(np.uint8), axis=1), rows["float"] > 0
    )


TEXT = {
    "a word": ("/v1/embeddings", {"input": "a cat"}, "this model embeds images"),
    "token ids": ("/v1/embeddings", {"input": [[1, 2]]}, "check_embedding_ctx_length=False"),
    "token ids of one": ("/v1/embeddings", {"input": [1, 2]}, "check_embedding_ctx_length=False"),
    "a part": ("/v1/embeddings", {"input": [{"text": "a cat"}]}, "this model embeds images"),
    "a modality": ("/embeddings", {"input": "a cat", "modality": "text"}, "embeds images"),
    "Cohere's": ("/v2/embed", {"texts": ["a cat"]}, "this model embeds images"),
    "Voyage's": ("/v1/multimodalembeddings", {"inputs": [{"content": [{"text": "x"}]}]}, "images"),
    "CLIP's": ("/vectorize", {"texts": ["a cat"], "images": []}, "this model embeds images"),
    "messages": ("/v1/embeddings", {"messages": [{"content": "a cat"}]}, "embeds images"),
}


@pytest.mark.parametrize("case", TEXT)
def test_texts_are_refused_with_a_word_on_what_is_embedded(client, case):
    path, body, says = TEXT[case]
    answer = client.post(path, json=body)
    assert answer.status_code == 400
    assert says in answer.text


@pytest.mark.parametrize("path", GOOD)
def test_a_text_in_the_place_of_an_image_is_refused_so_at_every_door(client, path):
    body = json.dumps(GOOD[path]).replace(PIXEL, "a photo of a cat").replace("data:;base64,", "")
    answer = client.post(path.replace(MODEL, NAME), content=body)
    assert answer.status_code == 400
    assert "this model embeds images" in answer.text


def test_errors_in_their_shape(client):
    flat = ("/vectors", "/vectorize", PREDICT)
    for path in (path.replace(MODEL, NAME) for path in GOOD):
        error = client.post(path, json={}).json()["error"]
        assert isinstance(error, str) == (path in flat or path.endswith("/infer"))
        if isinstance(error, dict):
            assert error["code"] == "invalid_request"


def test_the_model_has_the_names_that_the_operator_gives_it(serve):
    client = serve(model_aliases="embed-v4.0,voyage-multimodal-3")
    for name in ("embed-v4.0", "voyage-multimodal-3", "default", NAME, ""):
        body = GOOD["/v1/embeddings"] | {"model": name}
        assert client.post("/v1/embeddings", json=body).status_code == 200
    assert client.post("/v1/models/embed-v4.0:predict", json={"instances": [{"b64": B64[0]}]})
    other = client.post("/v1/embeddings", json=GOOD["/v1/embeddings"] | {"model": "clip"})
    assert (other.status_code, "SWIN_MODEL_ALIASES" in other.text) == (404, True)


def test_normalize_is_honoured_beside_the_images(client):
    image = encode(noise(9, 7))
    plain = vectors(client.post("/embed?normalize=false", content=image))[0]
    asked = client.post("/v1/embeddings", json={"input": B64[0], "normalize": False})
    assert np.array_equal(np.array(asked.json()["data"][0]["embedding"], np.float32), plain)
    form = client.post("/embed", files={"file": image}, data={"normalize": "false"})
    assert np.array_equal(vectors(form)[0], plain)
    odd = client.post("/v1/embeddings", json={"input": B64[0], "normalize": "no"})
    assert (odd.status_code, odd.json()["error"]["param"]) == (400, "normalize")


def test_json_needs_no_content_type(client):
    body = json.dumps(GOOD["/v1/embeddings"])
    for headers in ({}, {"Content-Type": "application/x-www-form-urlencoded"}):
        assert client.post("/v1/embeddings", content=body, headers=headers).status_code == 200
