"""Threads that decode images ahead of the streams, so that batches are ready when a device is."""

import logging
import queue
import threading
import time
from collections.abc import Callable

Work = Callable[[], None]

logger = logging.getLogger(__name__)


class Decoders:
    """`count` threads that do what they are given, oldest first.

    They are there from the start, so giving them work cannot fail for want of a thread.
    """

    def __init__(self, count: int) -> None:
        self._work: queue.SimpleQueue[Work | None] = queue.SimpleQueue()
        self._since: dict[int, float] = {}
        self._threads = [
            threading.Thread(target=self._decode, name=f"decode-{number}", daemon=True)
            for number in range(count)
        ]
        for thread in self._threads:
            thread.start()

    def submit(self, work: Work) -> None:
        """Have work done by the next thread that is free."""
        self._work.put(work)

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
        for _ in self._threads:
            self._work.put(None)
        for thread in self._threads:
            thread.join()

    def _decode(self) -> None:
        thread = threading.get_ident()
        while (work := self._work.get()) is not None:
            self._since[thread] = time.monotonic()
            try:
                work()
            except Exception:
                logger.exception("decoding failed")
            finally:
                del self._since[thread]
