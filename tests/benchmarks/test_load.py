"""What goes over the wire, and what comes back."""

import asyncio
from collections import deque
from dataclasses import replace
from types import SimpleNamespace
from unittest.mock import Mock

import pytest

from benchmarks import layouts, load, null_model
from benchmarks.measurements import turn
from benchmarks.servers import running

WHOLE = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"


def test_an_answer_is_read_when_it_is_whole():
    assert load.answer(WHOLE) == load.Answer(200, False, b"{}", 0, 0)
    assert load.answer(WHOLE + b"more") == load.Answer(200, False, b"{}", 4, 0)
    assert load.answer(WHOLE.replace(b"OK", b"OK\r\nConnection: close")).closes
    for length in range(len(WHOLE)):
        assert load.answer(WHOLE[:length]) is None


@pytest.mark.parametrize("together", [1, 4])
def test_images_a_second_are_the_same_one_by_one_and_in_lumps(tmp_path, monkeypatch, together):
    now = 0.0
    monkeypatch.setattr(load, "time", SimpleNamespace(perf_counter=lambda: now))
    (tmp_path / "image").write_bytes(b"image")
    tally = load.Load(load.Plan(0, "/", [str(tmp_path / "image")], [[1.0]], 4, seconds=0.38))
    body = b'{"embeddings": [[1.0]]}'
    answer = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body)

    async def serve() -> None:
        nonlocal now
        tally.begin()
        clients = [load.Client(tally, number) for number in range(4)]
        for client in clients:
            client.connection_made(Mock(asyncio.Transport))
        waiting = deque(clients)
        while not all(client.done.done() for client in clients):
            now += 0.01 * together
            for _ in range(together):
                waiting[0].data_received(answer)
                waiting.rotate(-1)

    asyncio.run(serve())
    assert tally.measured().images_per_s == pytest.approx(100)
    assert tally.wrong == 0


def test_a_paused_server_works_in_its_turn(tmp_path):
    null_model.write(tmp_path / "free.onnx")
    images, vectors = null_model.requests(tmp_path / "free.onnx", tmp_path)
    plan = load.Plan(0, "", images, vectors, 2, 0.1)
    with running([layouts.ours(tmp_path / "free.onnx")]) as (server,):
        server.pause()
        measured = turn(server, plan)
    assert measured["answers"] > 0
    assert measured["wrong"] == 0


def test_another_vector_is_wrong(tmp_path):
    null_model.write(tmp_path / "free.onnx")
    images, _ = null_model.requests(tmp_path / "free.onnx", tmp_path)
    plan = load.Plan(0, "/embed", images, [[1, 0, -1]] * len(images), 2, 0.1)
    with running([layouts.ours(tmp_path / "free.onnx")]) as (server,):
        assert asyncio.run(load.run(replace(plan, port=server.port))).wrong > 0
