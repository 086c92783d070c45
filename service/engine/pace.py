"""How long work really takes, learned from finished work."""

RECENT = 32
"""Pieces of work in the running average."""


class Pace:
    """Corrects estimated costs by the time that threads really took.

    Until something is observed the estimates count as true. Two threads that observe at the same
    moment may lose one observation, which does not matter here.
    """

    def __init__(self, threads: int) -> None:
        self._threads = threads
        self._took_s = self._cost_s = 1.0

    def observe(self, cost_s: float, took_s: float) -> None:
        """Note how long a thread took for work of an estimated cost."""
        if not cost_s:
            return
        kept = 1 - 1 / RECENT
        self._took_s = kept * self._took_s + took_s
        self._cost_s = kept * self._cost_s + cost_s

    def seconds(self, cost_s: float) -> float:
        """Seconds that the threads together take for work of an estimated cost."""
        return cost_s * self._took_s / self._cost_s / self._threads
