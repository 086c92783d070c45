"""Threads that decode images ahead of the streams, so that batches are ready when a device is."""

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence

from service.engine.fair_queue import Turns

Work = Callable[[], None]

logger = logging.getLogger(__name__)


class Decoders:
    """`count` threads that do what they are given; requests take turns, a piece of work each.

    They are there from the start, so giving them work cannot fail for want of a thread.
    """

    def __init__(self, count: int) -> None:
        self._turns: Turns[Work] = Turns()
        self._closed = False
        self._news = threading.Condition()
        self._since: dict[int, float] = {}
        self._threads = [
            threading.Thread(target=self._decode, name=f"decode-{number}", daemon=True)
            for number in range(count)
        ]
        for thread in self._threads:
            thread.start()

    def submit(self, works: Sequence[Work]) -> None:
        """Have all that a request needs done, by the next threads that are free."""
        request: deque[Work] = deque()
        with self._news:
            for work in works:
                self._turns.put(work, request)
            self._news.notify(len(works))

    @property
    def alive(self) -> bool:
        """Whether every thread can take work."""
        return all(thread.is_alive() for thread in self._threads)

    def longest_s(self) -> float:
        """How long the slowest thread has been at its work, in seconds; 0 if all are idle."""
        now = time.monotonic()
        return max((now - since for since in tuple(self._since.values())), default=0.0)

    def close(self) -> None:
        """Finish what was submitted and end the threads."""
        with self._news:
            self._closed = True
            self._news.notify_all()
        for thread in self._threads:
            thread.join()

    def _decode(self) -> None:
        thread = threading.get_ident()
        while (work := self._next()) is not None:
            self._since[thread] = time.monotonic()
            try:
                work()
            except Exception:
                logger.exception("decoding failed")
            finally:
                del self._since[thread]

    def _next(self) -> Work | None:
        """Wait for work; None once closed and all is taken."""
        with self._news:
            while not self._turns:
                if self._closed:
                    return None
                self._news.wait()
            return self._turns.next()
