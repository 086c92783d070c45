"""Many callers, few runs: which stream takes which images next."""

import threading
import time
from collections import Counter
from collections.abc import Iterable, Sequence
from concurrent.futures import Future

from service.engine.decoder import Decoder
from service.engine.image_queue import ImageQueue
from service.engine.job import Job
from service.engine.pace import Pace
from service.engine.stream import Lane, Stream
from service.observability.observer import Observer


class Batcher:
    """A bounded queue in front of streams, each a thread that decodes images and runs the model.

    A batch is what queued while the streams were busy: there is no timer unless `max_delay_s` asks
    for one. A place in the queue is taken by `admit`, before the image is decoded, and given back
    when a stream takes it or it is dropped. Of several devices the one with the fewest runs under
    way takes the next batch.

    Raises:
        Exception: what the `prepare` of a lane raises; no stream is left running then.
    """

    def __init__(
        self,
        lanes: Sequence[Lane],
        decoder: Decoder,
        observer: Observer,
        *,
        max_batch_size: int,
        capacity: int,
        max_delay_s: float = 0,
    ) -> None:
        self._max_batch_size = max_batch_size
        self._max_delay_s = max_delay_s
        self._lock = decoder.memory.lock
        self._idle = {lane.device: threading.Condition(self._lock) for lane in lanes}
        decoder.memory.waiting += self._idle.values()
        self.queue = ImageQueue(capacity, decoder.memory)
        self._pace = Pace(len(lanes))
        self.queue.paces.append(self._pace)
        self._streams = [Stream(lane, decoder, observer) for lane in lanes]
        self._threads: list[threading.Thread] = []
        self.warm_run_s = 0.0
        try:
            self._start()
        except BaseException:
            self.close()
            raise

    def _start(self) -> None:
        """Start the streams, one at a time: GPUs record graphs only while nothing else runs."""
        for number, stream in enumerate(self._streams):
            ready: Future[float] = Future()
            thread = threading.Thread(
                target=self._serve, args=(stream, ready), name=f"stream-{number}", daemon=True
            )
            self._threads.append(thread)
            thread.start()
            self.warm_run_s = max(self.warm_run_s, ready.result())

    def check_room(self) -> None:
        """Refuse where `admit` would refuse a single image now, and take no place.

        Raises:
            QueueFull: there is none left.
            NotReady: the batcher is closed.
        """
        self.queue.check_room()

    def admit(self, jobs: Sequence[Job]) -> None:
        """Give the images of a request a place each, or none of them.

        Raises:
            QueueFull: there are not that many places, or their turn would come too late.
            NotReady: the batcher is closed.
        """
        with self._lock:
            self.queue.admit(jobs)

    def put(self, jobs: Iterable[Job]) -> None:
        """Queue admitted images at once, so that a stream takes all of them if it may."""
        with self._lock:
            for job in jobs:
                self.queue.put(job)
            self._idle[self._least_busy()].notify()

    def drop(self, job: Job, error: Exception) -> None:
        """Answer an admitted image that will not be queued."""
        with self._lock:
            self.queue.leave(job)
        if job.future.set_running_or_notify_cancel():
            job.future.set_exception(error)

    @property
    def streams(self) -> int:
        """Runs that can be under way at once."""
        return len(self._streams)

    @property
    def busy(self) -> int:
        """Streams with a batch in hand, which they decode or run."""
        return sum(stream.lane.busy for stream in self._streams)

    @property
    def alive(self) -> bool:
        """Whether every stream can take work."""
        return all(thread.is_alive() for thread in self._threads)

    @property
    def last_run_failed(self) -> bool:
        """Whether the model failed on the run that ended last."""
        return max(stream.last_run for stream in self._streams)[1]

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
            self.queue.closed = True
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
            began = time.monotonic()
            stream.work(jobs)
            self._pace.observe(sum(job.cost_s for job in jobs), time.monotonic() - began)

    def _take(self, stream: Stream) -> list[Job] | None:
        """The next batch, less whoever has left or is too late; None once closed and empty."""
        idle = self._idle[stream.lane.device]
        with self._lock:
            while (first := self.queue.first()) is None or self._handed_on(stream.lane.device):
                if self.queue.closed and not self.queue.queued:
                    return None
                idle.wait()
            if self._max_delay_s:
                idle.wait_for(
                    lambda: self.queue.queued >= self._max_batch_size or self.queue.closed,
                    timeout=max(0.0, first.queued_at + self._max_delay_s - time.monotonic()),
                )
            stream.begin()
            jobs = self.queue.take(self._max_batch_size)
            if self.queue.queued:
                self._idle[self._least_busy()].notify()
        return jobs

    def _handed_on(self, device: str) -> bool:
        """Whether the next batch is rather another device's, a stream of which is then woken."""
        other = self._least_busy(device)
        if self.queue.closed or other == device:
            return False
        self._idle[other].notify()
        return True

    def _least_busy(self, *preferred: str) -> str:
        """The device with the fewest runs of those that have an idle stream."""
        if len(self._idle) == 1:
            return self._streams[0].lane.device
        busy, able = Counter[str](), set()
        for stream in self._streams:
            if stream.lane.busy:
                busy[stream.lane.device] += 1
            else:
                able.add(stream.lane.device)
        order = (*preferred, *self._idle)
        return min((name for name in order if name in able), key=busy.__getitem__, default=order[0])
