import threading

import pytest

from service.engine.decoders import Decoders

SOON = 10.0


@pytest.fixture
def decoders():
    made = Decoders(2)
    yield made
    made.close()


def test_threads_work_at_the_same_time(decoders):
    both = threading.Barrier(3)
    for _ in range(2):
        decoders.submit([lambda: both.wait(SOON)])
    both.wait(SOON)


def test_slow_work_is_seen(decoders):
    begun, gate = threading.Event(), threading.Event()
    assert decoders.longest_s() == 0
    decoders.submit([lambda: begun.set() or gate.wait(SOON)])
    assert begun.wait(SOON)
    assert decoders.longest_s() > 0
    gate.set()


def test_work_that_fails_costs_no_thread(decoders):
    def fail():
        raise ValueError

    done = threading.Semaphore(0)
    for work in (fail, fail, fail, done.release):
        decoders.submit([work])
    assert done.acquire(timeout=SOON)
    assert decoders.alive


def test_a_thread_that_ends_is_seen(monkeypatch):
    monkeypatch.setattr(threading, "excepthook", lambda _: None)
    decoders = Decoders(2)

    def end():
        raise SystemExit

    decoders.submit([end])
    while decoders.alive:
        pass
    decoders.close()


def test_closing_finishes_what_was_submitted():
    decoders = Decoders(1)
    done = []
    decoders.submit([lambda number=number: done.append(number) for number in range(5)])
    decoders.close()
    assert done == [0, 1, 2, 3, 4]


def test_requests_take_turns():
    decoders = Decoders(1)
    begun, gate = threading.Event(), threading.Event()
    decoders.submit([lambda: begun.set() or gate.wait(SOON)])
    assert begun.wait(SOON)
    done = []
    for request in ("aaaa", "b", "cc"):
        decoders.submit([lambda name=name: done.append(name) for name in request])
    gate.set()
    decoders.close()
    assert "".join(done) == "abcacaa"
