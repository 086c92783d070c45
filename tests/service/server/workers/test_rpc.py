import os
import threading
from contextlib import contextmanager

import pytest

from service.errors import ReloadFailed
from service.server.workers import rpc
from service.server.workers.rpc import Client

SOON = 60


@contextmanager
def answered(reply):
    """A client whose calls a thread answers."""
    here, there = rpc.pair()
    thread = threading.Thread(target=rpc.serve, args=(there, reply))
    thread.start()
    client = Client(here)
    try:
        yield client
    finally:
        client.close()
        thread.join(SOON)
        there.close()
    assert not thread.is_alive()


def test_an_answer_for_each_question():
    with answered(lambda question: question * 2) as client:
        assert [client.call(number) for number in range(5)] == [0, 2, 4, 6, 8]


def test_what_is_raised_there_is_raised_here():
    def refuse(_):
        raise ReloadFailed("no such file", retry_after_s=3)

    with answered(refuse) as client:
        for _ in range(2):
            with pytest.raises(ReloadFailed, match="no such file") as caught:
                client.call(None)
            assert caught.value.retry_after_s == 3


def test_an_answer_that_is_late_is_not_taken_for_the_next():
    gate = threading.Event()

    def wait(question):
        if question == "slow":
            gate.wait(SOON)
        return question

    with answered(wait) as client:
        with pytest.raises(TimeoutError):
            client.call("slow", 0.01)
        gate.set()
        assert client.call("quick") == "quick"


def test_whom_nobody_answers_any_more():
    here, there = rpc.pair()
    there.close()
    with pytest.raises(ConnectionError):
        Client(here).call(None)
    here.close()


def test_open_files_are_handed_over():
    here, there = rpc.pair()

    def read(count):
        files = rpc.received(there, count)
        texts = [os.read(file, 10) for file in files]
        for file in files:
            os.close(file)
        return texts

    thread = threading.Thread(target=rpc.serve, args=(there, read))
    thread.start()
    ends = [os.pipe() for _ in range(40)]
    for number, (_, write) in enumerate(ends):
        os.write(write, b"%d" % number)
    client = Client(here)
    first, *others = (end for end, _ in ends)
    assert client.call(1, None, [first]) == [b"0"]
    assert client.call(39, None, others) == [b"%d" % number for number in range(1, 40)]
    client.close()
    thread.join(SOON)
    there.close()
    for pair in ends:
        for end in pair:
            os.close(end)


def test_more_open_files_are_handed_over_than_fit_a_message():
    here, there = rpc.pair()

    def count(files):
        received = rpc.received(there, files)
        for file in received:
            os.close(file)
        return len(received)

    thread = threading.Thread(target=rpc.serve, args=(there, count))
    thread.start()
    client = Client(here)
    file = os.open(os.devnull, os.O_RDONLY)
    for number in (253, 254, 507):
        assert client.call(number, SOON, [file] * number) == number
    os.close(file)
    client.close()
    thread.join(SOON)
    there.close()
