import msgspec
from hypothesis import given
from hypothesis import strategies as st

from ffrtmp.domain.spec import Priority, Queue
from ffrtmp.scheduling import assign, order


class Row(msgspec.Struct, frozen=True):
    task_id: str
    class_id: int
    sort_key: int


class Asker(msgspec.Struct, frozen=True):
    slots: int
    class_ids: tuple[int, ...]


def test_rows_go_out_by_their_key() -> None:
    rows = [Row("late", 1, 30), Row("first", 1, 10), Row("second", 1, 20)]
    assert [row.task_id for row in assign.choose(rows, [Asker(2, (1,))])[0]] == ["first", "second"]


def test_a_job_that_only_some_nodes_can_run_does_not_block_those_behind_it() -> None:
    rows = [Row("picky", 2, 1), Row("easy", 1, 2)]
    assert [row.task_id for row in assign.choose(rows, [Asker(1, (1,))])[0]] == ["easy"]


def test_the_node_that_can_do_less_gets_what_it_can() -> None:
    rows = [Row("common", 1, 1), Row("special", 2, 2)]
    able, plain = assign.choose(rows, [Asker(1, (1, 2)), Asker(1, (1,))])
    assert [row.task_id for row in able] == ["special"]
    assert [row.task_id for row in plain] == ["common"]


_rows = st.lists(st.builds(Row, st.uuids().map(str), st.integers(1, 4), st.integers(0, 50)), max_size=30)
_askers = st.lists(st.builds(Asker, st.integers(0, 4), st.lists(st.integers(1, 4), unique=True).map(tuple)), max_size=6)


@given(_rows, _askers)
def test_no_row_twice_no_slot_too_many_no_class_too_much_and_nothing_idle(rows: list[Row], askers: list[Asker]) -> None:
    given_rows = assign.choose(rows, askers)
    out = [row for part in given_rows for row in part]
    assert len({row.task_id for row in out}) == len(out)
    for asker, part in zip(askers, given_rows, strict=True):
        assert len(part) <= asker.slots
        assert all(row.class_id in asker.class_ids for row in part)
    left = [row for row in rows if row not in out]
    for asker, part in zip(askers, given_rows, strict=True):
        if len(part) < asker.slots:
            assert not any(row.class_id in asker.class_ids for row in left)


def test_queue_goes_before_priority_and_live_is_strictly_first() -> None:
    ranks = [order.head_start_us(queue, priority) for queue in Queue for priority in Priority]
    assert ranks == sorted(ranks, reverse=True)
    assert order.head_start_us(Queue.LIVE, Priority.LOW) > 10 * order.STARVATION_BOUND_US


def test_the_bound_on_waiting_is_the_largest_head_start_outside_live() -> None:
    ranks = [order.head_start_us(queue, priority) for queue in (Queue.DEFAULT, Queue.BATCH) for priority in Priority]
    assert max(ranks) - min(ranks) == order.STARVATION_BOUND_US
