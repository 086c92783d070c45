"""What goes over the wire, and what comes back."""

import asyncio
from dataclasses import replace

from benchmarks import free, layouts, load
from benchmarks.pieces import turn
from benchmarks.servers import running

WHOLE = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"


def test_an_answer_is_read_when_it_is_whole():
    assert load.answer(WHOLE) == load.Answer(200, False, b"{}", 0)
    assert load.answer(WHOLE + b"more") == load.Answer(200, False, b"{}", 4)
    assert load.answer(WHOLE.replace(b"OK", b"OK\r\nConnection: close")).closes
    for length in range(len(WHOLE)):
        assert load.answer(WHOLE[:length]) is None


def test_a_paused_server_works_in_its_turn(tmp_path):
    free.write(tmp_path / "free.onnx")
    images, vectors = free.requests(tmp_path / "free.onnx", tmp_path)
    plan = load.Plan(0, "", images, vectors, 2, 0.1)
    with running([layouts.ours(tmp_path / "free.onnx")]) as (server,):
        server.pause()
        measured = turn(server, plan)
    assert measured["answers"] > 0
    assert measured["wrong"] == 0


def test_another_vector_is_wrong(tmp_path):
    free.write(tmp_path / "free.onnx")
    images, _ = free.requests(tmp_path / "free.onnx", tmp_path)
    plan = load.Plan(0, "/embed", images, [[1, 0, -1]] * len(images), 2, 0.1)
    with running([layouts.ours(tmp_path / "free.onnx")]) as (server,):
        assert asyncio.run(load.run(replace(plan, port=server.port))).wrong > 0
