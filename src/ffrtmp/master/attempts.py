"""Leasing and ending attempts, for our protocol and the reference's alike."""

import secrets

from ffrtmp.domain.job import Grant
from ffrtmp.master.context import Master
from ffrtmp.protocol import agent
from ffrtmp.scheduling import assign
from ffrtmp.store import interface


def new_attempt_id() -> str:
    """128 random bits: counters can repeat after a database fail-over."""
    return secrets.token_hex(16)


async def lease(
    master: Master, node_id: str, asked: agent.LeaseRequest, class_ids: tuple[int, ...]
) -> tuple[list[Grant], bool]:
    """Up to `free_slots` tasks of these classes; and whether they are given now. False: this request had them before, perhaps from
    another master, and nobody here knows when."""
    fresh = tuple(new_attempt_id() for _ in range(asked.free_slots))
    call = interface.LeaseCall(
        node_id=node_id,
        incarnation=asked.incarnation,
        request_id=asked.request_id,
        slots=asked.free_slots,
        class_ids=class_ids,
        attempt_ids=fresh,
    )
    grants = await master.store.lease(call, assign.choose)
    return grants, all(grant.attempt_id in fresh for grant in grants)


async def end_request(master: Master, node_id: str, asked: agent.LeaseRequest) -> list[Grant]:
    """What the request was given, by any master. From here on it gets nothing more."""
    call = interface.LeaseCall(
        node_id=node_id,
        incarnation=asked.incarnation,
        request_id=asked.request_id,
        slots=0,
        class_ids=(),
        attempt_ids=(),
        last=True,
    )
    return await master.store.lease(call, assign.choose)


def ended(master: Master, result: interface.AttemptResult) -> agent.AttemptReply:
    """Wake who must know that an attempt ended."""
    master.dispatcher.ready(result.ready_class_ids)
    if result.run_at is not None:
        master.sweep_soon.set()
    master.events.notify()
    return reply(result)


def reply(result: interface.AttemptResult) -> agent.AttemptReply:
    return agent.AttemptReply(
        attempt_id=result.attempt_id,
        state=result.attempt_state.value,
        job_state=result.job_state.value,
        retry=result.retry,
        max_retries=result.max_retries,
    )


def started(node_id: str, attempt_id: str) -> interface.BeatCall:
    """The beat that says: its command runs now (for an agent that has no beats of its own for that)."""
    beat = agent.AttemptBeat(attempt_id=attempt_id, started=True)
    return interface.BeatCall(node_id=node_id, incarnation="", attempts=(beat,))
