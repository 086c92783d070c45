import threading
import time
from types import SimpleNamespace

import pytest

from service.engine.decode_memory import DecodeMemory
from service.engine.decoder_pool import DecoderPool
from service.engine.job import Job, Request
from service.errors import InvalidImage

SOON = 60.0


class Queue:
    """Takes what is decoded, and what is not."""

    def __init__(self) -> None:
        self.paces = []
        self.decoded: list[bytes] = []
        self.dropped: list[Exception] = []

    def put(self, jobs):
        for job in jobs:
            self.decoded.append(job.data)
            job.future.set_result(None)

    def drop(self, job, error):
        self.dropped.append(error)
        job.future.set_exception(error)


@pytest.fixture
def queue():
    return Queue()


@pytest.fixture
def make(queue):
    made = []

    def pool(count, decode, limit=0):
        memory = DecodeMemory(limit)

        def released(job):
            try:
                decode(job.data)
            finally:
                memory.release(job)

        decoder = SimpleNamespace(memory=memory, decode=released)
        made.append(DecoderPool(count, decoder, queue))
        return made[-1]

    yield pool
    for one in made:
        one.close()


def put(pool, *files: bytes, **job):
    request = Request()
    jobs = [Job(request, time.monotonic() + SOON, data=file, **job) for file in files]
    pool.put(jobs)
    return jobs


def test_threads_work_at_the_same_time(make):
    both = threading.Barrier(3)
    pool = make(2, lambda data: both.wait(SOON))
    for _ in range(2):
        put(pool, b"x")
    both.wait(SOON)


def test_a_slow_image_is_seen(make):
    begun, gate = threading.Event(), threading.Event()
    pool = make(1, lambda data: begun.set() or gate.wait(SOON))
    assert pool.longest_s() == 0
    put(pool, b"x")
    assert begun.wait(SOON)
    assert pool.longest_s() > 0
    gate.set()


def test_an_image_that_is_damaged_is_dropped_and_costs_no_thread(make, queue):
    def decode(data):
        if data == b"bad":
            raise InvalidImage("damaged")

    pool = make(2, decode)
    jobs = put(pool, b"bad", b"bad", b"bad", b"good")
    assert jobs[-1].future.result(SOON) is None
    with pytest.raises(InvalidImage):
        jobs[0].future.result(SOON)
    assert pool.alive


def test_an_image_nobody_waits_for_is_not_decoded(make, queue):
    pool = make(1, lambda data: None)
    late = Job(Request(), 0, data=b"late")
    pool.put([late])
    pool.close()
    assert queue.decoded == []
    assert "waited too long" in str(queue.dropped[0])


def test_a_thread_that_ends_is_seen(make, monkeypatch):
    monkeypatch.setattr(threading, "excepthook", lambda _: None)

    def end(data):
        raise SystemExit

    pool = make(2, end)
    (job,) = put(pool, b"x")
    with pytest.raises(Exception, match="the decoder failed"):
        job.future.result(SOON)
    pool._threads[0].join(SOON / 10)
    pool._threads[1].join(SOON / 10)
    assert not pool.alive


def test_closing_finishes_what_was_put_in(make, queue):
    pool = make(1, lambda data: None)
    put(pool, b"0", b"1", b"2")
    pool.close()
    assert queue.decoded == [b"0", b"1", b"2"]


def test_requests_take_turns(make, queue):
    begun, gate = threading.Event(), threading.Event()
    pool = make(1, lambda data: data == b"held" and (begun.set() or gate.wait(SOON)))
    put(pool, b"held")
    assert begun.wait(SOON)
    for name in (b"aaaa", b"b", b"cc"):
        put(pool, *(name[:1] for _ in name))
    gate.set()
    pool.close()
    assert b"".join(queue.decoded) == b"heldabcacaa"


def test_images_that_do_not_fit_into_memory_together_are_decoded_one_after_the_other(make, queue):
    at_once, most, lock = 0, 0, threading.Lock()

    def decode(data):
        nonlocal at_once, most
        with lock:
            at_once += 1
            most = max(most, at_once)
        time.sleep(0.01)
        with lock:
            at_once -= 1

    pool = make(3, decode, limit=10)
    put(pool, *[b"x"] * 6, decode_bytes=8)
    pool.close()
    assert most == 1
    assert len(queue.decoded) == 6
