"""Answers that come before their request's end, most of all a full queue's: on real sockets."""

import contextlib
import http.client
import json
import logging
import socket
import threading
from types import SimpleNamespace

import pytest

from service.api.app import create_app
from service.server.server import Server
from service.settings import Settings
from tests.support.eventually import eventually
from tests.support.images import jpeg
from tests.support.process import SOON

HEAD = b"POST /embed HTTP/1.1\r\nHost: x\r\nContent-Type: image/jpeg\r\n"


class InAThread(Server):
    """A server that leaves signals alone."""

    def capture_signals(self):
        return contextlib.nullcontext()


@contextlib.contextmanager
def serving(**settings):
    app = create_app(Settings(port=0, **settings))
    server = InAThread(app, app.state.service.settings)
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        while not (server.started and app.state.service.lifecycle.ready()):
            assert thread.is_alive()
        port = server.servers[0].sockets[0].getsockname()[1]
        yield SimpleNamespace(
            app=app, port=port, embedder=app.state.service.lifecycle.embedder, server=server
        )
    finally:
        server.should_exit = True
        thread.join()


@pytest.fixture
def start(artifact):
    with contextlib.ExitStack() as stack:
        yield lambda **settings: stack.enter_context(serving(model=artifact, **settings))


@pytest.fixture
def service(start):
    return start()


def fill(service, monkeypatch) -> None:
    queue = service.embedder.batcher.queue
    monkeypatch.setattr(queue, "depth", queue.capacity)


def post(connection, path="/embed", body=b"text", method="POST", **headers):
    headers = {"Content-Type": "text/plain"} | headers
    connection.request(method, path, body, headers)
    answer = connection.getresponse()
    return SimpleNamespace(status=answer.status, headers=answer.headers, body=answer.read())


@contextlib.contextmanager
def connected(service):
    connection = http.client.HTTPConnection("127.0.0.1", service.port, timeout=SOON)
    with contextlib.closing(connection):
        yield connection


@contextlib.contextmanager
def raw(service):
    with socket.create_connection(("127.0.0.1", service.port), SOON) as connection:
        yield connection


def until_closed(connection) -> bytes:
    with connection.makefile("rb") as stream:
        return stream.read()


def count(service, name, **labels) -> float:
    return service.app.state.service.metrics.registry.get_sample_value(name, labels) or 0.0


@pytest.mark.parametrize(
    ("path", "door"),
    [("/embed", "embed"), ("/embed?dtype=int8", "embed"), ("/v1/embeddings", "openai")],
)
def test_a_full_queue_s_answer(service, monkeypatch, caplog, path, door):
    fill(service, monkeypatch)
    with connected(service) as connection, caplog.at_level(logging.INFO):
        answer = post(connection, path, **{"X-Request-Id": "mine"})
    assert answer.status == 429
    error = json.loads(answer.body)["error"]
    assert (error["type"], error["param"], error["code"]) == (
        "rate_limit_error",
        None,
        "queue_full",
    )
    assert "try again later" in error["message"]
    assert answer.headers["Content-Type"] == "application/json"
    assert int(answer.headers["Retry-After"]) >= 1
    assert answer.headers["X-Request-Id"] == "mine"
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert answer.headers["Date"]
    assert answer.headers["Connection"] is None
    assert count(service, "swin_requests_total", door=door, method="POST", status="429") == 1
    assert count(service, "swin_request_duration_seconds_count", door=door) == 1
    assert count(service, "swin_rejected_total", reason="queue_full") == 1
    assert count(service, "swin_images_total", outcome="refused") == 1
    assert count(service, "swin_requests_in_flight") == 0
    eventually(lambda: any(hasattr(record, "fields") for record in caplog.records))
    (line,) = (record.fields for record in caplog.records if hasattr(record, "fields"))
    told = (line["http.request.id"], line["http.response.status_code"], line["error.code"])
    assert told == ("mine", 429, "queue_full")


def test_a_connection_goes_on_after_a_refusal(service, monkeypatch):
    image = jpeg("coffee")
    with connected(service) as connection:
        with monkeypatch.context() as patch:
            fill(service, patch)
            for _ in range(3):
                assert post(connection, body=image * 20).status == 429
            assert post(connection, "/health/live", None, "GET").status == 200
        assert post(connection, body=image, **{"Content-Type": "image/jpeg"}).status == 200
    assert count(service, "swin_images_total", outcome="refused") == 3


def test_only_what_would_be_let_in_is_refused(start, monkeypatch):
    service = start(api_keys="k")
    fill(service, monkeypatch)
    with connected(service) as connection:
        assert post(connection).status == 401
        assert post(connection, Authorization="Bearer other").status == 401
        assert post(connection, Authorization="Basic k").status == 401
        assert post(connection, Authorization="bearer k").status == 429
        assert post(connection, method="PUT").status == 405
        assert post(connection, "/nothing").status == 404
    assert count(service, "swin_images_total", outcome="refused") == 1


def test_a_page_of_another_origin_may_read_the_refusal(start, monkeypatch):
    service = start(cors_origins="https://page.example")
    fill(service, monkeypatch)
    with connected(service) as connection:
        answer = post(connection, Origin="https://page.example")
    assert answer.status == 429
    assert answer.headers["Access-Control-Allow-Origin"] == "https://page.example"
    assert count(service, "swin_images_total", outcome="refused") == 1


@pytest.mark.parametrize("path", ["/embed", "/v1/embeddings"])
def test_a_request_that_comes_as_the_engine_closes_is_counted_once(service, monkeypatch, path):
    monkeypatch.setattr(service.embedder.batcher.queue, "closed", True)
    body = b'{"model": "x", "input": "data:,"}'
    with connected(service) as connection:
        answer = post(connection, path, body, **{"Content-Type": "application/json"})
    assert answer.status == 503
    assert json.loads(answer.body)["error"]["code"] == "not_ready"
    assert int(answer.headers["Retry-After"]) >= 1
    assert count(service, "swin_images_total", outcome="refused") == 1
    assert count(service, "swin_rejected_total", reason="not_ready") == 1


@pytest.mark.parametrize(
    "head",
    [
        HEAD + b"Connection: close\r\n",
        HEAD.replace(b"1.1", b"1.0"),
    ],
    ids=["close", "HTTP/1.0"],
)
def test_a_connection_is_closed_when_the_body_has_been_read(service, monkeypatch, head):
    fill(service, monkeypatch)
    body = bytes(3_000_000)
    with raw(service) as connection:
        connection.sendall(head + b"Content-Length: %d\r\n\r\n" % len(body) + body)
        answer = until_closed(connection)  # would be reset, were the body not read
    assert answer.startswith(b"HTTP/1.1 429 ")
    assert b"\r\nconnection: close\r\n" in answer
    assert answer.count(b"HTTP/1.1") == 1


def test_requests_on_one_connection_are_answered_in_order(service, monkeypatch):
    image = jpeg("coffee")
    request = HEAD + b"Content-Length: %d\r\n\r\n" % len(image) + image
    last = HEAD + b"Connection: close\r\nContent-Length: 0\r\n\r\n"
    with raw(service) as connection, monkeypatch.context() as patch:
        fill(service, patch)
        connection.sendall(b"GET /health/live HTTP/1.1\r\nHost: x\r\n\r\n" + request * 50 + last)
        answers = until_closed(connection)
    statuses = [int(part.split(b" ", 1)[0]) for part in answers.split(b"HTTP/1.1 ")[1:]]
    assert statuses == [200] + [429] * 51


def test_a_body_that_trickles_after_its_refusal_is_not_awaited(start, monkeypatch):
    service = start(read_timeout_s=0.2)
    fill(service, monkeypatch)
    with raw(service) as connection:
        connection.sendall(HEAD + b"Content-Length: 1000\r\n\r\n")
        assert until_closed(connection).startswith(b"HTTP/1.1 429 ")


@pytest.mark.parametrize("target", [b"/embed", b"/nothing"])
def test_a_body_is_read_no_further_than_the_limit_once_it_is_answered(start, monkeypatch, target):
    service = start(max_request_bytes=100_000)
    fill(service, monkeypatch)
    head = HEAD.replace(b"/embed", target)
    piece = b"10000\r\n" + bytes(0x10000) + b"\r\n"
    with raw(service) as connection:
        connection.sendall(head + b"Transfer-Encoding: chunked\r\n\r\n")
        with pytest.raises(ConnectionError):
            connection.sendall(piece * 1000)
