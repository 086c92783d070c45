import pytest

from service.server.progress import MIN_BYTES_PER_S, Progress

WINDOW_S = 20.0
LEAST = int(MIN_BYTES_PER_S * WINDOW_S)


def ended_at(moved, longest_s=1e9, until_s=1000) -> float | None:
    """When a transfer that has moved `moved(now)` bytes is given up."""
    progress = Progress(0, 0, WINDOW_S, longest_s)
    now = progress.check_after_s
    while now <= until_s:
        if progress.stalled(now, moved(now)):
            return now
        now += progress.check_after_s
    return None


def test_what_moves_fast_enough_may_go_on():
    assert ended_at(lambda now: int(MIN_BYTES_PER_S * now)) is None


def test_what_moves_too_slowly_ends_with_the_first_window():
    assert ended_at(lambda now: int(MIN_BYTES_PER_S * now) - LEAST // 10) == WINDOW_S


@pytest.mark.parametrize("burst", [LEAST, 100 * LEAST])
def test_a_burst_buys_no_time(burst):
    ended = ended_at(lambda now: burst if now >= 1 else 0)
    assert WINDOW_S < ended <= 1.5 * WINDOW_S


def test_the_whole_has_its_time_too():
    assert ended_at(lambda now: int(1e6 * now), longest_s=300) == 300


def test_our_own_pauses_are_not_the_client_s():
    progress = Progress(0, 0, WINDOW_S, 300)
    for step in range(1, 9):
        progress.excuse(0)
        assert not progress.stalled(step * progress.check_after_s, 0)
    assert [progress.stalled(now, 0) for now in (45, 50, 55)] == [False, False, True]
