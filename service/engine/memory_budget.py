"""One account of the memory that clients cause to be held, for the whole process."""

import asyncio
from collections.abc import Callable

from service.engine import memory
from service.errors import QueueFull

COPIES = 3
"""How often a byte of a body may be there while it is parsed: as it came, joined, and decoded."""

RETRY_AFTER_S = 1.0

LARGE_BYTES = 32 * 1024 * 1024
GIVE_BACK_S = 5.0
"""How often we look whether so much was held and no longer is. What is freed of many small pieces
lies among others that are still used, where glibc keeps it until it is told to give it back."""


class MemoryBudget:
    """What request bodies, messages, waiting files and unread answers hold, against a limit.

    For the event loop's thread alone.

    Args:
        limit: bytes that may be held.

    Attributes:
        limit: the same.
        held: bytes that are held.
        peak: the most that was, since freed memory was last given back to the system.
        make_room: ends a request or an answer whose client keeps us waiting; returns whether there
            was one.
    """

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.held = 0
        self.peak = 0
        self.make_room: Callable[[], bool] = lambda: False

    def check(self, size: int) -> None:
        """Check that there is room, before a client is asked for so many bytes.

        Raises:
            QueueFull: there is not.
        """
        while self.held + size > self.limit:
            if size > self.limit or not self.make_room():
                raise _full()

    async def give_back(self) -> None:
        """Give freed memory back to the system soon after much was held; never returns."""
        while True:
            await asyncio.sleep(GIVE_BACK_S)
            if self.peak >= LARGE_BYTES and self.held < self.peak / 2:
                self.peak = self.held
                await asyncio.to_thread(memory.trim)


class Charge:
    """What one request, or the answers on one connection, hold of a budget.

    Args:
        budget: where it counts.

    Attributes:
        budget: the same.
        size: bytes.
    """

    def __init__(self, budget: MemoryBudget) -> None:
        self.budget = budget
        self._released = False
        self.size = 0

    def add(self, size: int) -> None:
        """Hold more, which is not kept yet.

        Raises:
            QueueFull: there is no room, or this has made room for others.
        """
        if self._released:
            raise _full()
        self.budget.check(size)
        self.set(self.size + size)

    def set(self, size: int) -> None:
        """Hold so much from now on, even over the limit, as it is kept already."""
        if not self._released:
            self.budget.held += size - self.size
            self.budget.peak = max(self.budget.peak, self.budget.held)
            self.size = size

    def release(self) -> None:
        """Hold nothing, now and later."""
        self.set(0)
        self._released = True


def _full() -> QueueFull:
    return QueueFull(
        "other requests and answers hold all the memory there is for them; try again later",
        retry_after_s=RETRY_AFTER_S,
    )
