import threading
import time
from concurrent.futures import CancelledError
from functools import partial

import numpy as np
import pytest

from service.engine.batcher import Batcher
from service.engine.stream import Lane
from service.errors import DeviceError, NotReady, QueueFull, RequestTimeout

SOON = 10.0


class Engine:
    """A model that adds up pixels; its runs wait for the gate, and their batch sizes are kept."""

    def __init__(self) -> None:
        self.gate = threading.Event()
        self.gate.set()
        self.started = threading.Semaphore(0)
        self.sizes: list[int] = []
        self.alone: list[bool] = []
        self.error: Exception | None = None
        self.lost = 0

    def __call__(self, images, alone):
        pixels = np.stack(images)
        self.sizes.append(len(pixels))
        self.alone.append(alone)
        self.started.release()
        assert self.gate.wait(SOON)
        if self.error is not None:
            raise self.error
        sums = pixels.reshape(len(pixels), -1).sum(axis=1, keepdims=True)
        return sums.astype(np.float32)[self.lost :]


@pytest.fixture
def engine():
    return Engine()


@pytest.fixture
def make(engine):
    made = []

    def batcher(streams: int = 1, **options) -> Batcher:
        lanes = [Lane(engine)] * streams
        made.append(Batcher(lanes, **{"max_batch_size": 8, "capacity": 16} | options))
        return made[-1]

    yield batcher
    engine.gate.set()
    for one in made:
        one.close()


def image(value: int):
    return np.full((2, 2, 3), value, np.uint8)


def put(batcher: Batcher, job, image) -> None:
    job.image = image
    batcher.put([job])


def send(batcher: Batcher, *values: int, deadline: float | None = None):
    jobs = batcher.admit(len(values), time.monotonic() + SOON if deadline is None else deadline)
    for job, value in zip(jobs, values, strict=True):
        put(batcher, job, image(value))
    return [job.future for job in jobs]


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
    assert batcher.depth == 0
    futures = send(batcher, 1, 2)
    assert batcher.depth == 2
    with pytest.raises(QueueFull) as refusal:
        batcher.admit(2, SOON)
    assert refusal.value.retry_after_s
    assert batcher.depth == 2
    futures += send(batcher, 3)
    engine.gate.set()
    for future in futures:
        future.result(SOON)
    assert batcher.depth == 0


def test_an_admitted_image_that_is_dropped_gives_its_place_back(make):
    batcher = make(capacity=1)
    (job,) = batcher.admit(1, time.monotonic() + SOON)
    batcher.drop(job, ValueError("damaged"))
    with pytest.raises(ValueError, match="damaged"):
        job.future.result(SOON)
    assert batcher.depth == 0


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
    assert batcher.depth == 0


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
    runs = []
    batcher = make(on_run=lambda size, *, succeeded: runs.append((size, succeeded)))
    engine.lost = 1
    futures = send(batcher, 1, 2)
    for future in futures:
        with pytest.raises(NotReady):
            future.result(SOON)
    engine.lost = 0
    assert send(batcher, 1)[0].result(SOON).vector[0] == 12
    assert (runs[0][1], runs[-1]) == (False, (1, True))


def test_a_run_under_way_is_seen(make, engine):
    batcher = make()
    assert (batcher.longest_run_s(), batcher.busy) == (0, 0)
    future = occupy(batcher, engine)
    assert batcher.longest_run_s() > 0
    assert batcher.longest_decode_s() == 0
    assert batcher.busy == batcher.streams == 1
    engine.gate.set()
    future.result(SOON)


def test_images_that_are_decoded_are_told_from_those_that_are_not(make, engine):
    batcher = make()
    occupy(batcher, engine)
    first, second = batcher.admit(2, time.monotonic() + SOON)
    put(batcher, first, image(1))
    assert (batcher.depth, batcher.undecoded) == (2, 1)
    put(batcher, second, lambda: image(2))
    assert (batcher.depth, batcher.undecoded) == (2, 1)
    engine.gate.set()
    assert second.future.result(SOON).vector[0] == 24
    assert (batcher.depth, batcher.undecoded) == (0, 0)


def test_each_run_is_reported_with_its_outcome(make, engine):
    runs = []
    batcher = make(on_run=lambda size, *, succeeded: runs.append((size, succeeded)))
    send(batcher, 1)[0].result(SOON)
    engine.error = RuntimeError("out of memory")
    with pytest.raises(NotReady):
        send(batcher, 1)[0].result(SOON)
    assert runs == [(1, True), (1, False)]


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
        batcher.admit(1, SOON)


def test_streams_run_at_the_same_time(make, engine):
    batcher = make(streams=2, max_batch_size=1)
    engine.gate.clear()
    futures = send(batcher, 1, 2)
    assert engine.started.acquire(timeout=SOON)
    assert engine.started.acquire(timeout=SOON)
    engine.gate.set()
    assert [future.result(SOON).vector[0] for future in futures] == [12, 24]


def test_a_run_is_alone_while_at_most_half_of_the_streams_have_work(make, engine):
    batcher = make(streams=4, max_batch_size=1)
    engine.gate.clear()
    futures = []
    for value in range(4):
        futures += send(batcher, value)
        assert engine.started.acquire(timeout=SOON)
    engine.gate.set()
    for future in futures:
        future.result(SOON)
    assert engine.alone == [True, True, False, False]


def test_a_run_is_not_alone_while_images_wait(make, engine):
    batcher = make(streams=2, max_batch_size=1)
    engine.gate.clear()
    jobs = batcher.admit(2, time.monotonic() + SOON)
    put(batcher, jobs[0], image(1))
    assert engine.started.acquire(timeout=SOON)
    put(batcher, jobs[1], image(2))
    engine.gate.set()
    for job in jobs:
        job.future.result(SOON)
    assert engine.alone[0] is False


def test_a_single_stream_is_never_alone(make, engine):
    (future,) = send(make(), 1)
    future.result(SOON)
    assert engine.alone == [False]


def test_the_stream_that_takes_an_image_decodes_it(make):
    batcher = make()
    (job,) = batcher.admit(1, time.monotonic() + SOON)
    decoders = []

    def decode():
        decoders.append(threading.current_thread().name)
        return image(2)

    put(batcher, job, decode)
    assert job.future.result(SOON).vector[0] == 24
    assert decoders == ["stream-0"]


def test_what_decoding_raises_answers_that_image_alone(make, engine):
    batcher = make()
    occupy(batcher, engine)
    bad, good = batcher.admit(2, time.monotonic() + SOON)

    def decode():
        raise ValueError("damaged")

    put(batcher, bad, decode)
    put(batcher, good, image(1))
    engine.gate.set()
    assert good.future.result(SOON).vector[0] == 12
    with pytest.raises(ValueError, match="damaged"):
        bad.future.result(SOON)
    assert engine.sizes == [1, 1]
    assert not batcher.last_run_failed


def test_requests_take_turns(make, engine):
    """Four images and, after them, two requests of one: they are run after one of the four."""
    batcher = make(max_batch_size=1)
    order: list[int] = []
    held = occupy(batcher, engine)
    futures = [*send(batcher, 1, 2, 3, 4), *send(batcher, 5), *send(batcher, 6)]
    for value, future in enumerate(futures, 1):
        future.add_done_callback(lambda _, value=value: order.append(value))
    engine.gate.set()
    held.result(SOON)
    for future in futures:
        future.result(SOON)
    batcher.close()  # callbacks run on the stream, which has ended
    assert order == [1, 5, 6, 2, 3, 4]
    assert batcher.depth == 0


def test_retry_after_is_the_time_that_the_missing_places_take(make, engine):
    batcher = make(max_batch_size=1, capacity=4)
    assert retry_after(batcher, 5) == 1  # nothing is known of the pace yet
    batcher.waiting.image_s = 10.0
    held = occupy(batcher, engine)
    waiting = send(batcher, 1, 2, 3, 4)
    assert retry_after(batcher, 1) == 10
    assert retry_after(batcher, 3) == 30
    engine.gate.set()
    for future in (held, *waiting):
        future.result(SOON)
    batcher.close()
    assert batcher.waiting.image_s != 10.0  # it has learned from these


def retry_after(batcher: Batcher, images: int) -> float | None:
    with pytest.raises(QueueFull) as refused:
        batcher.admit(images, time.monotonic() + SOON)
    return refused.value.retry_after_s


def test_a_vector_that_is_not_finite_fails_alone(engine):
    runs: list[bool] = []

    def run(images, alone):
        sums = engine(images, alone)
        sums[np.stack(images)[:, 0, 0, 0] == 2] = np.nan
        return sums

    batcher = Batcher(
        [Lane(run)],
        max_batch_size=8,
        capacity=16,
        on_run=lambda size, *, succeeded: runs.append(succeeded),
    )
    held = occupy(batcher, engine)
    futures = send(batcher, 1, 2, 3)
    engine.gate.set()
    held.result(SOON)
    assert [futures[i].result(SOON).vector[0] for i in (0, 2)] == [12, 36]
    with pytest.raises(NotReady):
        futures[1].result(SOON)
    batcher.close()
    assert runs == [True, False]
    assert batcher.last_run_failed


class Gpus:
    """Lanes of several devices whose runs wait for the gate; which device took which batch."""

    def __init__(self, *devices: str) -> None:
        self.gate = threading.Event()
        self.started = threading.Semaphore(0)
        self.taken: list[str] = []
        self.lanes = [Lane(partial(self.run, device), device) for device in devices]

    def run(self, device, images, alone):
        self.taken.append(device)
        self.started.release()
        assert self.gate.wait(SOON)
        return np.zeros((len(images), 1), np.float32)

    def batcher(self) -> Batcher:
        return Batcher(self.lanes, max_batch_size=1, capacity=64)

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

    def run(images, alone):
        threads.append(threading.current_thread().name)
        return np.zeros((1, 1), np.float32)

    batcher = Batcher([Lane(run, prepare=prepare)], max_batch_size=1, capacity=1)
    send(batcher, 1)[0].result(SOON)
    batcher.close()
    assert threads == ["stream-0", "stream-0"]
    assert batcher.warm_run_s == 0.5


def test_a_lane_that_cannot_be_prepared_ends_them_all():
    def fail():
        raise DeviceError("out of memory")

    before = set(threading.enumerate())
    with pytest.raises(DeviceError, match="out of memory"):
        Batcher([Lane(Engine()), Lane(Engine(), prepare=fail)], max_batch_size=1, capacity=1)
    assert set(threading.enumerate()) <= before
