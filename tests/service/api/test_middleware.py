import asyncio
import http.client
import logging
import re

import pytest
from starlette.exceptions import HTTPException

from service.api.middleware import ShutdownResponse
from tests.service.api.test_health import samples
from tests.support.images import encode, jpeg, noise
from tests.support.process import running


def test_an_answer_has_an_id_and_its_timings(client):
    answer = client.post("/embed", content=jpeg("coffee"))
    assert re.fullmatch(r"[0-9a-f]{32}", answer.headers["X-Request-Id"])
    timing = dict(part.split(";dur=") for part in answer.headers["Server-Timing"].split(", "))
    assert list(timing) == ["decode", "queue", "inference", "encode"]
    assert all(float(milliseconds) >= 0 for milliseconds in timing.values())
    assert float(timing["inference"]) > 0


def test_the_client_s_id_is_kept_in_answer_and_log(client, caplog):
    with caplog.at_level(logging.INFO, "service.api.request_log"):
        headers = {"X-Request-Id": "trace-1/a.b:c=@+"}
        good = client.post("/embed", content=jpeg("coffee"), headers=headers)
        bad = client.post("/embed", content=b"text", headers=headers)
    for answer in (good, bad):
        assert answer.headers["X-Request-Id"] == "trace-1/a.b:c=@+"
    assert [one.fields["http.request.id"] for one in caplog.records] == ["trace-1/a.b:c=@+"] * 2


@pytest.mark.parametrize("hostile", ["", "two words", "a\tb", 'quo"te', "x" * 129, "é"])
def test_an_unfit_id_is_replaced(client, hostile):
    answer = client.get("/v1/models", headers={"X-Request-Id": hostile.encode("latin-1")})
    assert re.fullmatch(r"[0-9a-f]{32}", answer.headers["X-Request-Id"])


def test_a_request_that_is_cancelled_is_no_bug():
    """What is raised, the server would log with all its traceback."""

    async def cancel():
        begun = asyncio.Event()

        async def begin_and_wait(scope, receive, send):
            await send({"type": "http.response.start", "status": 200})
            begun.set()
            await asyncio.Event().wait()

        async def send(message):
            pass

        app = ShutdownResponse(begin_and_wait)
        answering = asyncio.create_task(app({"type": "http"}, None, send))
        await begun.wait()
        answering.cancel()
        await answering

    asyncio.run(cancel())


def test_probes_are_quiet(client, caplog):
    with caplog.at_level(logging.INFO, "service.api.request_log"):
        client.get("/health/ready")
        client.get("/metrics")
    assert not caplog.records


@pytest.mark.parametrize("error", [RuntimeError("oops"), HTTPException(418)])
def test_errors_have_the_id_too(client, monkeypatch, error):
    monkeypatch.setattr("service.api.embed.embed_all", _raising(error))
    answer = client.post("/embed", content=encode(noise(4, 4)), headers={"X-Request-Id": "mine"})
    assert answer.status_code in {500, 418}
    assert answer.headers.get_list("X-Request-Id") == ["mine"]


def _raising(error):
    async def fail(*_):
        raise error

    return fail


GET_PATHS = ["/health/live", "/health/ready", "/metrics", "/docs", "/v1/models", "/v2", "/"]


@pytest.mark.parametrize("path", GET_PATHS)
def test_head_is_answered_wherever_there_is_get(client, path):
    answer = client.head(path)
    assert answer.status_code == 200
    assert answer.headers["content-type"] == client.get(path).headers["content-type"]


def test_head_is_answered_nowhere_else(client):
    answer = client.head("/embed")
    assert (answer.status_code, answer.headers["allow"]) == (405, "POST")


@pytest.mark.parametrize("path", GET_PATHS)
def test_head_is_among_what_is_allowed(client, path):
    answer = client.put(path)
    assert answer.status_code == 405
    assert set(answer.headers["allow"].split(", ")) == {"GET", "HEAD"}


def test_head_is_counted_as_head(client):
    client.head("/health/live")
    assert samples(client)['swin_requests_total{door="health",method="HEAD",status="200"}'] == 1


def test_an_answer_to_head_has_no_body_and_the_connection_goes_on(artifact):
    with running(model=artifact) as (_, address):
        connection = http.client.HTTPConnection(address.removeprefix("http://"))
        for method in ("HEAD", "GET", "HEAD"):
            connection.request(method, "/health/live")
            answer = connection.getresponse()
            assert answer.status == 200
            assert answer.read() == (b'{"live":true}' if method == "GET" else b"")
        connection.close()
