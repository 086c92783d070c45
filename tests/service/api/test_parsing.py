"""What the text of a request may cost: see tests/hostile/cost.py for the real server's memory."""

import base64
import json
import tracemalloc

import numpy as np
import pytest

from service.api import json_cost, parsing
from service.api.image_text import PIECE, decode_base64, decode_percent
from service.api.open_inference import INFER_REQUEST
from service.errors import InvalidRequest
from tests.hostile.bodies import GOOD, JSON, MODEL, bodies, variations
from tests.service.api.test_embed import vectors
from tests.support.images import encode, noise

NAME = "swin_small_example_patch4_window4_32"
KIB = 1 << 10


def post(client, hostile):
    path = hostile.path.replace(MODEL, NAME)
    headers = {name: value.encode("latin-1") for name, value in hostile.headers.items()}
    return client.post(path, content=hostile.body, headers=headers)


def test_no_body_makes_a_5xx_and_the_next_photo_has_its_bits(client):
    photo = encode(noise(40, 30))
    before = vectors(client.post("/embed", content=photo))
    for hostile in (*bodies(4 * KIB), *variations(1, 500)):
        answer = post(client, hostile)
        assert answer.status_code < 500, (hostile.kind, answer.text[:300])
    assert np.array_equal(vectors(client.post("/embed", content=photo)), before)


@pytest.mark.parametrize("path", GOOD)
def test_what_the_bodies_are_made_from_is_good(client, path):
    answer = client.post(path.replace(MODEL, NAME), json=GOOD[path])
    assert answer.status_code == 200, answer.text


def test_large_bodies_take_memory_in_proportion(client):
    size = 1 << 20
    dear = (
        "strings of two lengths",
        "lists of depth",
        "image text: percent",
        "empty strings as in",
    )
    for hostile in bodies(size):
        if not hostile.kind.startswith(dear):
            continue
        tracemalloc.start()
        answer = post(client, hostile)
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert answer.status_code in {400, 413, 422}, hostile.kind
        assert peak < 16 * size, hostile.kind  # the test's client has copies too


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (b'{"x":' + b"[" * 100_000, "nested too deeply"),
        (b'{"input":"\xff"}', "not JSON"),
        (b'{"x":[' + b"1," * json_cost.MAX_TOKENS + b"1]}", "commas"),
        (b'{"x":' + b" " * (5 * json_cost.MAX_TOKENS + 5) + b"1}", "without white space"),
        (
            b'{"input":"' + b"A" * 4 * json_cost.MAX_TOKENS + "😀".encode() + b'"}',
            "as long to read",
        ),
        (b'{"x":[' + b'"",' * (json_cost.MAX_OBJECTS + 1) + b"1]}", "strings"),
        (b'{"model":"' + b"m" * 300 + b'"}', "length <= 256"),
    ],
)
def test_what_is_too_much_is_said(client, text, says):
    answer = client.post("/v1/embeddings", content=text, headers=JSON)
    assert (answer.status_code, says in answer.text) == (400, True)


def test_the_place_of_an_error_is_named():
    for body, param in (
        (b'{"inputs":[{"name":"image","shape":[-1],"datatype":"BYTES"}]}', "inputs[0].shape[0]"),
        (b'{"inputs":[{"name":"image","shape":[1]}]}', "inputs[0].datatype"),
        (b"{}", "inputs"),
    ):
        with pytest.raises(InvalidRequest) as caught:
            parsing.decode(body, INFER_REQUEST)
        assert caught.value.param == param


def test_numbers_may_be_nested_as_their_shape_or_flat(client):
    pixels = np.random.default_rng(0).integers(0, 256, (2, 32, 32, 3), np.uint8)
    rows = []
    for data in (pixels.tolist(), pixels.ravel().tolist()):
        tensor = {"name": "pixels", "datatype": "UINT8", "shape": [2, 32, 32, 3], "data": data}
        answer = client.post(f"/v2/models/{NAME}/infer", json={"inputs": [tensor]})
        assert answer.status_code == 200, answer.text
        rows.append(answer.json()["outputs"][0]["data"])
    assert rows[0] == rows[1]


@pytest.mark.parametrize("shape", [[1], [1, 1]])
def test_one_column_of_images_is_a_list_of_them(client, shape):
    text = base64.b64encode(encode(noise(5, 5))).decode()
    data = [text] if len(shape) == 1 else [[text]]
    tensor = {"name": "image", "datatype": "BYTES", "shape": shape, "data": data}
    answer = client.post(f"/v2/models/{NAME}/infer", content=json.dumps({"inputs": [tensor]}))
    assert answer.status_code == 200, answer.text


@pytest.mark.parametrize("length", [0, 1, 2, 3, PIECE - 1, PIECE, PIECE + 1, 3 * PIECE])
def test_long_texts_are_decoded_as_short_ones(length):
    data = np.random.default_rng(1).bytes(length)
    assert decode_base64(base64.b64encode(data)) == data
    quoted = b"".join(b"%%%02x" % byte for byte in data)
    assert decode_percent(b"a" + quoted + b"%4") == b"a" + data + b"%4"
