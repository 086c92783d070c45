import re

import pytest

from service.api.pages import PLAYGROUND as FOLDER
from service.api.playground import FILES

MEDIA_TYPES = {
    "card.js": "text/javascript; charset=utf-8",
    "icon.svg": "image/svg+xml",
    "page.css": "text/css; charset=utf-8",
}


def test_the_page(client):
    answer = client.get("/")
    assert answer.status_code == 200
    assert answer.headers["Content-Type"] == "text/html; charset=utf-8"
    assert answer.text == (FOLDER / "index.html").read_text()


@pytest.mark.parametrize("name", MEDIA_TYPES)
def test_its_files(client, name):
    answer = client.get(f"/playground/{name}")
    assert answer.status_code == 200
    assert answer.headers["Content-Type"] == MEDIA_TYPES[name]
    assert answer.content == (FOLDER / name).read_bytes()


@pytest.mark.parametrize("path", ["/", "/playground/page.js"])
def test_no_foreign_content(client, path):
    headers = client.get(path).headers
    policy = dict(part.split(" ", 1) for part in headers["Content-Security-Policy"].split("; "))
    assert policy["default-src"] == "'self'"
    assert policy["img-src"] == "'self' blob:"
    assert policy["frame-ancestors"] == "'none'"
    assert not {"script-src", "style-src", "connect-src"} & set(policy)  # default-src holds
    assert headers["X-Content-Type-Options"] == "nosniff"


def test_no_inline_script_or_style_and_no_other_host():
    html = FILES["index.html"].body.decode()
    assert re.findall(r"<script(?![^>]* src=)", html) == []
    assert re.findall(r"<style|\sstyle=|\son\w+=", html) == []
    for name, file in FILES.items():
        hosts = set(re.findall(r"https?://([^/\"'` ]+)", file.body.decode()))
        assert hosts <= {"www.w3.org"}, name  # the name of SVG, which nobody fetches


def test_everything_in_the_folder_is_served():
    assert set(FILES) == {path.name for path in FOLDER.iterdir()}


def test_browsers_ask_again_and_get_304_while_nothing_changed(client):
    first = client.get("/playground/page.js")
    assert first.headers["Cache-Control"] == "no-cache"
    again = client.get(
        "/playground/page.js", headers={"If-None-Match": f'"other", W/{first.headers["ETag"]}'}
    )
    assert (again.status_code, again.content) == (304, b"")
    assert again.headers["ETag"] == first.headers["ETag"]
    changed = client.get("/playground/page.js", headers={"If-None-Match": '"other"'})
    assert changed.status_code == 200


@pytest.mark.parametrize("path", ["/", "/playground/page.css"])
def test_head(client, path):
    answer = client.head(path)
    assert (answer.status_code, answer.content) == (200, b"")
    assert answer.headers["ETag"] == client.get(path).headers["ETag"]


@pytest.mark.parametrize("name", ["nothing.js", "", "..%2fapp.py", "%2e%2e/app.py"])
def test_nothing_else_is_served(client, name):
    answer = client.get(f"/playground/{name}")
    assert answer.status_code == 404
    assert answer.json()["error"]["code"] == "not_found"


def test_it_is_there_before_the_model_is(client):
    state = client.app.state.service.lifecycle
    loaded, state._embedder = state._embedder, None
    assert client.get("/").status_code == 200
    state._embedder = loaded


def test_it_is_no_part_of_the_api(client):
    paths = client.get("/openapi.json").json()["paths"]
    assert not [path for path in paths if path == "/" or path.startswith("/playground")]


def test_it_is_counted_as_one_door(client):
    client.get("/")
    client.get("/playground/page.js")
    lines = client.get("/metrics").text.splitlines()
    assert 'swin_requests_total{door="playground",method="GET",status="200"} 2.0' in lines


def test_who_asks_for_json_gets_kserve_s_answer(client):
    answer = client.get("/", headers={"Accept": "application/json"})
    assert answer.json() == {"status": "alive"}
    assert answer.headers["Vary"] == "Accept"
    browser = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"
    for header in (browser, "*/*"):
        assert client.get("/", headers={"Accept": header}).text.startswith("<!")
