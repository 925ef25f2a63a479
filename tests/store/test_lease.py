import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from ffrtmp.domain import errors, job, spec
from ffrtmp.domain.errors import Code
from ffrtmp.domain.job import EventKind
from ffrtmp.domain.states import AttemptState, JobState, TaskState
from ffrtmp.protocol.agent import AttemptBeat, CommandKind
from ffrtmp.store import interface
from ffrtmp.testing import factories
from ffrtmp.testing.world import Agent, World, conflict, in_order, nothing

Sql = Callable[[str], Awaitable[list[tuple[Any, ...]]]]


async def test_a_lease_gives_a_task_and_all_that_is_needed(world: World) -> None:
    of = factories.a_spec(duration=5.0)
    made = await world.submit(of)
    agent = await world.agent()
    grant = await agent.take()
    [task] = await world.store.tasks(made.id)
    assert (grant.task_id, grant.job_id, grant.sequence_number) == (task.id, made.id, made.sequence_number)
    assert (grant.number, grant.spec, grant.kind, grant.prior_publications) == (1, of, job.TaskKind.ENCODE, [])
    found = await world.store.get_job(made.id)
    assert (found.state, found.node_id, found.node_name) == (JobState.ASSIGNED, agent.id, agent.new.name)
    assert task.state is TaskState.ASSIGNED
    [attempt] = await world.store.attempts(made.id)
    assert (attempt.id, attempt.state, attempt.node_name) == (grant.attempt_id, AttemptState.ASSIGNED, agent.new.name)
    assert await agent.lease() == []


async def test_order_is_by_ready_time_minus_head_start(world: World) -> None:
    hour = 3_600_000_000
    late = await world.submit(head_start_us=0)
    first = await world.submit(head_start_us=2 * hour)
    second = await world.submit(head_start_us=hour)
    agent = await world.agent()
    assert [grant.job_id for grant in await agent.lease(3)] == [first.id, second.id, late.id]


async def test_a_node_gets_only_classes_that_it_asks_for(world: World) -> None:
    await world.submit(factories.a_spec(requires=spec.Requires(encoder="hevc_nvenc")))
    plain = await world.submit()
    classes = {one.requires.key(): one.id for one in await world.store.classes()}
    agent = await world.agent()
    grants = await agent.lease(5, class_ids=[classes[factories.a_spec().requires.key()]])
    assert [grant.job_id for grant in grants] == [plain.id]
    assert await agent.lease(5, class_ids=[]) == []
    assert await agent.lease(5, class_ids=[987654]) == []


async def test_repeating_a_request_repeats_its_grants(world: World) -> None:
    for _ in range(3):
        await world.submit()
    agent = await world.agent()
    first = await agent.lease(2, request_id="r")
    assert len(first) == 2
    assert await agent.lease(2, request_id="r") == first
    assert len(await agent.lease(2, request_id="other")) == 1


async def test_a_request_that_ended_gets_nothing_more(world: World) -> None:
    agent = await world.agent()

    def call(request_id: str) -> interface.LeaseCall:
        return interface.LeaseCall(
            node_id=agent.id,
            incarnation=agent.incarnation,
            request_id=request_id,
            slots=0,
            class_ids=(),
            attempt_ids=(),
            last=True,
        )

    assert await world.store.lease(call("empty"), in_order) == []
    await world.submit()
    assert (await conflict(agent.lease(request_id="empty"))).code == interface.REQUEST_OVER
    assert await world.store.lease(call("empty"), in_order) == []
    given = await agent.lease(request_id="full")
    assert len(given) == 1
    assert await world.store.lease(call("full"), in_order) == given == await agent.lease(request_id="full")


async def test_the_same_request_twice_at_one_moment_is_granted_once(world: World) -> None:
    for _ in range(4):
        await world.submit()
    agent = await world.agent()
    one, two = await asyncio.gather(agent.lease(2, request_id="r"), agent.lease(2, request_id="r"))
    assert one == two
    assert len(await agent.lease(9)) == 2


async def test_a_repeated_request_leaves_out_what_is_over(world: World) -> None:
    await world.submit()
    await world.submit()
    agent = await world.agent()
    first = await agent.lease(2, request_id="r")
    await agent.complete(first[0].attempt_id)
    assert await agent.lease(2, request_id="r") == first[1:]


async def test_fifty_concurrent_leases_never_share_a_task(world: World) -> None:
    jobs = [await world.submit() for _ in range(60)]
    agents = await asyncio.gather(*(world.agent() for _ in range(50)))
    granted = [grant for grants in await asyncio.gather(*(agent.lease(2) for agent in agents)) for grant in grants]
    while len(granted) < 60:  # a candidate that another transaction held at that moment is left for the next call
        more = await agents[0].lease(60)
        assert more
        granted += more
    assert {grant.job_id for grant in granted} == {made.id for made in jobs}
    assert len({grant.task_id for grant in granted}) == 60
    assert await agents[0].lease(9) == []


async def test_a_choice_of_nothing_gives_nothing(world: World) -> None:
    await world.submit()
    agent = await world.agent()
    [class_id] = [one.id for one in await world.store.classes()]
    call = interface.LeaseCall(
        node_id=agent.id,
        incarnation=agent.incarnation,
        request_id="r",
        slots=1,
        class_ids=(class_id,),
        attempt_ids=(factories.new_id(),),
    )
    assert await world.store.lease(call, nothing) == []
    assert len(await world.store.lease(call, in_order)) == 1


async def test_an_unknown_node_must_register(world: World) -> None:
    agent = await world.agent()
    agent.id = "nobody"
    with pytest.raises(errors.NotFound):
        await agent.lease()
    with pytest.raises(errors.NotFound):
        await agent.beats()


async def test_the_agent_before_a_restart_gets_nothing(world: World) -> None:
    await world.submit()
    old = await world.agent("n")
    await world.agent("n")
    assert (await conflict(old.lease())).code == "stale_incarnation"
    assert await old.beat("anything") is CommandKind.GONE


async def test_a_draining_node_gets_nothing(world: World) -> None:
    await world.submit()
    agent = await world.agent()
    await world.store.drain(agent.id, on=True)
    assert await agent.lease() == []
    assert (await agent.beats()).drain
    await world.store.drain(agent.id, on=False)
    assert len(await agent.lease()) == 1


async def test_an_agent_that_stops_gets_nothing(world: World) -> None:
    await world.submit()
    agent = await world.agent("n")
    assert (await agent.beats(drain=True)).drain
    assert await agent.lease() == []
    again = await world.agent("n")  # its next life is not stopping
    assert len(await again.lease()) == 1


async def test_the_start_is_told_by_a_beat(world: World) -> None:
    made = await world.submit()
    agent = await world.agent()
    grant = await agent.take()
    assert await agent.beat(grant.attempt_id) is CommandKind.OK
    assert await world.state(made) is JobState.ASSIGNED
    assert await agent.beat(grant.attempt_id, started=True) is CommandKind.OK
    assert await agent.beat(grant.attempt_id, started=True) is CommandKind.OK
    found = await world.store.get_job(made.id)
    assert found.state is JobState.RUNNING
    assert found.started_at is not None
    assert await world.task_states(made) == [TaskState.RUNNING]
    assert (await world.kinds(made)).count(EventKind.ATTEMPT_STARTED) == 1


async def test_progress_is_shown_and_kept(world: World) -> None:
    made = await world.submit()
    agent = await world.agent()
    grant = await agent.take()
    await agent.beat(grant.attempt_id, started=True, progress=job.Progress(percent=42.5, fps=25.0, phase="encode"))
    await agent.beat(grant.attempt_id)
    found = await world.store.get_job(made.id)
    assert found.progress == job.Progress(percent=42.5, fps=25.0, phase="encode")
    [listed] = (await world.store.list_jobs(interface.JobFilter(), before=None, limit=5)).jobs
    assert listed == found
    await world.store.cancel(made.id)
    await agent.fail(grant.attempt_id, Code.CANCELED)
    found = await world.store.get_job(made.id)
    assert (found.state, found.progress) == (JobState.CANCELED, job.Progress(percent=42.5))
    [listed] = (await world.store.list_jobs(interface.JobFilter(), before=None, limit=5)).jobs
    assert listed == found


async def test_the_last_attempt_says_how_far_a_failed_job_came(world: World) -> None:
    made = await world.submit(max_retries=1)
    never = await world.submit()
    agent = await world.agent()
    for percent in (80.0, 30.0):
        grant = await agent.take()
        await agent.beat(grant.attempt_id, started=True, progress=job.Progress(percent=percent))
        await agent.fail(grant.attempt_id)
        await world.store.promote(10)
        await world.store.cancel(never.id)
    found = await world.store.get_job(made.id)
    assert (found.state, found.progress) == (JobState.FAILED, job.Progress(percent=30.0))
    assert (await world.store.get_job(never.id)).progress is None


async def test_a_beat_answers_for_each_attempt_named(world: World) -> None:
    one, two = await world.submit(), await world.submit()
    agent, other = await world.agent(), await world.agent()
    [first], [second] = await agent.lease(), await other.lease()
    assert {first.job_id, second.job_id} == {one.id, two.id}
    result = await agent.beats(
        AttemptBeat(attempt_id=first.attempt_id),
        AttemptBeat(attempt_id=second.attempt_id),
        AttemptBeat(attempt_id="unknown"),
    )
    assert result.commands == {
        first.attempt_id: CommandKind.OK,
        second.attempt_id: CommandKind.GONE,
        "unknown": CommandKind.GONE,
    }
    assert not result.drain


async def test_an_agent_that_names_nothing_renews_all_it_has(world: World) -> None:
    made = await world.submit()
    agent = await world.agent()
    grant = await agent.take()
    beat = interface.BeatCall(node_id=agent.id, incarnation=agent.incarnation, attempts=(), all_attempts=True)
    assert (await world.store.beat(beat)).commands == {grant.attempt_id: CommandKind.OK}
    assert await world.state(made) is JobState.RUNNING
    assert await world.store.attempt_of(made.id, agent.id) == grant.attempt_id
    await agent.complete(grant.attempt_id)
    assert (await world.store.beat(beat)).commands == {}
    assert (await conflict(world.store.attempt_of(made.id, agent.id))).state == "completed"


async def _silence(sql: Sql, made: job.Job, seconds: int) -> None:
    """As if so much time had passed since anything was heard of the job's attempt."""
    past = seconds * 1_000_000
    await sql(
        f"UPDATE leases SET renewable_until = renewable_until - {past}, expires_at = expires_at - {past}"
        f" WHERE job_seq = {made.sequence_number}"
    )


async def _silent_beat(agent: Agent) -> None:
    await agent.store.beat(interface.BeatCall(node_id=agent.id, incarnation="", attempts=(), all_attempts=True))


async def test_a_reference_agent_that_never_heard_of_its_job_does_not_keep_it(world: World, sql: Sql) -> None:
    """The answer of /jobs/next was lost. The agent's beats say nothing of what it works on; only that it asks about a job does."""
    made = await world.submit()
    agent = await world.agent("reference", incarnation="", ttl_us=90_000_000)
    await agent.take()
    await _silence(sql, made, 7100)
    await _silent_beat(agent)  # it makes an input, perhaps, or is of a version that never asks
    assert (await world.store.rescue(10)).attempts == []
    await _silence(sql, made, 101)
    await _silent_beat(agent)
    [lost] = (await world.store.rescue(10)).attempts
    assert lost.job_id == made.id


async def test_a_reference_agent_keeps_a_job_for_as_long_as_it_asks_about_it(world: World, sql: Sql) -> None:
    """It reports once, whether the answer comes or not, and has forgotten the job then."""
    made, other = await world.submit(), await world.submit()
    agent = await world.agent("reference", incarnation="", ttl_us=90_000_000)
    assert len(await agent.lease(2)) == 2
    for _ in range(3):
        await world.store.asked_about(made.id)
        await world.store.asked_about(other.id)
        await _silence(sql, made, 170)
        await _silence(sql, other, 170)
        await _silent_beat(agent)
        assert (await world.store.rescue(10)).attempts == []
    await world.store.asked_about(other.id)
    await _silence(sql, made, 100)
    await _silence(sql, other, 100)
    await _silent_beat(agent)
    assert [lost.job_id for lost in (await world.store.rescue(10)).attempts] == [made.id]


async def test_whoever_asks_about_a_job_of_our_agents_changes_nothing(world: World, sql: Sql) -> None:
    made = await world.submit()
    await (await world.agent()).take()
    before = await sql("SELECT * FROM leases")
    await world.store.asked_about(made.id)
    await world.store.asked_about("nobody")
    assert await sql("SELECT * FROM leases") == before


async def test_pause_and_cancel_come_down_with_beats_and_directives(world: World) -> None:
    made = await world.submit()
    agent = await world.agent()
    grant = await agent.take()
    await agent.start(grant)
    assert await world.store.directives(agent.id) == {}
    change = await world.store.pause(made.id)
    assert change.attempts == ((agent.id, grant.attempt_id),)
    assert await world.store.directives(agent.id) == {grant.attempt_id: CommandKind.PAUSE}
    assert await agent.beat(grant.attempt_id) is CommandKind.PAUSE
    assert await agent.beat(grant.attempt_id, paused=True) is CommandKind.OK
    assert await world.store.directives(agent.id) == {}
    await world.store.resume(made.id)
    assert await world.store.directives(agent.id) == {grant.attempt_id: CommandKind.RESUME}
    assert await agent.beat(grant.attempt_id, paused=True) is CommandKind.RESUME
    assert await agent.beat(grant.attempt_id) is CommandKind.OK
    await world.store.cancel(made.id)
    assert await agent.beat(grant.attempt_id) is CommandKind.CANCEL
    assert await world.store.directives(agent.id) == {grant.attempt_id: CommandKind.CANCEL}
    assert await world.store.directives("nobody") == {}
