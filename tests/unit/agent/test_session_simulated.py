"""The session core against a simulated master, over a network that drops, delays and doubles."""

from hypothesis import given, settings
from hypothesis import strategies as st
from tests.unit.agent.simulated import World


@settings(max_examples=150, deadline=None, derandomize=True)
@given(
    seed=st.integers(0, 2**32),
    slots=st.integers(1, 4),
    tasks=st.integers(1, 16),
    drop=st.sampled_from([0.0, 0.05, 0.3, 0.7]),
    twice=st.sampled_from([0.0, 0.2]),
    restarts=st.integers(0, 2),
)
def test_no_rule_is_broken(seed: int, slots: int, tasks: int, drop: float, twice: float, restarts: int) -> None:
    world = World(seed=seed, slots=slots, tasks=tasks, drop=drop, twice=twice, restarts=restarts)
    world.run()
    world.finish()
    assert not world.violations


def test_a_whole_network_finishes_all_work() -> None:
    world = World(seed=1, slots=2, tasks=6, drop=0.0, twice=0.0, restarts=0, horizon=400.0)
    world.run()
    world.finish()
    assert not world.violations
    assert world.queue == 0
    assert {attempt.state for attempt in world.attempts.values()} <= {"done", "failed", "canceled"}
