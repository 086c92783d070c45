import base64
import json
import struct

import numpy as np
import pytest

from service.images.preprocess import preprocess
from tests.service.api.test_embed import vectors
from tests.support.images import encode, jpeg, noise, photos

NAME = "swin_small_example_patch4_window4_32"
MODEL = f"/v2/models/{NAME}"


def b64(data: bytes) -> str:
    return base64.b64encode(data).decode()


def images(*files: bytes) -> dict[str, object]:
    return {
        "name": "image",
        "shape": [len(files)],
        "datatype": "BYTES",
        "data": [b64(file) for file in files],
    }


def infer(client, *inputs, path=MODEL, **fields):
    return client.post(f"{path}/infer", json={"inputs": list(inputs)} | fields)


def binary(client, *inputs: tuple[dict[str, object], bytes], **fields):
    tensors = [t | {"parameters": {"binary_data_size": len(raw)}} for t, raw in inputs]
    header = json.dumps({"inputs": tensors} | fields).encode()
    return client.post(
        f"{MODEL}/infer",
        content=header + b"".join(raw for _, raw in inputs),
        headers={"Inference-Header-Content-Length": str(len(header))},
    )


def floats(answer):
    assert answer.status_code == 200, answer.text
    (output,) = answer.json()["outputs"]
    assert (output["name"], output["datatype"]) == ("embedding", "FP32")
    return np.array(output["data"], np.float32).reshape(output["shape"])


def binary_floats(answer):
    assert answer.status_code == 200, answer.text
    length = int(answer.headers["Inference-Header-Content-Length"])
    (output,) = json.loads(answer.content[:length])["outputs"]
    assert output["parameters"]["binary_data_size"] == len(answer.content) - length
    return np.frombuffer(answer.content[length:], "<f4").reshape(output["shape"])


def pixels(client, *files: bytes):
    recipe = client.app.state.service.lifecycle.embedder.card.preprocessing
    return np.stack([preprocess(file, recipe, 10**8).pixels for file in files])


def strings(*files: bytes) -> bytes:
    return b"".join(struct.pack("<I", len(file)) + file for file in files)


@pytest.fixture
def expected(client):
    return vectors(client.post("/embed", files=[("files", jpeg(name)) for name in photos()]))


@pytest.fixture
def files():
    return [jpeg(name) for name in photos()]


def test_images_and_pixels_in_json_and_binary_give_the_same_bits(client, files, expected):
    array = pixels(client, *files)
    tensor = {"name": "pixels", "shape": list(array.shape), "datatype": "UINT8"}
    image = {"name": "image", "shape": [len(files)], "datatype": "BYTES"}
    binary_output = {"parameters": {"binary_data_output": True}}
    assert np.array_equal(floats(infer(client, images(*files))), expected)
    assert np.array_equal(floats(infer(client, tensor | {"data": array.tolist()})), expected)
    flat = array.ravel().tolist()
    assert np.array_equal(floats(infer(client, tensor | {"data": flat})), expected)
    assert np.array_equal(floats(binary(client, (image, strings(*files)))), expected)
    answer = binary(client, (tensor, array.tobytes()), **binary_output)
    assert np.array_equal(binary_floats(answer), expected)
    answer = infer(client, images(*files), **binary_output)
    assert np.array_equal(binary_floats(answer), expected)


def test_an_output_s_own_wish_wins(client, files):
    for wish, read in {True: binary_floats, False: floats}.items():
        answer = infer(
            client,
            images(*files),
            parameters={"binary_data_output": not wish},
            outputs=[{"name": "embedding", "parameters": {"binary_data": wish}}],
        )
        assert read(answer).shape == (len(files), 128)


def test_normalize_false(client, files):
    raw = floats(infer(client, images(*files), parameters={"normalize": False}))
    plain = client.post("/embed?normalize=false", files=[("files", file) for file in files])
    assert np.array_equal(raw, vectors(plain))


def test_the_id_is_echoed_and_versions_are_served(client, files):
    answer = infer(client, images(*files), id="mine", path=f"{MODEL}/versions/1").json()
    assert (answer["id"], answer["model_name"], answer["model_version"]) == ("mine", NAME, "1")
    assert "id" not in infer(client, images(*files)).json()


def test_metadata_is_true(client):
    assert client.get("/v2").json()["extensions"] == ["binary_tensor_data"]
    for path in (MODEL, f"{MODEL}/versions/1"):
        metadata = client.get(path).json()
        assert (metadata["name"], metadata["versions"]) == (NAME, ["1"])
        assert metadata["inputs"] == [
            {"name": "image", "datatype": "BYTES", "shape": [-1]},
            {"name": "pixels", "datatype": "UINT8", "shape": [-1, 32, 32, 3]},
        ]
        assert metadata["outputs"] == [
            {"name": "embedding", "datatype": "FP32", "shape": [-1, 128]}
        ]
        assert metadata["properties"] == {"color_profiles": "ignore"}


def test_the_policy_for_colour_is_where_the_model_is_described(serve):
    client = serve(color_profiles="apply")
    assert client.get(MODEL).json()["properties"] == {"color_profiles": "apply"}
    (listed,) = client.get("/v1/models").json()["data"]
    for told in (listed, client.get(f"/v1/models/{NAME}").json(), client.get("/meta").json()):
        assert told["card"]["preprocessing"]["color_profiles"] == "apply"


def test_health(client):
    assert client.get("/v2/health/live").json() == {"live": True}
    assert client.get("/v2/health/ready").json() == {"ready": True}
    for path in (f"{MODEL}/ready", f"{MODEL}/versions/1/ready"):
        assert client.get(path).json() == {"name": NAME, "ready": True}
    client.app.state.service.lifecycle.drain()
    for path in ("/v2/health/ready", f"{MODEL}/ready"):
        answer = client.get(path)
        assert answer.status_code == 503
        assert isinstance(answer.json()["error"], str)


def test_health_is_open_and_the_rest_is_not(serve):
    client = serve(api_keys="secret")
    assert client.get("/v2/health/ready").status_code == 200
    answer = client.get("/v2")
    assert answer.status_code == 401
    assert isinstance(answer.json()["error"], str)


GOOD = images(encode(noise(4, 4)))
PIXELS = {"name": "pixels", "datatype": "UINT8", "shape": [1, 32, 32, 3], "data": [0] * 3072}

WRONG = {
    "not JSON": (b"{", "JSON"),
    "no inputs": ({}, "inputs"),
    "an empty list": ({"inputs": []}, "inputs"),
    "both inputs": ({"inputs": [GOOD, PIXELS]}, "one input"),
    "an unknown input": ({"inputs": [GOOD | {"name": "x"}]}, "one input"),
    "an unknown output": ({"inputs": [GOOD], "outputs": [{"name": "x"}]}, "embedding"),
    "a wrong count": ({"inputs": [GOOD | {"shape": [2]}]}, "shape"),
    "no images": ({"inputs": [GOOD | {"shape": [0], "data": []}]}, "empty"),
    "a negative shape": ({"inputs": [GOOD | {"shape": [-1]}]}, "shape"),
    "image as numbers": ({"inputs": [PIXELS | {"name": "image"}]}, "BYTES"),
    "pixels as bytes": ({"inputs": [GOOD | {"name": "pixels"}]}, "UINT8"),
    "floats": ({"inputs": [PIXELS | {"data": [0.5] * 3072}]}, "integers"),
    "another datatype": ({"inputs": [PIXELS | {"datatype": "FP32"}]}, "UINT8"),
    "too large": ({"inputs": [PIXELS | {"data": [256] * 3072}]}, "0 to 255"),
    "huge": ({"inputs": [PIXELS | {"data": [2**70] * 3072}]}, "integers"),
    "ragged": ({"inputs": [PIXELS | {"data": [[1], [1, 2]]}]}, "rectangular"),
    "too few": ({"inputs": [PIXELS | {"data": [1]}]}, "shape"),
    "another size": ({"inputs": [PIXELS | {"shape": [1, 16, 64, 3]}]}, "shape"),
    "a number": ({"inputs": [PIXELS | {"shape": [], "data": [5]}]}, "shape"),
    "a vast shape": ({"inputs": [PIXELS | {"shape": [2**62, 2**62]}]}, "shape"),
    "not base64": ({"inputs": [GOOD | {"data": ["!"]}]}, "base64"),
    "numbers for base64": ({"inputs": [GOOD | {"data": [1]}]}, "base64"),
    "no data": ({"inputs": [{k: v for k, v in GOOD.items() if k != "data"}]}, "no data"),
    "normalize": ({"inputs": [GOOD], "parameters": {"normalize": 1}}, "normalize"),
    "classes": (
        {"inputs": [GOOD], "outputs": [{"name": "embedding", "parameters": {"classification": 1}}]},
        "classes",
    ),
    "a binary size": ({"inputs": [GOOD | {"parameters": {"binary_data_size": 9}}]}, "binary"),
    "a size of text": ({"inputs": [GOOD | {"parameters": {"binary_data_size": "0"}}]}, "binary"),
}


@pytest.mark.parametrize("case", WRONG)
def test_what_is_wrong_is_said(client, case):
    body, says = WRONG[case]
    sent = {"content": body} if isinstance(body, bytes) else {"json": body}
    answer = client.post(f"{MODEL}/infer", **sent)
    assert answer.status_code == 400, answer.text
    assert says in answer.json()["error"]


IMAGE = {"name": "image", "datatype": "BYTES", "shape": [1]}


@pytest.mark.parametrize("raw", [b"\0", struct.pack("<I", 9) + b"short", struct.pack("<I", 2**31)])
def test_binary_strings_that_break_off(client, raw):
    answer = binary(client, (IMAGE, raw))
    assert answer.status_code == 400
    assert "breaks off" in answer.json()["error"]


@pytest.mark.parametrize(
    ("shape", "raw", "says"), [([], b"\5", "shape"), ([0, 32, 32, 3], b"", "empty")]
)
def test_binary_pixels_of_no_image(client, shape, raw, says):
    answer = binary(client, ({"name": "pixels", "datatype": "UINT8", "shape": shape}, raw))
    assert answer.status_code == 400
    assert says in answer.json()["error"]


@pytest.mark.parametrize("length", ["-1", "999999999", "x", "", "9" * 5000])
def test_a_header_length_that_cannot_be(client, length):
    headers = {"Inference-Header-Content-Length": length}
    answer = client.post(f"{MODEL}/infer", content=b"{}", headers=headers)
    assert answer.status_code == 400
    assert "Inference-Header-Content-Length" in answer.json()["error"]


def test_binary_data_of_no_input(client):
    header = json.dumps({"inputs": [GOOD]}).encode()
    headers = {"Inference-Header-Content-Length": str(len(header))}
    answer = client.post(f"{MODEL}/infer", content=header + b"x", headers=headers)
    assert answer.status_code == 400
    assert "1 bytes" in answer.json()["error"]


def test_the_bad_image_is_named(client):
    answer = infer(client, images(encode(noise(4, 4)), b"no image"))
    assert answer.status_code == 422
    assert answer.json()["error"].startswith("image[1]: ")


@pytest.mark.parametrize("path", ["/v2/models/other", f"{MODEL}/versions/2", "/v2/nothing"])
def test_what_is_not_served(client, path):
    for answer in (client.get(path), client.get(f"{path}/ready"), infer(client, GOOD, path=path)):
        assert answer.status_code == 404
        assert isinstance(answer.json()["error"], str)
