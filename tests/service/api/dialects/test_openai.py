import base64
import json
import urllib.parse

import numpy as np
import pytest

from tests.service.api.test_embed import VAGUE, error, vectors
from tests.support.images import encode, jpeg, noise, photos

NAME = "swin_small_example_patch4_window4_32"


def b64(data: bytes) -> str:
    return base64.b64encode(data).decode()


def ask(client, images, **fields):
    return client.post("/v1/embeddings", json={"input": images, "model": NAME} | fields)


def floats(answer):
    assert answer.status_code == 200, answer.text
    return np.array([item["embedding"] for item in answer.json()["data"]], np.float32)


def test_the_answer_is_openai_s(client):
    answer = ask(client, [b64(jpeg("coffee")), b64(jpeg("china"))], user="me", modality="image")
    body = answer.json()
    assert set(body) == {"object", "data", "model", "usage"}
    assert (body["object"], body["model"]) == ("list", NAME)
    assert [(item["object"], item["index"]) for item in body["data"]] == [
        ("embedding", 0),
        ("embedding", 1),
    ]
    assert body["usage"] == {"prompt_tokens": 128, "total_tokens": 128}  # 8 x 8 patches each
    assert "inference" in answer.headers["Server-Timing"]


def test_the_same_vectors_as_at_embed(client):
    expected = vectors(client.post("/embed", files=[("files", jpeg(name)) for name in photos()]))
    images = [b64(jpeg(name)) for name in photos()]
    assert np.array_equal(floats(ask(client, images)), expected)
    packed = ask(client, images, encoding_format="base64").json()["data"]
    read = [np.frombuffer(base64.b64decode(item["embedding"]), "<f4") for item in packed]
    assert np.array_equal(read, expected)


def lines(text: str) -> str:
    return "\r\n".join(text[i : i + 76] for i in range(0, len(text), 76))


FORMS = {
    "base64": b64,
    "without padding": lambda data: b64(data).rstrip("="),
    "URL-safe": lambda data: base64.urlsafe_b64encode(data).decode(),
    "in lines": lambda data: lines(b64(data)),
    "with space around it": lambda data: f" {b64(data)} \n",
    "data URI": lambda data: "data:image/png;base64," + b64(data),
    "data URI with parameters": lambda data: "DATA:image/png;name=a.png;BASE64," + b64(data),
    "data URI without type": lambda data: "data:;base64," + b64(data),
    "data URI, quoted base64": lambda data: (
        "data:;base64," + urllib.parse.quote(b64(data), safe="")
    ),
    "data URI, not base64": lambda data: "data:image/png," + urllib.parse.quote_from_bytes(data),
}


@pytest.mark.parametrize("form", FORMS)
def test_forms_of_text(client, form):
    image = encode(noise(13, 7))
    expected = vectors(client.post("/embed", content=image))
    assert np.array_equal(floats(ask(client, FORMS[form](image))), expected)


GOOD = b64(encode(noise(4, 4)))

WRONG = {
    "not JSON": (b"{", 400, "invalid_request", None),
    "empty": (b"", 400, "invalid_request", None),
    "a list": ([], 400, "invalid_request", None),
    "no input": ({"model": NAME}, 400, "invalid_request", "input"),
    "input null": ({"input": None}, 400, "invalid_request", "input"),
    "no images": ({"input": []}, 400, "invalid_request", "input"),
    "tokens": ({"input": [1, 2]}, 400, "invalid_request", "input[0]"),
    "tokens of several": ({"input": [GOOD, [1]]}, 400, "invalid_request", "input[1]"),
    "text": ({"input": "a photo of a cat"}, 400, "invalid_request", "input[0]"),
    "empty text": ({"input": [GOOD, ""]}, 400, "invalid_request", "input[1]"),
    "an empty data URI": ({"input": "data:,"}, 400, "invalid_request", "input[0]"),
    "base64 with spaces": ({"input": GOOD[:8] + " " + GOOD[8:]}, 400)
    + ("invalid_request", "input[0]"),
    "base64 of text": ({"input": [GOOD, b64(b"cat")]}, 422, "invalid_image", "input[1]"),
    "one bad of four": ({"input": [GOOD] * 3 + ["é"]}, 400, "invalid_request", "input[3]"),
    "a URL": ({"input": ["http://localhost/a.png"]}, 400, "invalid_request", "input[0]"),
    "a file": ({"input": ["file:///etc/passwd"]}, 400, "invalid_request", "input[0]"),
    "unknown model": ({"input": GOOD, "model": "clip"}, 404, "model_not_found", "model"),
    "other dimensions": ({"input": GOOD, "dimensions": 64}, 400, "invalid_request", "dimensions"),
    "a format": ({"input": GOOD, "encoding_format": "hex"}, 400)
    + ("invalid_request", "encoding_format"),
    "text modality": ({"input": GOOD, "modality": "text"}, 400, "invalid_request", "modality"),
    "half a surrogate": (b'{"input": "\\ud800"}', 400, "invalid_request", None),
}


@pytest.mark.parametrize("case", WRONG)
def test_what_is_wrong_is_named(client, case):
    body, status, code, param = WRONG[case]
    sent = {"content": body} if isinstance(body, bytes) else {"json": body}
    headers = {"Content-Type": "application/json"}
    told = error(client.post("/v1/embeddings", **sent, headers=headers), status, code)
    assert told["param"] == param
    if case == "unknown model":
        assert NAME in told["message"]
    if case in {"input null", "no images"}:
        assert "a data URI or base64" in told["message"]
    if case == "other dimensions":
        assert "cannot be cut" in told["message"]


def test_the_model_s_own_dimensions_may_be_named(client):
    assert ask(client, GOOD, dimensions=128).status_code == 200


def test_the_model_may_be_left_out(client):
    assert client.post("/v1/embeddings", json={"input": GOOD}).status_code == 200


def test_what_may_be_left_out_may_be_null(client):
    fields = ("model", "encoding_format", "dimensions", "modality", "user")
    answer = client.post("/v1/embeddings", json={"input": GOOD} | dict.fromkeys(fields))
    assert answer.json()["data"][0]["embedding"] == ask(client, GOOD).json()["data"][0]["embedding"]


@pytest.mark.parametrize("name", ["normalize", "normalized"])  # the latter is Jina's
def test_normalize_is_honoured(client, name):
    expected = vectors(client.post("/embed?normalize=false", content=base64.b64decode(GOOD)))
    assert np.array_equal(floats(ask(client, GOOD, **{name: False})), expected)
    (unit,) = floats(ask(client, GOOD, **{name: True}))
    assert np.linalg.norm(unit) == pytest.approx(1, abs=1e-6)
    answer = ask(client, GOOD, **{name: "perhaps"})
    assert error(answer, 400, "invalid_request")["param"] == name


@pytest.mark.parametrize("content_type", [*VAGUE, None])
def test_the_content_type_may_be_vague(client, content_type):
    headers = {} if content_type is None else {"Content-Type": content_type}
    body = json.dumps({"input": GOOD}).encode()
    answer = client.post("/v1/embeddings", content=body, headers=headers)
    assert np.array_equal(floats(answer), floats(ask(client, GOOD)))


def test_a_form_is_not_json(client):
    error(client.post("/v1/embeddings", data={"input": "x"}), 415, "unsupported_media_type")


def test_too_many_images(serve):
    client = serve(max_images_per_request=2)
    error(ask(client, [GOOD] * 3), 413, "too_many_images")


def test_a_large_list_is_split_into_runs(serve):
    client = serve(max_batch_size=8)
    assert floats(ask(client, [GOOD] * 200)).shape == (200, 128)
