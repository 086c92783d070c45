"""Places for connections: `SWIN_MAX_CONNECTIONS` for everyone, and a few more for probes."""

from collections.abc import Callable
from typing import Protocol

PROBES = frozenset({b"/health/live", b"/health/ready", b"/v2/health/live", b"/v2/health/ready"})
"""What is answered though all ordinary places are taken."""

RESERVE = 32
"""Places beyond `SWIN_MAX_CONNECTIONS`, held until it is seen whether a probe is asked for."""

IDLE_S = 1.0
"""A connection whose client has done nothing for so long gives its place up to a new one."""


class Occupant(Protocol):
    """A connection as seen from here."""

    def awaits_client(self) -> bool:
        """Whether the next step is the client's: a request, the rest of one, reading an answer."""

    def held_bytes(self) -> int:
        """Of a body that is not complete and answers that are not read."""

    def evict(self) -> None:
        """Close at once."""


class Places:
    """Who is connected, in the order in which their clients last did something.

    When there is no place left, the connection that has waited longest for its client makes room:
    those that never send or never read cannot keep others out.

    Args:
        ordinary: places for everyone.
    """

    def __init__(self, ordinary: int) -> None:
        self._ordinary = ordinary
        self._last_active: dict[Occupant, float] = {}

    def enter(self, one: Occupant, now: float) -> None:
        """Take a place, at `now` in the loop's time."""
        if len(self._last_active) >= self._ordinary:
            self.evict_idle(now, IDLE_S)
        if len(self._last_active) >= self._ordinary + RESERVE:
            self.evict_idle(now, 0)
        self._last_active[one] = now

    def leave(self, one: Occupant) -> None:
        """Give the place up; a second time does nothing."""
        self._last_active.pop(one, None)

    def active(self, one: Occupant, now: float) -> None:
        """Note that the client did something."""
        if self._last_active.pop(one, None) is not None:
            self._last_active[one] = now

    def crowded(self) -> bool:
        """Whether places of the reserve are in use."""
        return len(self._last_active) > self._ordinary

    def full(self) -> bool:
        """Whether there are more connections than places, the reserve included."""
        return len(self._last_active) > self._ordinary + RESERVE

    def evict_idle(self, now: float, idle_s: float, least_bytes: int = 0) -> bool:
        """Close the connection that has waited longest for its client, if for `idle_s` or more.

        Args:
            now: the loop's time.
            idle_s: seconds; whoever has waited for less stays.
            least_bytes: whoever holds less stays.

        Returns:
            Whether there was one.
        """
        for one, last in self._last_active.items():
            if now - last < idle_s:
                return False
            if one.awaits_client() and one.held_bytes() >= least_bytes:
                del self._last_active[one]
                one.evict()
                return True
        return False

    def free_memory(self, clock: Callable[[], float]) -> bool:
        """Close the connection that has kept memory waiting for longest; whether there was one."""
        return self.evict_idle(clock(), IDLE_S, least_bytes=1)
