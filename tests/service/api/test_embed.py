import io
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from tests.service.api.test_health import samples
from tests.service.images.test_preprocess import png_header
from tests.support.images import encode, jpeg, noise, photos

JPEG = {"Content-Type": "image/jpeg"}


def vectors(response):
    assert response.status_code == 200, response.text
    return np.array(response.json()["embeddings"], np.float32)


def error(response, status: int, code: str) -> dict[str, str]:
    body = response.json()
    assert (response.status_code, body["error"]["code"]) == (status, code), body
    assert set(body["error"]) == {"message", "type", "param", "code"}
    return body["error"]


def test_the_image_is_the_body(client):
    response = client.post("/embed", content=jpeg("chelsea"), headers=JPEG)
    (vector,) = vectors(response)
    assert response.json()["dimensions"] == len(vector) == 128
    assert response.json()["model"] == "swin_small_example_patch4_window4_32"
    assert np.linalg.norm(vector) == pytest.approx(1, abs=1e-6)


VAGUE = ["application/octet-stream", "binary/octet-stream", "application/x-www-form-urlencoded", ""]


@pytest.mark.parametrize("content_type", [*VAGUE, "image/png", None])
def test_the_content_type_may_be_vague(client, content_type):
    expected = vectors(client.post("/embed", content=jpeg("coffee"), headers=JPEG))
    headers = {} if content_type is None else {"Content-Type": content_type}
    assert np.array_equal(
        vectors(client.post("/embed", content=jpeg("coffee"), headers=headers)), expected
    )


def test_a_form_has_many_images_in_order(client):
    names = list(photos())
    together = vectors(client.post("/embed", files=[("files", jpeg(name)) for name in names]))
    for name, row in zip(names, together, strict=True):
        alone = vectors(client.post("/embed", content=jpeg(name), headers=JPEG))
        assert np.array_equal(row, alone[0])


def test_normalize_false_gives_the_model_s_own_scale(client):
    image = jpeg("rocket")
    (unit,) = vectors(client.post("/embed", content=image, headers=JPEG))
    raw_answer = client.post("/embed?normalize=false", content=image, headers=JPEG)
    (raw,) = vectors(raw_answer)
    assert np.linalg.norm(raw) != pytest.approx(1, abs=0.01)
    assert np.allclose(raw / np.linalg.norm(raw), unit, atol=1e-6)


def test_raw_rows_and_numpy_files(client):
    files = [("files", jpeg("coffee")), ("files", jpeg("china"))]
    expected = vectors(client.post("/embed", files=files))
    raw = client.post("/embed", files=files, headers={"Accept": "application/octet-stream"})
    assert raw.headers["Content-Type"] == "application/octet-stream"
    assert raw.headers["X-Embedding-Shape"] == "2,128"
    assert raw.content == expected.astype("<f4").tobytes()
    npy = client.post("/embed", files=files, headers={"Accept": "application/x-npy"})
    assert npy.headers["Content-Type"] == "application/x-npy"
    assert np.array_equal(np.load(io.BytesIO(npy.content)), expected)


def test_smaller_numbers(client):
    image = jpeg("coffee")
    (exact,) = vectors(client.post("/embed", content=image))
    answer = client.post("/embed?dtype=int8", content=image)
    body = answer.json()
    assert answer.headers["X-Embedding-Scales"] == str(np.float32(body["scales"][0]))
    restored = np.array(body["embeddings"][0]) * body["scales"][0]
    assert np.abs(restored - exact).max() <= body["scales"][0] * 0.5001
    binary = client.post(
        "/embed?dtype=binary", content=image, headers={"Accept": "application/octet-stream"}
    )
    assert binary.headers["X-Embedding-Shape"] == "1,16"
    assert np.array_equal(np.unpackbits(np.frombuffer(binary.content, np.uint8)), exact > 0)
    half = client.post("/embed?dtype=float16", content=image)
    assert np.allclose(vectors(half)[0], exact, atol=1e-3)


def test_a_form_of_answer_we_do_not_have(client):
    answer = client.post("/embed", content=jpeg("coffee"), headers={"Accept": "text/html"})
    assert "application/x-npy" in error(answer, 406, "not_acceptable")["message"]


def test_what_cannot_be_an_image_is_not_kept(client):
    chunks = (b"\0" * 100_000 for _ in range(20))
    error(client.post("/embed", content=chunks), 422, "invalid_image")
    assert "swin_image_bytes_sum 16.0" in client.get("/metrics").text


def test_an_image_in_small_pieces(client):
    image = jpeg("coffee")
    pieces = (image[i : i + 7] for i in range(0, len(image), 7))
    whole = vectors(client.post("/embed", content=image))
    assert np.array_equal(vectors(client.post("/embed", content=pieces)), whole)


def test_a_1x1_image_is_an_image(client):
    assert np.isfinite(vectors(client.post("/embed", content=encode(noise(1, 1))))).all()


BAD = {
    "text": (b"hello", JPEG, 422, "invalid_image"),
    "truncated": (jpeg("china")[:20_000], JPEG, 422, "invalid_image"),
    "empty": (b"", JPEG, 400, "invalid_request"),
    "huge header": (png_header(20_000, 20_000), JPEG, 413, "image_too_large"),
    "30 MB of zeros": (b"\0" * 30_000_000, JPEG, 413, "request_too_large"),
    "12 MB of zeros": (b"\0" * 12_000_000, JPEG, 422, "invalid_image"),
    "a web form": (b"a=b", {"Content-Type": "application/x-www-form-urlencoded"})
    + (415, "unsupported_media_type"),
    "JSON": (b"{}", {"Content-Type": "application/json"}, 415, "unsupported_media_type"),
    "a form without a boundary": (b"--x", {"Content-Type": "multipart/form-data"})
    + (400, "invalid_request"),
    "a form whose file has no name": (
        b'--x\r\nContent-Disposition: form-data; name="files"\r\n\r\nabc\r\n--x--\r\n',
        {"Content-Type": "multipart/form-data; boundary=x"},
        422,
        "invalid_image",
    ),
    "a form with an empty file": (
        b'--x\r\nContent-Disposition: form-data; name="files"; filename="a"\r\n\r\n\r\n--x--\r\n',
        {"Content-Type": "multipart/form-data; boundary=x"},
        422,
        "invalid_image",
    ),
    "a form that breaks off": (
        b'--x\r\nContent-Disposition: form-data; name="files"; filename="a"\r\n\r\nabc',
        {"Content-Type": "multipart/form-data; boundary=x"},
        400,
        "invalid_request",
    ),
}


FIELD = b'--x\r\nContent-Disposition: form-data; name="xn--999999999"\r\n\r\na\r\n--x--\r\n'
BAD |= {
    f"a form whose text is {charset}": (
        FIELD,
        {"Content-Type": f"multipart/form-data; boundary=x; charset={charset}"},
        400,
        "invalid_request",
    )
    for charset in ("undefined", "punycode", "idna")
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input_gets_its_error_and_hurts_nobody_else(client, case):
    content, headers, status, code = BAD[case]
    before = vectors(client.post("/embed", content=jpeg("chelsea"), headers=JPEG))
    error(client.post("/embed", content=content, headers=headers), status, code)
    after = vectors(client.post("/embed", content=jpeg("chelsea"), headers=JPEG))
    assert np.array_equal(before, after)


def test_a_body_of_unknown_length_is_bounded_too(serve):
    client = serve(max_request_bytes=1000)
    chunks = (b"\0" * 300 for _ in range(10))
    error(client.post("/embed", content=chunks, headers=JPEG), 413, "request_too_large")


def test_the_bad_image_of_a_form_is_named(client):
    files = [("files", jpeg("coffee")), ("files", b"no image"), ("files", jpeg("china"))]
    assert error(client.post("/embed", files=files), 422, "invalid_image")["param"] == "files[1]"


@pytest.mark.parametrize("cut", ["behind an image", "within an image", "before the last dashes"])
def test_a_form_that_breaks_off_is_not_taken_for_whole(client, cut):
    head = b'--x\r\nContent-Disposition: form-data; name="files"; filename="a"\r\n\r\n'
    image = head + jpeg("coffee") + b"\r\n"
    whole = image + image + b"--x--\r\n"
    end = {"behind an image": len(image) + 3, "within an image": len(image) + 500}.get(cut, -4)
    headers = {"Content-Type": "multipart/form-data; boundary=x"}
    answer = client.post("/embed", content=whole[:end], headers=headers)
    assert "closing boundary" in error(answer, 400, "invalid_request")["message"]
    assert len(vectors(client.post("/embed", content=whole[:-2], headers=headers))) == 2


def form(client, *parts: tuple[str, bytes]):
    """Post a form of parts, each its Content-Disposition without `form-data` and its bytes."""
    body = b"".join(
        b"--x\r\nContent-Disposition: form-data; %s\r\n\r\n%s\r\n" % (said.encode(), data)
        for said, data in parts
    )
    headers = {"Content-Type": "multipart/form-data; boundary=x"}
    return client.post("/embed", content=body + b"--x--\r\n", headers=headers)


LARGE = encode(noise(700, 700))  # 1.4 MB


@pytest.mark.parametrize("image", [jpeg("coffee"), LARGE], ids=["small", "over 1 MiB"])
@pytest.mark.parametrize(
    "said",
    [
        'name="files"',
        "name=\"files\"; filename*=UTF-8''caf%C3%A9.png",
        "filename*=UTF-8''a.png; name=files",
        'name="files"; filename=""',
    ],
)
def test_a_file_needs_no_filename(client, said, image):
    expected = vectors(client.post("/embed", content=image))
    assert np.array_equal(vectors(form(client, (said, image))), expected)


@pytest.mark.parametrize(
    "name", ["file", "image", "images", "files[]", "image[]", "files[0]", "images[12]"]
)
def test_names_that_images_have_elsewhere(client, name):
    parts = [("files", jpeg("coffee")), (name, jpeg("china"))]
    assert len(vectors(client.post("/embed", files=parts))) == 2


@pytest.mark.parametrize(
    ("names", "found", "param"),
    [
        (["pictures"], "'pictures'", "pictures"),
        (["files", "photo"], "'files', 'photo'", "photo"),
        (["photo", "photo", "files", "scan"], "'photo', 'files', 'scan'", "photo"),
        ([""], "''", ""),
        ([], "no parts", "files"),
    ],
)
def test_parts_of_other_names_are_named(client, names, found, param):
    answer = form(client, *((f'name="{name}"; filename="a"', jpeg("coffee")) for name in names))
    told = error(answer, 400, "invalid_request")
    assert told["message"].startswith(f"the form has {found}; call images files")
    assert told["param"] == param


def test_parameters_may_be_fields_of_the_form(client):
    files = [("files", jpeg("coffee"))]
    expected = vectors(client.post("/embed?normalize=false", files=files))
    for query, field in (("", "false"), ("?normalize=true", "false")):
        answer = client.post(f"/embed{query}", files=files, data={"normalize": field})
        assert np.array_equal(vectors(answer), expected)
    answer = client.post("/embed", files=files, data={"normalize": "perhaps"})
    assert error(answer, 400, "invalid_request")["param"] == "normalize"
    twice = client.post("/embed", files=files, data={"normalize": ["false", "true"]})
    assert error(twice, 400, "invalid_request")["param"] == "normalize"
    alone = client.post("/embed", files=[("normalize", (None, "false"))])
    assert error(alone, 400, "invalid_request")["param"] == "files"


@pytest.mark.parametrize("count", [3, 100])
def test_too_many_images(serve, count):
    client = serve(max_images_per_request=2)
    files = [("files", encode(noise(4, 4)))] * count
    error(client.post("/embed", files=files), 413, "too_many_images")


def test_normalize_must_be_a_boolean(client):
    answer = client.post("/embed?normalize=maybe", content=jpeg("coffee"), headers=JPEG)
    assert error(answer, 400, "invalid_request")["param"] == "normalize"


def test_a_parameter_that_is_misspelt_is_not_ignored(client):
    answer = client.post("/embed?normalise=false", content=jpeg("coffee"), headers=JPEG)
    told = error(answer, 400, "invalid_request")
    assert told["param"] == "normalise"
    assert "normalize" in told["message"]


def test_an_empty_file_is_told_as_such(client):
    told = error(client.post("/embed", files=[("files", b"")]), 422, "invalid_image")
    assert "empty" in told["message"]


def test_a_full_queue_refuses_and_says_when_to_come_back(serve, monkeypatch):
    client = serve(max_queue_size=2, max_images_per_request=2)
    batcher = client.app.state.service.lifecycle.embedder.batcher
    monkeypatch.setattr(batcher.queue, "depth", 1)
    answer = client.post("/embed", files=[("files", jpeg("coffee"))] * 2)
    error(answer, 429, "queue_full")
    assert int(answer.headers["Retry-After"]) >= 1


@pytest.mark.parametrize("path", ["/embed", "/v1/embeddings", "/v2/models/x/infer"])
def test_a_full_queue_refuses_before_the_body_is_read(client, monkeypatch, path):
    state = client.app.state.service.lifecycle.embedder
    monkeypatch.setattr(state.batcher.queue, "depth", state.batcher.queue.capacity)
    # Any of these bodies would be 400, 404 or 415.
    answer = client.post(path, content=b"text", headers={"Content-Type": "text/plain"})
    assert answer.status_code == 429
    assert int(answer.headers["Retry-After"]) >= 1
    door = {"/embed": "embed", "/v1/embeddings": "openai"}.get(path, "open_inference")
    seen = samples(client)
    assert seen['swin_images_total{outcome="refused"}'] == 1
    assert seen['swin_rejected_total{reason="queue_full"}'] == 1
    assert seen[f'swin_requests_total{{door="{door}",method="POST",status="429"}}'] == 1
    assert answer.headers["X-Request-Id"]


def test_a_full_queue_refuses_those_who_would_be_let_in_and_nobody_else(serve, monkeypatch):
    client = serve(api_keys="k")
    state = client.app.state.service.lifecycle.embedder
    monkeypatch.setattr(state.batcher.queue, "depth", state.batcher.queue.capacity)
    assert client.post("/embed", content=b"").status_code == 401
    assert client.get("/embed").status_code == 405
    assert client.get("/health/ready").status_code == 200
    answer = client.post("/embed", content=b"", headers={"Authorization": "Bearer k"})
    assert answer.status_code == 429


@pytest.mark.parametrize("path", ["/embed", "/v1/embeddings", "/v2/models/x/infer"])
def test_an_engine_that_closes_refuses_a_request_once(client, path):
    client.app.state.service.lifecycle.embedder.close()
    assert client.post(path, content=b"").status_code == 503
    assert samples(client)['swin_images_total{outcome="refused"}'] == 1


def test_no_answer_in_time(serve):
    client = serve(request_timeout_s=1e-6)
    error(client.post("/embed", content=jpeg("coffee"), headers=JPEG), 504, "timeout")


def test_unknown_paths_and_methods_have_the_same_shape(client):
    error(client.get("/nothing"), 404, "not_found")
    error(client.delete("/embed"), 405, "method_not_allowed")


def test_nobody_is_sent_elsewhere(client):
    answer = client.post("/embed/", content=jpeg("coffee"), headers=JPEG | {"Host": "elsewhere"})
    error(answer, 404, "not_found")


@pytest.mark.parametrize("max_batch_size", [1, 8])
def test_an_image_s_bits_depend_on_nothing_else(serve, max_batch_size):
    """Alone, in a form with 15 others, and under 32 concurrent clients."""
    client = serve(max_batch_size=max_batch_size)
    images = [encode(noise(40 + i, 40, seed=i)) for i in range(16)]

    def post(image: bytes) -> bytes:
        return vectors(client.post("/embed?normalize=false", content=image))[0].tobytes()

    alone = [post(image) for image in images]
    form = vectors(client.post("/embed?normalize=false", files=[("files", i) for i in images]))
    assert [row.tobytes() for row in form] == alone
    with ThreadPoolExecutor(32) as clients:
        assert list(clients.map(post, images * 8)) == alone * 8
