import asyncio
import contextlib

import pytest

from service.engine import memory, memory_budget
from service.engine.memory_budget import LARGE_BYTES, Charge, MemoryBudget
from service.errors import QueueFull


def test_what_does_not_fit_is_refused_before_it_is_held():
    budget = MemoryBudget(100)
    first, second = Charge(budget), Charge(budget)
    first.add(60)
    with pytest.raises(QueueFull) as caught:
        second.add(50)
    assert caught.value.retry_after_s
    assert budget.held == 60
    second.add(40)
    first.release()
    first.release()
    assert budget.held == 40


def test_what_is_there_already_counts_though_it_does_not_fit():
    budget = MemoryBudget(100)
    answer = Charge(budget)
    answer.set(150)
    with pytest.raises(QueueFull):
        budget.check(1)
    answer.set(0)
    budget.check(100)


def test_clients_that_keep_us_waiting_make_room():
    budget = MemoryBudget(100)
    idle = [Charge(budget) for _ in range(2)]
    for one in idle:
        one.add(50)

    def end_one() -> bool:
        if idle:
            idle.pop().release()
            return True
        return False

    budget.make_room = end_one
    Charge(budget).add(40)
    assert (budget.held, len(idle)) == (90, 1)
    with pytest.raises(QueueFull):
        budget.check(101)
    assert len(idle) == 1  # nobody is ended for what can never fit


def test_who_made_room_holds_nothing_any_more():
    budget = MemoryBudget(100)
    ended = Charge(budget)
    ended.release()
    with pytest.raises(QueueFull):
        ended.add(1)
    ended.set(10)
    assert budget.held == 0


@pytest.mark.parametrize(
    ("held", "left", "given_back"),
    [(LARGE_BYTES, 0, 1), (LARGE_BYTES - 1, 0, 0), (LARGE_BYTES, LARGE_BYTES - 1, 0)],
)
def test_memory_goes_back_to_the_system_once_much_was_held(monkeypatch, held, left, given_back):
    trimmed = []
    monkeypatch.setattr(memory_budget, "GIVE_BACK_S", 0)
    monkeypatch.setattr(memory, "trim", lambda: trimmed.append(None))
    budget = MemoryBudget(2 * LARGE_BYTES)
    charge = Charge(budget)
    charge.add(held)
    charge.set(left)

    async def some_turns() -> None:
        giving_back = asyncio.create_task(budget.give_back())
        for _ in range(20):
            await asyncio.to_thread(lambda: None)
        giving_back.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await giving_back

    asyncio.run(some_turns())
    assert len(trimmed) == given_back
