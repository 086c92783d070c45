import math
import threading
import time
from concurrent.futures import CancelledError
from functools import partial
from types import SimpleNamespace

import numpy as np
import pytest

from service.engine import decoder as decoding
from service.engine.batcher import Batcher
from service.engine.decode_memory import DecodeMemory
from service.engine.decoder import Decoder
from service.engine.job import Job, Request
from service.engine.stream import Lane
from service.errors import DeviceError, NotReady, QueueFull, RequestTimeout
from service.observability.observer import Observer
from service.settings import Settings
from service.types import Picture

SOON = 60.0


class Engine:
    """A model that adds up pixels; its runs wait for the gate, and their batch sizes are kept."""

    def __init__(self) -> None:
        self.gate = threading.Event()
        self.gate.set()
        self.started = threading.Semaphore(0)
        self.sizes: list[int] = []
        self.error: Exception | None = None
        self.lost = 0

    def __call__(self, images):
        pixels = np.stack(images)
        self.sizes.append(len(pixels))
        self.started.release()
        assert self.gate.wait(SOON)
        if self.error is not None:
            raise self.error
        sums = pixels.reshape(len(pixels), -1).sum(axis=1, keepdims=True)
        return sums.astype(np.float32)[self.lost :]


class Runs(Observer):
    """How large each run was, and whether it succeeded."""

    def __init__(self) -> None:
        self.seen: list[tuple[int, bool]] = []

    def observe_run(self, size, *, succeeded):
        self.seen.append((size, succeeded))


@pytest.fixture
def engine():
    return Engine()


@pytest.fixture
def decode(monkeypatch):
    """What decodes a file; at first it makes an image of its one byte."""
    decoder = SimpleNamespace(call=lambda data: image(data[0]))

    def preprocess(data, *_, **__):
        return Picture(decoder.call(data), 2, 2, "png")

    monkeypatch.setattr(decoding, "preprocess", preprocess)
    return decoder


def batcher_on(lanes, *, observer=None, decode_bytes: int = 0, **options) -> Batcher:
    observer = observer or Observer()
    decoder = Decoder(None, Settings(), DecodeMemory(decode_bytes), observer)
    options = {"max_batch_size": 8, "capacity": 16} | options
    return Batcher(lanes, decoder, observer, **options)


@pytest.fixture
def make(engine):
    made = []

    def batcher(streams: int = 1, **options) -> Batcher:
        made.append(batcher_on([Lane(engine) for _ in range(streams)], **options))
        return made[-1]

    yield batcher
    engine.gate.set()
    for one in made:
        one.close()


def image(value: int):
    return np.full((2, 2, 3), value, np.uint8)


def request(count: int, deadline: float | None = None, **job) -> list[Job]:
    deadline = time.monotonic() + SOON if deadline is None else deadline
    together = Request()
    return [Job(together, deadline, **job) for _ in range(count)]


def send(batcher: Batcher, *values: int, deadline: float | None = None, **job):
    """Have a request of images embedded: each of one grey level, of which its sum tells."""
    jobs = request(len(values), deadline, **job)
    for one, value in zip(jobs, values, strict=True):
        one.pixels = image(value)
    batcher.queue.admit(jobs)
    batcher.queue.put(jobs)
    return [one.future for one in jobs]


def send_files(batcher: Batcher, *files: bytes, **job):
    jobs = request(len(files), **job)
    for one, file in zip(jobs, files, strict=True):
        one.data = file
    batcher.queue.admit(jobs)
    batcher.queue.put(jobs)
    return [one.future for one in jobs]


def occupy(batcher: Batcher, engine: Engine):
    """Have the one stream hold a run until the gate opens."""
    engine.gate.clear()
    (future,) = send(batcher, 0)
    assert engine.started.acquire(timeout=SOON)
    return future


def test_each_caller_gets_its_own_row(make):
    futures = send(make(), 1, 2, 3)
    assert [future.result(SOON).vector.tolist() for future in futures] == [[12], [24], [36]]


def test_a_batch_is_what_queued_while_the_model_was_busy(make, engine):
    batcher = make(max_batch_size=4)
    first = occupy(batcher, engine)
    others = [send(batcher, value)[0] for value in range(1, 7)]
    engine.gate.set()
    assert [future.result(SOON).vector[0] for future in [first, *others]] == [
        12 * value for value in range(7)
    ]
    assert engine.sizes == [1, 4, 2]


def test_timings_say_who_waited(make, engine):
    batcher = make()
    occupy(batcher, engine)
    (waiting,) = send(batcher, 1)
    engine.gate.set()
    embedding = waiting.result(SOON)
    assert embedding.queue_s > 0
    assert embedding.inference_s > 0


def test_a_delay_lets_a_batch_fill_up(make, engine):
    batcher = make(max_delay_s=SOON, max_batch_size=3)
    futures = [send(batcher, value)[0] for value in range(3)]
    assert [future.result(SOON / 2).vector[0] for future in futures] == [0, 12, 24]
    assert engine.sizes == [3]


def test_depth_counts_those_who_wait_and_capacity_bounds_them(make, engine):
    batcher = make(capacity=3)
    occupy(batcher, engine)
    assert batcher.queue.depth == 0
    futures = send(batcher, 1, 2)
    assert batcher.queue.depth == 2
    with pytest.raises(QueueFull) as refusal:
        batcher.queue.admit(request(2))
    assert refusal.value.retry_after_s
    assert batcher.queue.depth == 2
    futures += send(batcher, 3)
    engine.gate.set()
    for future in futures:
        future.result(SOON)
    assert batcher.queue.depth == 0


def test_an_admitted_image_that_is_dropped_gives_its_place_back(make):
    batcher = make(capacity=1)
    (job,) = request(1)
    batcher.queue.admit([job])
    batcher.queue.drop(job, ValueError("damaged"))
    with pytest.raises(ValueError, match="damaged"):
        job.future.result(SOON)
    assert batcher.queue.depth == 0


def test_cancelled_images_do_not_cost_a_run(make, engine):
    batcher = make()
    occupy(batcher, engine)
    stays, leaves = send(batcher, 1, 2)
    assert leaves.cancel()
    engine.gate.set()
    assert stays.result(SOON).vector[0] == 12
    with pytest.raises(CancelledError):
        leaves.result(SOON)
    assert engine.sizes == [1, 1]
    assert batcher.queue.depth == 0


def test_expired_images_do_not_cost_a_run(make, engine):
    batcher = make()
    occupy(batcher, engine)
    (late,) = send(batcher, 1, deadline=time.monotonic())
    (in_time,) = send(batcher, 2)
    engine.gate.set()
    with pytest.raises(RequestTimeout):
        late.result(SOON)
    assert in_time.result(SOON).vector[0] == 24
    assert engine.sizes == [1, 1]


def test_a_failed_run_answers_each_waiter_and_the_next_one_works(make, engine):
    batcher = make()
    first = occupy(batcher, engine)
    others = send(batcher, 1, 2)
    engine.error = RuntimeError("out of memory")
    engine.gate.set()
    for future in [first, *others]:
        with pytest.raises(NotReady):
            future.result(SOON)
    assert batcher.last_run_failed
    engine.error = None
    (after,) = send(batcher, 5)
    assert after.result(SOON).vector[0] == 60
    assert not batcher.last_run_failed


def test_a_model_that_gives_too_few_vectors_fails_the_run(make, engine):
    runs = Runs()
    batcher = make(observer=runs)
    engine.lost = 1
    futures = send(batcher, 1, 2)
    for future in futures:
        with pytest.raises(NotReady):
            future.result(SOON)
    engine.lost = 0
    assert send(batcher, 1)[0].result(SOON).vector[0] == 12
    assert (runs.seen[0][1], runs.seen[-1]) == (False, (1, True))


def test_a_run_under_way_is_seen(make, engine):
    batcher = make()
    assert (batcher.longest_run_s(), batcher.busy) == (0, 0)
    future = occupy(batcher, engine)
    assert batcher.longest_run_s() > 0
    assert batcher.longest_decode_s() == 0
    assert batcher.busy == batcher.streams == 1
    engine.gate.set()
    future.result(SOON)


def test_images_that_are_decoded_are_told_from_those_that_are_not(make, engine, decode):
    batcher = make()
    occupy(batcher, engine)
    send(batcher, 1)
    (second,) = send_files(batcher, b"\2")
    assert (batcher.queue.depth, batcher.queue.decoded) == (2, 1)
    engine.gate.set()
    assert second.result(SOON).vector[0] == 24
    assert (batcher.queue.depth, batcher.queue.decoded) == (0, 0)


def test_each_run_is_reported_with_its_outcome(make, engine):
    runs = Runs()
    batcher = make(observer=runs)
    send(batcher, 1)[0].result(SOON)
    engine.error = RuntimeError("out of memory")
    with pytest.raises(NotReady):
        send(batcher, 1)[0].result(SOON)
    assert runs.seen == [(1, True), (1, False)]


def test_closing_answers_those_who_wait_and_refuses_others(make, engine):
    batcher = make()
    first = occupy(batcher, engine)
    others = send(batcher, 1, 2)
    closing = threading.Thread(target=batcher.close)
    closing.start()
    engine.gate.set()
    closing.join(SOON)
    assert not closing.is_alive()
    assert all(future.done() for future in [first, *others])
    with pytest.raises(NotReady):
        batcher.queue.admit(request(1))


def test_streams_run_at_the_same_time(make, engine):
    batcher = make(streams=2, max_batch_size=1)
    engine.gate.clear()
    futures = send(batcher, 1, 2)
    assert engine.started.acquire(timeout=SOON)
    assert engine.started.acquire(timeout=SOON)
    engine.gate.set()
    assert [future.result(SOON).vector[0] for future in futures] == [12, 24]


def test_the_stream_that_takes_an_image_decodes_it(make, decode):
    decoders = []

    def call(data):
        decoders.append(threading.current_thread().name)
        return image(data[0])

    decode.call = call
    (future,) = send_files(make(), b"\2")
    assert future.result(SOON).vector[0] == 24
    assert decoders == ["stream-0"]


def test_what_decoding_raises_answers_that_image_alone(make, engine, decode):
    batcher = make()
    occupy(batcher, engine)

    def call(data):
        if data == b"bad":
            raise ValueError("damaged")
        return image(data[0])

    decode.call = call
    bad, good = send_files(batcher, b"bad", b"\1")
    engine.gate.set()
    assert good.result(SOON).vector[0] == 12
    with pytest.raises(ValueError, match="damaged"):
        bad.result(SOON)
    assert engine.sizes == [1, 1]
    assert not batcher.last_run_failed


def test_requests_take_turns(make, engine):
    """Four images and, after them, two requests of one: they are run after one of the four."""
    batcher = make(max_batch_size=1)
    order = in_the_order_they_are_run(
        batcher,
        engine,
        lambda: send(batcher, 1, 2, 3, 4),
        lambda: send(batcher, 5),
        lambda: send(batcher, 6),
    )
    assert order == [0, 1, 2, 0, 0, 0]
    assert batcher.queue.depth == 0


def in_the_order_they_are_run(batcher, engine, *requests):
    """Which of these requests, each a function that sends one, were run after each other."""
    order: list[int] = []
    held = occupy(batcher, engine)
    futures = [(number, future) for number, send in enumerate(requests) for future in send()]
    for number, future in futures:
        future.add_done_callback(lambda _, number=number: order.append(number))
    engine.gate.set()
    held.result(SOON)
    for _, future in futures:
        future.result(SOON)
    batcher.close()
    return order


def test_an_expensive_image_lets_cheap_ones_go_first(make, engine):
    batcher = make(max_batch_size=1)
    order = in_the_order_they_are_run(
        batcher,
        engine,
        lambda: send(batcher, 1, 1, cost_s=1.0),
        lambda: send(batcher, 2, 2, cost_s=0.01),
        lambda: send(batcher, 3, cost_s=0.01),
    )
    assert order == [1, 2, 1, 0, 0]


def test_an_expensive_image_does_not_wait_for_ever(make, engine):
    batcher = make(max_batch_size=1)

    def later():
        time.sleep(0.1)
        return send(batcher, 2, cost_s=0.001)

    order = in_the_order_they_are_run(
        batcher, engine, lambda: send(batcher, 1, cost_s=0.002), later
    )
    assert order == [0, 1]


def test_retry_after_is_the_time_that_all_that_waits_takes(make, engine):
    batcher = make(max_batch_size=1, capacity=4, streams=1)
    occupy(batcher, engine)
    send(batcher, 1, 2, 3, 4, cost_s=2.0, deadline=math.inf)
    with pytest.raises(QueueFull) as refused:
        batcher.queue.admit(request(1))
    assert refused.value.retry_after_s == 8


def test_a_request_that_would_come_too_late_is_refused_at_once(make, engine):
    batcher = make(max_batch_size=1)
    occupy(batcher, engine)
    send(batcher, 1, 2, 3, cost_s=4.0, deadline=math.inf)
    with pytest.raises(
        QueueFull, match=r"about 25\.0 s, and the request has 15\.0 s left"
    ) as refused:
        batcher.queue.admit(request(1, time.monotonic() + 15, cost_s=13.0))
    assert refused.value.retry_after_s == 12
    # One that costs little goes first.
    (cheap,) = send(batcher, 1, cost_s=0.1, deadline=time.monotonic() + 5)
    engine.gate.set()
    assert cheap.result(SOON).vector[0] == 12


def test_the_pace_is_learned_from_what_was_done(make, engine):
    """Images that cost far less than was thought drain faster than was thought."""
    batcher = make(max_batch_size=1, capacity=2)
    for _ in range(100):
        send(batcher, 1, cost_s=100.0, deadline=math.inf)[0].result(SOON)
    engine.started = threading.Semaphore(0)
    occupy(batcher, engine)
    send(batcher, 1, 2, cost_s=100.0, deadline=math.inf)
    with pytest.raises(QueueFull) as refused:
        batcher.queue.admit(request(1))
    assert refused.value.retry_after_s < 100


def test_images_that_do_not_fit_into_memory_together_are_decoded_one_after_the_other(
    make, engine, decode
):
    batcher = make(max_batch_size=1, streams=2, decode_bytes=10)
    decoding, gate = [], threading.Event()
    begun = threading.Semaphore(0)

    def call(data):
        decoding.append(data)
        begun.release()
        if data != b"\0":
            assert gate.wait(SOON)
        return image(data[0])

    decode.call = call
    large = send_files(batcher, b"\1", b"\2", decode_bytes=6)
    assert begun.acquire(timeout=SOON)
    (small,) = send_files(batcher, b"\0")
    assert small.result(SOON).vector[0] == 0  # the other stream passes over the second
    assert decoding == [b"\1", b"\0"]
    gate.set()
    assert [future.result(SOON).vector[0] for future in large] == [12, 24]


def test_an_image_larger_than_the_memory_for_all_is_decoded_by_itself(make, decode):
    batcher = make(decode_bytes=10)
    futures = send_files(batcher, b"\1", b"\2", decode_bytes=100)
    assert [future.result(SOON).vector[0] for future in futures] == [12, 24]


def test_a_vector_that_is_not_finite_fails_alone(engine):
    runs = Runs()

    def run(images):
        sums = engine(images)
        sums[np.stack(images)[:, 0, 0, 0] == 2] = np.nan
        return sums

    batcher = batcher_on([Lane(run)], observer=runs)
    held = occupy(batcher, engine)
    futures = send(batcher, 1, 2, 3)
    engine.gate.set()
    held.result(SOON)
    assert [futures[i].result(SOON).vector[0] for i in (0, 2)] == [12, 36]
    with pytest.raises(NotReady):
        futures[1].result(SOON)
    batcher.close()
    assert runs.seen == [(1, True), (3, False)]
    assert batcher.last_run_failed


class Gpus:
    """Lanes of several devices whose runs wait for the gate; which device took which batch."""

    def __init__(self, *devices: str) -> None:
        self.gate = threading.Event()
        self.started = threading.Semaphore(0)
        self.taken: list[str] = []
        self.lanes = [Lane(partial(self.run, device), device) for device in devices]

    def run(self, device, images):
        self.taken.append(device)
        self.started.release()
        assert self.gate.wait(SOON)
        return np.zeros((len(images), 1), np.float32)

    def batcher(self) -> Batcher:
        return batcher_on(self.lanes, max_batch_size=1, capacity=64)

    def wait_for(self, runs: int) -> None:
        for _ in range(runs):
            assert self.started.acquire(timeout=SOON)


def test_the_least_loaded_device_takes_the_next_batch():
    for _ in range(20):
        gpus = Gpus("cuda:0", "cuda:0", "cuda:1", "cuda:1")
        batcher = gpus.batcher()
        futures = send(batcher, 1)
        gpus.wait_for(1)
        futures += send(batcher, 2)
        gpus.wait_for(1)
        assert sorted(gpus.taken) == ["cuda:0", "cuda:1"]
        futures += send(batcher, 3, 4)
        gpus.wait_for(2)
        assert sorted(gpus.taken[2:]) == ["cuda:0", "cuda:1"]
        gpus.gate.set()
        for future in futures:
            future.result(SOON)
        batcher.close()


def test_a_burst_reaches_every_stream_of_every_device():
    gpus = Gpus("cuda:0", "cuda:0", "cuda:0", "cuda:1")
    batcher = gpus.batcher()
    futures = send(batcher, *range(8))
    gpus.wait_for(4)
    assert sorted(gpus.taken) == ["cuda:0", "cuda:0", "cuda:0", "cuda:1"]
    gpus.gate.set()
    for future in futures:
        future.result(SOON)
    batcher.close()


def test_streams_of_all_devices_end():
    for _ in range(20):
        gpus = Gpus("cuda:0", "cuda:0", "cuda:1", "cuda:1")
        batcher = gpus.batcher()
        futures = send(batcher, *range(6))
        gpus.gate.set()
        batcher.close()
        assert all(future.done() for future in futures)


def test_a_lane_is_prepared_in_the_thread_that_runs_it():
    threads = []

    def prepare():
        threads.append(threading.current_thread().name)
        return 0.5

    def run(images):
        threads.append(threading.current_thread().name)
        return np.zeros((1, 1), np.float32)

    batcher = batcher_on([Lane(run, prepare=prepare)])
    send(batcher, 1)[0].result(SOON)
    batcher.close()
    assert threads == ["stream-0", "stream-0"]
    assert batcher.warm_run_s == 0.5


def test_a_lane_that_cannot_be_prepared_ends_them_all():
    def fail():
        raise DeviceError("out of memory")

    before = set(threading.enumerate())
    with pytest.raises(DeviceError, match="out of memory"):
        batcher_on([Lane(Engine()), Lane(Engine(), prepare=fail)])
    assert set(threading.enumerate()) <= before
