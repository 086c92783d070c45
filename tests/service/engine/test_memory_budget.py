import pytest

from service.engine.memory_budget import Charge, MemoryBudget
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
