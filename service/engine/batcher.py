"""Streams in front of a queue: which of them takes which images next."""

import threading
import time
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import Future

from service.engine.decoder import Decoder
from service.engine.image_queue import ImageQueue
from service.engine.job import Job
from service.engine.pace import Pace
from service.engine.stream import Lane, Stream
from service.observability.observer import Observer


class Batcher:
    """A bounded queue, and streams that take from it: threads that decode images and run the model.

    A batch is what queued while the streams were busy: there is no timer unless `max_delay_s` asks
    for one. Of several devices the one with the fewest runs under way takes the next batch.

    Attributes:
        queue: where images are admitted and put.
        warm_run_s: seconds that a run takes once the model is warm.

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
        self._devices = tuple(dict.fromkeys(lane.device for lane in lanes))
        # Any stream of one device will do; of several devices the least busy is to be among them.
        wakes = 1 if len(self._devices) == 1 else len(lanes)
        self.queue = ImageQueue(capacity, decoder.memory, wakes)
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

    @property
    def streams(self) -> int:
        """Runs that can be under way at once."""
        return len(self._streams)

    @property
    def busy(self) -> int:
        """Streams that decode or run a batch."""
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
        """Seconds since the oldest run under way began; 0 if there is none."""
        return self._longest_s(runs=True)

    def longest_decode_s(self) -> float:
        """Seconds since the oldest decoding under way began; 0 if there is none."""
        return self._longest_s(runs=False)

    def _longest_s(self, *, runs: bool) -> float:
        now = time.monotonic()
        steps = [step for stream in self._streams if (step := stream.step) is not None]
        return max((now - step.since for step in steps if step.runs == runs), default=0.0)

    def close(self) -> None:
        """Take no more images, answer those that wait, end the streams."""
        self.queue.close()
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
        """The next batch for a stream; None once the queue is closed and empty."""
        queue = self.queue
        with queue.news:
            while (first := queue.first()) is None or not self._is_next(stream.lane.device):
                if queue.closed and not queue.queued:
                    return None
                queue.news.wait()
            if self._max_delay_s:
                queue.news.wait_for(
                    lambda: queue.queued >= self._max_batch_size or queue.closed,
                    timeout=max(0.0, first.queued_at + self._max_delay_s - time.monotonic()),
                )
            stream.begin()
            return queue.take(self._max_batch_size)

    def _is_next(self, device: str) -> bool:
        """Whether no other device with an idle stream has fewer runs under way."""
        if len(self._devices) == 1 or self.queue.closed:
            return True
        lanes = [stream.lane for stream in self._streams]
        runs = Counter(lane.device for lane in lanes if lane.busy)
        return runs[device] <= min(runs[lane.device] for lane in lanes if not lane.busy)
