from service.server.places import IDLE_S, RESERVE, Places


class Visitor:
    def __init__(self, *, awaited: bool = True, held: int = 0) -> None:
        self.awaited = awaited
        self.held = held
        self.evicted = False

    def awaits_client(self) -> bool:
        return self.awaited

    def held_bytes(self) -> int:
        return self.held

    def evict(self) -> None:
        self.evicted = True


def entered(places: Places, visitors: list[Visitor], now: float) -> None:
    for one in visitors:
        places.enter(one, now)


def test_who_has_been_idle_for_longest_makes_room():
    places, visitors = Places(3), [Visitor() for _ in range(3)]
    for now, one in enumerate(visitors):
        places.enter(one, now)
    places.active(visitors[0], 3)
    places.enter(Visitor(), 10)
    assert [one.evicted for one in visitors] == [False, True, False]
    assert not places.crowded()


def test_nobody_who_is_being_served_makes_room():
    places, busy = Places(3), [Visitor(awaited=False) for _ in range(3)]
    entered(places, busy, 0)
    places.enter(Visitor(), 100)
    assert not any(one.evicted for one in busy)
    assert places.crowded()


def test_who_has_just_done_something_makes_no_room():
    places, visitors = Places(3), [Visitor() for _ in range(3)]
    entered(places, visitors, 0)
    places.enter(Visitor(), IDLE_S / 2)
    assert not any(one.evicted for one in visitors)


def test_the_reserve_is_for_the_newest():
    places, waiting = Places(3), [Visitor() for _ in range(RESERVE)]
    entered(places, [Visitor(awaited=False) for _ in range(3)], 0)
    entered(places, waiting, 0)
    places.enter(Visitor(), 0)
    assert [one.evicted for one in waiting] == [True] + [False] * (RESERVE - 1)
    assert not places.full()


def test_there_is_an_end_to_places():
    places = Places(3)
    entered(places, [Visitor(awaited=False) for _ in range(3 + RESERVE)], 0)
    assert not places.full()
    places.enter(Visitor(), 0)
    assert places.full()


def test_who_has_left_is_forgotten():
    places, one = Places(1), Visitor()
    places.enter(one, 0)
    places.leave(one)
    places.leave(one)
    places.active(one, 1)
    places.enter(Visitor(), 100)
    assert not places.crowded()
    assert not one.evicted


def test_only_who_holds_memory_frees_some():
    places, nothing, something = Places(3), Visitor(), Visitor(held=1)
    entered(places, [nothing, something], 0)
    assert not places.free_memory(lambda: IDLE_S / 2)
    assert places.free_memory(lambda: IDLE_S)
    assert (nothing.evicted, something.evicted) == (False, True)
    assert not places.free_memory(lambda: IDLE_S)
