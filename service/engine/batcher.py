"""Many callers, few runs: who may queue, and which stream takes which images next."""

import threading
import time
from collections import Counter
from collections.abc import Iterable, Sequence
from concurrent.futures import Future

from service.engine.image_queue import Job, Waiting
from service.engine.stream import Lane, RunObserver, Stream
from service.errors import NotReady, RequestTimeout


class Batcher:
    """A bounded queue in front of streams, each a thread that decodes images and runs the model.

    A batch is what queued while the streams were busy: there is no timer unless `max_delay_s` asks
    for one. A place in the queue is taken by `admit`, before the image is decoded, and given back
    when a stream takes it or it is dropped; so `depth` counts every image that waits, decoded or
    not. Requests take turns, an image each, so that a large one does not hold up those behind it.

    A run is told whether it is `alone`: no image waits and at most half of the streams, this one
    among them, have work, so that it may use the cores of the others. Of several devices the one
    with the fewest runs under way takes the next batch.

    Raises:
        Exception: what the `prepare` of a lane raises; no stream is left running then.
    """

    def __init__(
        self,
        lanes: Sequence[Lane],
        *,
        max_batch_size: int,
        capacity: int,
        max_delay_s: float = 0,
        on_run: RunObserver = lambda size, *, succeeded: None,
    ) -> None:
        self._max_batch_size = max_batch_size
        self._max_delay_s = max_delay_s
        self.waiting = Waiting(capacity)
        self._lock = threading.Lock()
        self._idle = {lane.device: threading.Condition(self._lock) for lane in lanes}
        self._closed = False
        self._on_run = on_run
        self.last_run_failed = False
        self.warm_run_s = 0.0
        self._streams = [Stream(lane, self._alone, self._observe_run) for lane in lanes]
        self._threads: list[threading.Thread] = []
        for number, stream in enumerate(self._streams):
            ready: Future[float] = Future()
            thread = threading.Thread(
                target=self._serve, args=(stream, ready), name=f"stream-{number}", daemon=True
            )
            self._threads.append(thread)
            thread.start()
            try:  # one at a time: GPUs record graphs only while nothing else runs
                self.warm_run_s = max(self.warm_run_s, ready.result())
            except BaseException:
                self.close()
                raise

    def admit(self, count: int, deadline: float) -> list[Job]:
        """Take places for `count` images, or none.

        Raises:
            QueueFull: there are not that many left.
            NotReady: the batcher is closed.
        """
        with self._lock:
            self._check_open()
            return self.waiting.admit(count, deadline)

    def check_room(self) -> None:
        """Refuse where `admit` would refuse a single image now, and take no place.

        Raises:
            QueueFull: there is none left.
            NotReady: the batcher is closed.
        """
        self._check_open()
        self.waiting.check_room(1)

    def _check_open(self) -> None:
        if self._closed:
            raise NotReady("the service is shutting down", retry_after_s=1)

    def put(self, jobs: Iterable[Job]) -> None:
        """Queue admitted images at once, so that a stream takes all of them if it may.

        The stream that takes a job decodes its `image`, where that is not pixels. What decoding
        raises is the job's answer.
        """
        with self._lock:
            for job in jobs:
                self.waiting.put(job)
            self._idle[self._least_busy()].notify()

    def drop(self, job: Job, error: Exception) -> None:
        """Answer an admitted image that will not be queued."""
        with self._lock:
            self.waiting.leave()
        if job.future.set_running_or_notify_cancel():
            job.future.set_exception(error)

    @property
    def depth(self) -> int:
        """Images that wait, decoded or not."""
        return self.waiting.depth

    @property
    def capacity(self) -> int:
        """How many may."""
        return self.waiting.capacity

    @property
    def undecoded(self) -> int:
        """Images that wait and are not decoded yet, by whomever they will be."""
        return max(0, self.waiting.depth - self.waiting.decoded)

    @property
    def streams(self) -> int:
        """Runs that can be under way at once."""
        return len(self._threads)

    @property
    def busy(self) -> int:
        """Streams with a batch in hand, which they decode or run."""
        return sum(stream.step is not None for stream in self._streams)

    @property
    def alive(self) -> bool:
        """Whether every stream can take work."""
        return all(thread.is_alive() for thread in self._threads)

    def longest_run_s(self) -> float:
        """How long the oldest run under way has been going, in seconds; 0 if there is none."""
        return self._longest_s(runs=True)

    def longest_decode_s(self) -> float:
        """The same of the images that streams decode."""
        return self._longest_s(runs=False)

    def _longest_s(self, *, runs: bool) -> float:
        now = time.monotonic()
        steps = [step for stream in self._streams if (step := stream.step) is not None]
        return max((now - step.since for step in steps if step.runs == runs), default=0.0)

    def close(self) -> None:
        """Take no more images, answer those that wait, end the streams."""
        with self._lock:
            self._closed = True
            for idle in self._idle.values():
                idle.notify_all()
        for thread in self._threads:
            thread.join()

    def _serve(self, stream: Stream, ready: Future[float]) -> None:
        try:
            ready.set_result(stream.lane.prepare())
        except BaseException as error:
            ready.set_exception(error)
            return
        while (jobs := self._take(stream)) is not None:
            if stream.work(jobs) and jobs:
                self._observe_pace(jobs)

    def _alone(self) -> bool:
        """Whether a run that begins now may use the cores of other streams."""
        return self.waiting.depth == 0 and 2 * self.busy <= len(self._streams)

    def _take(self, stream: Stream) -> list[Job] | None:
        """The next batch, less whoever has left or is too late; None once closed and empty."""
        idle = self._idle[stream.lane.device]
        with self._lock:
            while not self.waiting.queued or self._handed_on(stream.lane.device):
                if self._closed and not self.waiting.queued:
                    return None
                idle.wait()
            if self._max_delay_s:
                full_by = self.waiting.oldest().queued_at + self._max_delay_s
                idle.wait_for(
                    lambda: self.waiting.queued >= self._max_batch_size or self._closed,
                    timeout=max(0.0, full_by - time.monotonic()),
                )
            now = time.monotonic()
            stream.begin(runs=False)
            jobs: list[Job] = []
            while self.waiting.queued and len(jobs) < self._max_batch_size:
                job = self.waiting.next()
                if not job.future.set_running_or_notify_cancel():
                    continue
                if job.expired:
                    job.future.set_exception(
                        RequestTimeout("the image waited too long in the queue")
                    )
                    continue
                job.taken_at = now
                jobs.append(job)
            if self.waiting.queued:
                self._idle[self._least_busy()].notify()
        return jobs

    def _handed_on(self, device: str) -> bool:
        """Whether the next batch is rather another device's, a stream of which is then woken."""
        other = self._least_busy(device)
        if self._closed or other == device:
            return False
        self._idle[other].notify()
        return True

    def _least_busy(self, *preferred: str) -> str:
        """The device with the fewest runs of those that have an idle stream."""
        if len(self._idle) == 1:
            return self._streams[0].lane.device
        busy, able = Counter[str](), set()
        for stream in self._streams:
            if stream.step is None:
                able.add(stream.lane.device)
            else:
                busy[stream.lane.device] += 1
        order = (*preferred, *self._idle)
        return min((name for name in order if name in able), key=busy.__getitem__, default=order[0])

    def _observe_pace(self, jobs: Sequence[Job]) -> None:
        seconds = (time.monotonic() - jobs[0].taken_at) / len(jobs)
        with self._lock:
            self.waiting.observe_pace(seconds / len(self._threads))

    def _observe_run(self, size: int, *, succeeded: bool) -> None:
        self.last_run_failed = not succeeded
        self._on_run(size, succeeded=succeeded)
