import base64
import gzip
import io
import json
import zlib

import pytest

from service.settings import Settings
from tests.support.images import jpeg

JSON = {"Content-Type": "application/json"}
BODY = json.dumps({"input": base64.b64encode(jpeg("coffee")).decode()}).encode()


def bare(data: bytes) -> bytes:
    packer = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    return packer.compress(data) + packer.flush()


def bomb(size: int) -> bytes:
    """What inflates to so many bytes of blanks."""
    packed = io.BytesIO()
    with gzip.GzipFile(fileobj=packed, mode="wb", compresslevel=1) as file:
        for _ in range(size >> 20):
            file.write(b" " * (1 << 20))
    return packed.getvalue()


def post(client, packed: bytes, coding: str, path: str = "/v1/embeddings"):
    return client.post(path, content=packed, headers=JSON | {"Content-Encoding": coding})


CODINGS = {
    "gzip": gzip.compress,
    "GZIP": gzip.compress,
    "x-gzip": gzip.compress,
    "deflate": zlib.compress,
    "identity": bytes,
}


@pytest.mark.parametrize(("coding", "pack"), [*CODINGS.items(), ("deflate", bare)])
def test_json_may_be_compressed(client, coding, pack):
    plain = client.post("/v1/embeddings", content=BODY, headers=JSON).json()
    assert post(client, pack(BODY), coding).json() == plain


@pytest.mark.parametrize("pack", [gzip.compress, zlib.compress, bare])
def test_open_inference_may_be_compressed(client, pack):
    photo = jpeg("coffee")
    data = len(photo).to_bytes(4, "little") + photo
    tensor = {"name": "image", "shape": [1], "datatype": "BYTES"}
    tensor["parameters"] = {"binary_data_size": len(data)}
    head = json.dumps({"inputs": [tensor], "parameters": {"binary_data_output": True}}).encode()
    model = client.get("/v1/models").json()["data"][0]["id"]
    coding = "gzip" if pack is gzip.compress else "deflate"
    headers = {"Content-Encoding": coding, "Inference-Header-Content-Length": str(len(head))}
    answer = client.post(f"/v2/models/{model}/infer", content=pack(head + data), headers=headers)
    assert answer.status_code == 200, answer.text
    accept = {"Accept": "application/octet-stream"}
    expected = client.post("/embed", content=photo, headers=accept).content
    assert answer.content[int(answer.headers["Inference-Header-Content-Length"]) :] == expected


def test_a_bomb_is_refused_once_it_is_over_the_limit(serve):
    client = serve(max_request_bytes=1 << 20)
    budget = client.app.state.service.budget
    answer = post(client, bomb(200 << 20), "gzip")
    assert answer.status_code == 413
    assert "inflates to more than 1048576" in answer.text
    assert budget.held == 0


def test_what_a_body_inflates_to_is_charged(serve):
    client = serve(memory_budget_bytes=Settings(model="x").max_request_bytes)
    answer = post(client, bomb(8 << 20), "gzip")
    assert answer.status_code == 400  # blanks are no JSON, but there was room for them
    client.app.state.service.budget.held += 9 << 20
    assert post(client, bomb(8 << 20), "gzip").status_code == 429


PACKED = gzip.compress(BODY)


@pytest.mark.parametrize(
    ("packed", "says"),
    [
        (PACKED[:-9], "breaks off"),
        (b"", "breaks off"),
        (PACKED + b"x", "goes on"),
        (PACKED + PACKED, "goes on"),
        (BODY, "cannot be inflated"),
        (PACKED[:-5] + bytes(5), "cannot be inflated"),
    ],
)
def test_a_damaged_body_is_refused(client, packed, says):
    answer = post(client, packed, "gzip")
    assert answer.status_code == 400
    assert says in answer.text


@pytest.mark.parametrize("length", [32 << 10, 544 << 10])
def test_a_body_may_end_where_a_piece_does(client, length):
    text = b'{"input": [], "user": "' + b"x" * (length - 25) + b'"}'
    answer = post(client, gzip.compress(text), "gzip")
    assert len(text) == length
    assert "send an image" in answer.text


@pytest.mark.parametrize("coding", ["br", "zstd", "gzip, gzip", "deflate, gzip", "x" * 300])
@pytest.mark.parametrize("path", ["/v1/embeddings", "/v2/models/default/infer"])
def test_other_codings_are_refused(client, coding, path):
    answer = post(client, PACKED, coding, path)
    assert answer.status_code == 415
    assert "send gzip, deflate or none" in answer.text


@pytest.mark.parametrize("media_type", ["image/jpeg", "multipart/form-data; boundary=x", ""])
@pytest.mark.parametrize("coding", ["gzip", "deflate", "br"])
def test_compressed_images_are_refused(client, media_type, coding):
    headers = {"Content-Type": media_type, "Content-Encoding": coding}
    answer = client.post("/embed", content=b"x", headers=headers)
    assert answer.status_code == 415
    assert "without Content-Encoding" in answer.text
