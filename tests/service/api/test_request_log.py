"""What one line tells of a request: to people, and to machines."""

import logging

import pytest

from tests.support.images import jpeg

PHOTO = jpeg("coffee")


@pytest.fixture
def lines(caplog):
    """The records of requests, cleared by each look."""
    caplog.set_level(logging.INFO, "service.api.request_log")

    def look():
        found = list(caplog.records)
        caplog.clear()
        return found

    return look


def test_a_success_tells_what_came_and_where_its_time_went(client, lines):
    client.post("/embed", content=PHOTO)
    (line,) = lines()
    assert line.levelno == logging.INFO
    assert line.getMessage().startswith(f"POST /embed 200 images=1 bytes={len(PHOTO)} ms=")
    fields = line.fields
    assert (fields["http.request.method"], fields["http.route"]) == ("POST", "/embed")
    assert fields["http.response.status_code"] == 200
    assert (fields["swin.images"], fields["http.request.body.bytes"]) == (1, len(PHOTO))
    stages = [fields[f"swin.{stage}_ms"] for stage in ("decode", "queue", "inference", "encode")]
    assert 0 < sum(stages) * 1e6 <= fields["event.duration"] * 1.1
    assert "error.code" not in fields
    assert fields["message"] == "POST /embed 200"


def test_a_refusal_tells_why_and_which_image(client, lines):
    parts = [("files", PHOTO), ("files", PHOTO[:5000])]
    client.post("/embed", files=parts)
    (line,) = lines()
    assert line.levelno == logging.WARNING
    assert line.getMessage().startswith(
        "POST /embed 422 invalid_image files[1] (the JPEG is cut off"
    )
    assert (line.fields["error.code"], line.fields["swin.param"]) == ("invalid_image", "files[1]")
    assert line.fields["message"] == "POST /embed 422 invalid_image files[1]"


@pytest.mark.parametrize(
    ("method", "path", "status", "start"),
    [
        ("GET", "/embde?key=secret", 404, "GET /embde 404 not_found images="),
        ("DELETE", "/embed", 405, "DELETE /embed 405 method_not_allowed images="),
        ("POST", "/v2/models/x/infer", 400, "POST /v2/models/{name}/infer 400 invalid_request"),
        ("POST", "/embed?nromalize=1", 400, "POST /embed 400 invalid_request nromalize"),
    ],
)
def test_a_line_names_method_and_route_or_path(client, lines, method, path, status, start):
    answer = client.request(method, path, content=PHOTO, headers={"Content-Type": "image/jpeg"})
    assert answer.status_code == status
    (line,) = lines()
    assert line.getMessage().startswith(start)
    assert "secret" not in line.getMessage() + str(line.fields)


def test_a_client_s_own_text_is_one_short_line_of_ascii(client, lines):
    client.get("/a%0aroot%1b[31m%E2%80%AE" + "x" * 3000)
    (line,) = lines()
    message = line.getMessage()
    assert message.isascii()
    assert message.isprintable()
    assert len(message) < 1000
    assert len(line.fields["url.path"]) < 300


def test_an_unforeseen_error_is_one(serve, lines, monkeypatch):
    client = serve()
    monkeypatch.setattr("service.api.embed._image", None)
    assert client.post("/embed", content=PHOTO).status_code == 500
    (line,) = [one for one in lines() if one.name == "service.api.request_log"]
    assert line.levelno == logging.ERROR
    assert line.getMessage().startswith("POST /embed 500 internal_error")
