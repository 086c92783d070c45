import logging
import os
import subprocess
import sys

import pytest
from pydantic import ValidationError

from service.settings import Settings
from tests.service.api.test_embed import error
from tests.service.test_main import ROOT
from tests.support.images import jpeg

KEYS = "first-key-1, second-kéy"


def bearer(key: str) -> dict[str, bytes]:
    return {"Authorization": f"Bearer {key}".encode()}


@pytest.fixture
def guarded(serve):
    return serve(api_keys=KEYS)


@pytest.mark.parametrize("key", ["first-key-1", "second-kéy"])
def test_every_key_opens(guarded, key):
    headers = {"Authorization": f"bearer {key}".encode()}
    assert guarded.post("/embed", content=jpeg("coffee"), headers=headers).status_code == 200
    assert guarded.get("/v1/models", headers=headers).status_code == 200


@pytest.mark.parametrize(
    "headers",
    [
        {},
        bearer("first-key"),
        bearer("first-key-12"),
        bearer(""),
        bearer(KEYS),
        {"Authorization": "Basic first-key-1"},
        {"Authorization": "first-key-1"},
        {"X-API-Key": "first-key-1"},
    ],
)
@pytest.mark.parametrize("path", ["/embed", "/v1/models"])
def test_nothing_else_does(guarded, path, headers):
    method = "GET" if path == "/v1/models" else "POST"
    answer = guarded.request(method, path, headers=headers)
    error(answer, 401, "invalid_api_key")
    assert answer.headers["WWW-Authenticate"] == "Bearer"


def test_health_metrics_and_docs_stay_open(guarded):
    for path in ("/health/live", "/health/ready", "/metrics", "/docs", "/openapi.json"):
        assert guarded.get(path).status_code == 200


def test_metrics_can_be_protected(serve):
    client = serve(api_keys=KEYS, protect_metrics=True)
    error(client.get("/metrics"), 401, "invalid_api_key")
    assert client.get("/metrics", headers=bearer("first-key-1")).status_code == 200
    assert client.get("/health/ready").status_code == 200


def test_protected_metrics_need_keys():
    with pytest.raises(ValidationError, match="SWIN_PROTECT_METRICS needs SWIN_API_KEYS"):
        Settings(protect_metrics=True)


def test_openapi_says_whether_a_key_is_needed(client, guarded):
    def security(of):
        return of.get("/openapi.json").json()["paths"]["/embed"]["post"].get("security")

    assert security(client) is None
    assert security(guarded) == [{"HTTPBearer": []}]


def test_keys_are_never_logged(serve, caplog):
    caplog.set_level(logging.DEBUG)
    client = serve(api_keys=KEYS)
    client.post("/embed", content=jpeg("coffee"), headers=bearer("first-key-1"))
    client.post("/embed", content=jpeg("coffee"), headers=bearer("wrong-key"))
    assert caplog.records
    assert "-key" not in caplog.text
    assert "-key" not in repr(client.app.state.service.settings)


def test_keys_are_not_told_by_an_error_at_start():
    done = subprocess.run(
        [sys.executable, "-m", "service", "--port", "-1"],
        env=os.environ | {"SWIN_API_KEYS": KEYS},
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 2
    assert "-key" not in done.stdout + done.stderr


ORIGIN = {"Origin": "https://photos.example"}
PREFLIGHT = ORIGIN | {
    "Access-Control-Request-Method": "POST",
    "Access-Control-Request-Headers": "authorization,content-type",
}


def test_pages_of_other_origins_may_not_call(client):
    answer = client.post("/embed", content=jpeg("coffee"), headers=ORIGIN)
    assert "Access-Control-Allow-Origin" not in answer.headers
    assert client.options("/embed", headers=PREFLIGHT).status_code == 405


def test_pages_of_a_named_origin_may(serve):
    client = serve(cors_origins="https://photos.example,https://other.example", api_keys="k")
    preflight = client.options("/embed", headers=PREFLIGHT)
    assert preflight.status_code == 200
    assert preflight.headers["Access-Control-Allow-Origin"] == "https://photos.example"
    answer = client.post("/embed", content=jpeg("coffee"), headers=ORIGIN | bearer("k"))
    assert answer.status_code == 200
    assert answer.headers["Access-Control-Allow-Origin"] == "https://photos.example"
    assert "Server-Timing" in answer.headers["Access-Control-Expose-Headers"]
    elsewhere = {**PREFLIGHT, "Origin": "https://evil.example"}
    assert "Access-Control-Allow-Origin" not in client.options("/embed", headers=elsewhere).headers
