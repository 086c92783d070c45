import base64
import hashlib
import re

import pytest

from service.api.openapi import TINY_IMAGE

ASSETS = ("swagger-ui-bundle.js", "swagger-ui.css", "favicon-32x32.png")


def test_the_page_runs_its_own_script_and_no_other(client):
    answer = client.get("/docs")
    policy = dict(
        part.split(" ", 1) for part in answer.headers["Content-Security-Policy"].split("; ")
    )
    (script,) = re.findall(r"<script>(.*?)</script>", answer.text, re.DOTALL)
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert policy["script-src"] == f"'self' 'sha256-{digest}'"
    assert policy["default-src"] == "'self'"
    assert policy["frame-ancestors"] == policy["object-src"] == policy["base-uri"] == "'none'"
    assert re.findall(r"\son\w+=", answer.text) == []


@pytest.mark.parametrize("path", ["/docs", "/openapi.json", *(f"/docs/assets/{a}" for a in ASSETS)])
def test_no_answer_is_taken_for_something_else(client, path):
    answer = client.get(path)
    assert answer.status_code == 200
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    kinds = {"docs": "text/html", "json": "application/json", "js": "text/javascript"}
    kinds |= {"css": "text/css", "png": "image/png"}
    wanted = kinds[re.split(r"[./]", path)[-1]]
    assert answer.headers["Content-Type"].partition(";")[0] == wanted


def test_the_document_names_the_folder_that_it_is_in(client):
    (server,) = client.get("/openapi.json").json()["servers"]
    assert server["url"] == "."


@pytest.mark.parametrize("prefix", ["", "/swin"], ids=["stripped", "kept"])
def test_every_door_is_the_same_behind_a_prefix(serve, prefix):
    client = serve(root_path="/swin")
    assert client.get(f"{prefix}/openapi.json").json()["servers"] == [{"url": "/swin"}]
    for path in ("/", "/docs", "/docs/assets/swagger-ui.css", "/playground/page.js", "/v1/models"):
        assert client.get(prefix + path).status_code == 200
    assert isinstance(client.get(f"{prefix}/v2/nothing").json()["error"], str)
    assert isinstance(client.get(f"{prefix}/nothing").json()["error"], dict)
    for version in ("v1", "v2"):
        answer = client.post(f"{prefix}/{version}/embed", json={"images": [TINY_IMAGE]}).json()
        assert answer["meta"]["api_version"]["version"] == version[1]


def test_large_answers_are_made_once(client):
    for path in ("/openapi.json", "/docs/assets/swagger-ui-bundle.js"):
        first, again = (client.get(path) for _ in range(2))
        assert first.content == again.content
    answer = client.get(path, headers={"If-None-Match": first.headers["ETag"]})
    assert (answer.status_code, answer.content) == (304, b"")
    assert client.get("/docs/assets/nothing.js").status_code == 404
