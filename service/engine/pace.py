"""How long work takes in truth, learned from the work that was done."""

RECENT = 32
"""Pieces of work over which the pace is averaged."""


class Pace:
    """Seconds in which threads do what is estimated to cost one of them a second.

    Before anything is known the estimates are taken for true. Threads that note something at the
    same moment may lose one note, which does not matter here.
    """

    def __init__(self, threads: int) -> None:
        self._threads = threads
        self._took_s = self._cost_s = 1.0

    def observe(self, cost_s: float, took_s: float) -> None:
        """Note that a thread took so long for work of an estimated cost."""
        if not cost_s:
            return
        kept = 1 - 1 / RECENT
        self._took_s = kept * self._took_s + took_s
        self._cost_s = kept * self._cost_s + cost_s

    def seconds(self, cost_s: float) -> float:
        """In how many seconds the threads together do work of an estimated cost."""
        return cost_s * self._took_s / self._cost_s / self._threads
