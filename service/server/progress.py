"""Whether a transfer still makes progress."""

from collections import deque

MIN_BYTES_PER_S = 500
"""The slowest transfer that is waited for; mod_reqtimeout's default too.

https://httpd.apache.org/docs/2.4/mod/mod_reqtimeout.html
"""

CHECKS = 4
"""In a window: a transfer that stops is noticed a quarter of a window late at most."""


class Progress:
    """Bytes of one transfer, measured over a sliding window.

    An average since the beginning would let a fast start pay for a long silence.

    Args:
        now: the loop's time, in seconds.
        moved: bytes moved before; only what comes on top counts.
        window_s: seconds in which `MIN_BYTES_PER_S` each must move.
        longest_s: seconds that the whole may take.
    """

    def __init__(self, now: float, moved: int, window_s: float, longest_s: float) -> None:
        self.check_after_s = window_s / CHECKS
        self._due = now + longest_s
        self._least = MIN_BYTES_PER_S * window_s
        self._totals = deque([moved], maxlen=CHECKS + 1)  # at the last checks, oldest first

    def excuse(self, moved: int) -> None:
        """Begin a new window: that nothing moved was our doing. The time for the whole goes on."""
        self._totals.clear()
        self._totals.append(moved)

    def stalled(self, now: float, moved: int) -> bool:
        """Whether to give up; to be asked every `check_after_s`.

        Args:
            now: the loop's time, in seconds.
            moved: bytes moved so far.
        """
        self._totals.append(moved)
        whole_window = len(self._totals) > CHECKS
        return now >= self._due or (whole_window and moved - self._totals[0] < self._least)
