"""A queue in which requests take turns by cost, so that large ones do not hold up small ones."""

import heapq
import itertools
import time
from collections import deque
from collections.abc import Callable
from typing import NamedTuple

from service.engine.job import Job, Request

PATIENCE = 32.0
"""How long an image lets others go first, in multiples of its own cost."""


class Turn(NamedTuple):
    """When a request's turn comes; among equals the first to enter goes first."""

    comes_at: float
    entry: int
    jobs: deque[Job]


class FairQueue:
    """Waiting jobs by request. The caller holds the lock that guards the queue.

    Turns are sorted by when an image became its request's next, plus `PATIENCE` times its cost.
    Nothing is held back: an image that is alone is taken at once. Equal images take turns, one of
    each request; an expensive one lets cheap ones pass for a while, but its turn always comes.
    """

    def __init__(self) -> None:
        self._waiting: dict[Request, deque[Job]] = {}
        self._turns: list[Turn] = []  # a heap
        self._entries = itertools.count()

    def __bool__(self) -> bool:
        """Whether any job waits."""
        return bool(self._turns)

    def put(self, job: Job) -> None:
        """Add a job behind the others of its request."""
        jobs = self._waiting.setdefault(job.request, deque())
        jobs.append(job)
        if len(jobs) == 1:
            self._enter(jobs)

    def first(self, allowed: Callable[[Job], bool]) -> Job | None:
        """The next allowed job; None if there is none."""
        turn = self._first(allowed)
        return turn and turn.jobs[0]

    def take(self, allowed: Callable[[Job], bool]) -> Job | None:
        """Take the next allowed job; None if there is none."""
        turn = self._first(allowed)
        if turn is None:
            return None
        if turn is self._turns[0]:
            heapq.heappop(self._turns)
        else:
            self._turns.remove(turn)
            heapq.heapify(self._turns)
        job = turn.jobs.popleft()
        if turn.jobs:
            self._enter(turn.jobs)
        else:
            del self._waiting[job.request]
        return job

    def _enter(self, jobs: deque[Job]) -> None:
        """Give a request a turn for its next job."""
        comes_at = time.monotonic() + PATIENCE * jobs[0].cost_s
        heapq.heappush(self._turns, Turn(comes_at, next(self._entries), jobs))

    def _first(self, allowed: Callable[[Job], bool]) -> Turn | None:
        if self._turns and allowed(self._turns[0].jobs[0]):
            return self._turns[0]
        return min((turn for turn in self._turns if allowed(turn.jobs[0])), default=None)
