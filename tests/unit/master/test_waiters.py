from hypothesis import given
from hypothesis import strategies as st

from ffrtmp.master.waiters import Idle, Waiter, Wants

_KINDS = st.tuples(st.integers(0, 3), st.sampled_from([(), (1,), (2,), (1, 2), (1, 3), (1, 2, 3)]))


def _waiter(slots: int, class_ids: tuple[int, ...]) -> Waiter:
    return Waiter(Wants(node_id="n", free_slots=slots, deadline=0.0), class_ids)


@given(st.lists(_KINDS, max_size=12), st.lists(st.tuples(st.booleans(), st.integers(0, 11)), max_size=30))
def test_the_best_is_the_one_that_a_look_at_all_would_find(
    kinds: list[tuple[int, tuple[int, ...]]], steps: list[tuple[bool, int]]
) -> None:
    waiters = [_waiter(slots, class_ids) for slots, class_ids in kinds]
    idle, there = Idle(), dict.fromkeys(waiters)
    for waiter in waiters:
        idle.add(waiter)
    for add, number in steps:
        if number < len(waiters):
            waiter = waiters[number]
            (idle.add if add else idle.discard)(waiter)
            if add:
                there.setdefault(waiter)
            else:
                there.pop(waiter, None)
    for class_id in (1, 2, 3, 4):
        able = [one for one in there if one.wants.free_slots > 0 and class_id in one.class_ids]
        found = idle.best(class_id)
        assert (found is None) == (not able)
        if found is not None:
            assert found in able
            least = min((len(one.class_ids), -one.wants.free_slots) for one in able)
            assert (len(found.class_ids), -found.wants.free_slots) == least


def test_who_waits_longest_comes_first() -> None:
    idle, first, second = Idle(), _waiter(1, (1,)), _waiter(1, (1,))
    idle.add(first)
    idle.add(second)
    assert idle.best(1) is first
    idle.discard(first)
    assert idle.best(1) is second
    idle.add(first)
    assert idle.best(1) is second


def test_what_is_discarded_leaves_nothing_behind() -> None:
    idle, waiter = Idle(), _waiter(1, (1,))
    idle.add(waiter)
    idle.discard(waiter)
    idle.discard(waiter)
    assert idle.best(1) is None
    assert not idle._groups
