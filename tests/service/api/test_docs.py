import base64
import hashlib
import re

import pytest

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


def test_the_document_names_the_path_that_a_proxy_adds(serve):
    client = serve()
    client.app.root_path = "/swin"  # the setting does it with a warning of FastAPI's
    assert client.get("/openapi.json").json()["servers"] == [{"url": "/swin"}]


def test_large_answers_are_made_once(client):
    for path in ("/openapi.json", "/docs/assets/swagger-ui-bundle.js"):
        first, again = (client.get(path) for _ in range(2))
        assert first.content == again.content
    answer = client.get(path, headers={"If-None-Match": first.headers["ETag"]})
    assert (answer.status_code, answer.content) == (304, b"")
    assert client.get("/docs/assets/nothing.js").status_code == 404
