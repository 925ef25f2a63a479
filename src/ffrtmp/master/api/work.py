"""The protocol of our own agents: lease, publish, complete, fail, give back, logs."""

from typing import Any

import msgspec

from ffrtmp.domain import errors, states
from ffrtmp.domain.job import Grant
from ffrtmp.master import attempts
from ffrtmp.master.dispatch import LONGEST_WAIT_SECONDS
from ffrtmp.master.http.call import Call
from ffrtmp.master.waiters import Wants
from ffrtmp.protocol import agent
from ffrtmp.store import interface

_lease = msgspec.json.Decoder(agent.LeaseRequest)
_publish = msgspec.json.Decoder(agent.Publish)
_complete = msgspec.json.Decoder(agent.Complete)
_fail = msgspec.json.Decoder(agent.Fail)
_give_back = msgspec.json.Decoder(agent.GiveBack)
_logs = msgspec.json.Decoder(agent.Logs)


async def lease(call: Call) -> Any:
    node_id = call.path["node_id"]
    call.principal.may_act_for(node_id)
    asked = call.decode(_lease)
    faults = []
    if not 0 <= asked.free_slots <= agent.MOST_SLOTS:
        faults.append(errors.Fault("free_slots", f"{asked.free_slots} is out of range; 0 to {agent.MOST_SLOTS}"))
    if not 1 <= len(asked.request_id) <= agent.LONGEST_ID:
        faults.append(errors.Fault("request_id", f"must be of its own, with 1 to {agent.LONGEST_ID} characters"))
    if faults:
        raise errors.InvalidInput(faults=faults)
    return await call.unless_gone(_lease_for(call, node_id, asked))


async def _lease_for(call: Call, node_id: str, asked: agent.LeaseRequest) -> agent.LeaseReply:
    master = call.master
    arrived = master.clock()
    wanted = min(max(asked.wait_seconds, 0.0), LONGEST_WAIT_SECONDS)
    # jitter: polls that began together must not end together
    deadline = arrived + wanted * master.rng.uniform(0.8, 1.0)
    grants: list[Grant] = []
    directives: list[agent.Directive] = []
    running = frozenset(asked.attempts)
    known = await master.classes.node(node_id, incarnation=asked.incarnation)
    looked = arrived

    async def look(class_ids: tuple[int, ...]) -> bool:
        nonlocal grants, directives, known, looked
        if asked.free_slots:
            at = master.clock()
            try:
                grants, now = await attempts.lease(master, node_id, asked, class_ids)
            except errors.Conflict as over:
                if over.code != interface.REQUEST_OVER:
                    raise
                return True  # what woke it is for another agent
            looked = at if now else arrived
        if running:
            commands = await master.store.directives(node_id)
            directives = [
                agent.Directive(
                    attempt_id=attempt_id, command=command, follow_seconds=master.dispatcher.followed(attempt_id)
                )
                for attempt_id, command in commands.items()
                if attempt_id in running
            ] + master.dispatcher.new_follows(running - commands.keys())
        directives += master.dispatcher.grant_follows(grants, node_id)
        known = await master.classes.node(node_id)
        return bool(grants or directives)

    await master.dispatcher.wait(Wants(node_id=node_id, free_slots=asked.free_slots, deadline=deadline), look)
    if asked.again and asked.free_slots and not grants:
        # before the agent asks under another id: what another master gives, or gave meanwhile, to a copy of this request
        grants, looked = await attempts.end_request(master, node_id, asked), arrived
    if grants:
        master.events.notify()
    return agent.LeaseReply(
        # what its leases were given with: this master may have been started with another lease time since
        ttl_seconds=known.ttl_us / 1e6,
        # the lease runs from its commit, which was after the look, or for a repeated answer after the request was first sent: what
        # lies between that and this answer is not the agent's to use
        held_seconds=(looked if grants else master.clock()) - arrived,
        grants=grants,
        directives=directives,
        drain=known.draining,
    )


async def publish(call: Call) -> Any:
    sent = call.decode(_publish)
    call.principal.may_act_for(sent.node_id)
    result = await call.master.store.publish(call.path["attempt_id"], sent.node_id, sent.incarnation, sent.outputs)
    return attempts.reply(result)


async def complete(call: Call) -> Any:
    sent = call.decode(_complete)
    call.principal.may_act_for(sent.node_id)
    result = await call.master.store.complete(call.path["attempt_id"], sent.node_id, sent.incarnation, sent.result)
    return attempts.ended(call.master, result)


async def fail(call: Call) -> Any:
    sent = call.decode(_fail)
    call.principal.may_act_for(sent.node_id)
    result = await call.master.store.fail(
        call.path["attempt_id"], sent.node_id, sent.incarnation, sent.failure, sent.result
    )
    if result.attempt_state is not states.AttemptState.CANCELED:
        call.master.log.warning(
            "an attempt failed",
            job_id=result.job_id,
            attempt_id=result.attempt_id,
            code=sent.failure.code.value,
            job_state=result.job_state.value,
        )
    return attempts.ended(call.master, result)


async def give_back(call: Call) -> Any:
    sent = call.decode(_give_back)
    call.principal.may_act_for(sent.node_id)
    result = await call.master.store.give_back(
        call.path["attempt_id"], sent.node_id, sent.incarnation, sent.reason, fenced=sent.fenced
    )
    return attempts.ended(call.master, result)


async def put_log(call: Call) -> Any:
    sent = call.decode(_logs)
    call.principal.may_act_for(sent.node_id)
    if len(sent.text) > agent.LONGEST_LOG:
        message = f"A log has at most {agent.LONGEST_LOG} characters; send its beginning and its end."
        raise errors.PayloadTooLarge(message)
    await call.master.store.put_log(call.path["attempt_id"], sent.node_id, sent.text)
    return agent.LogsTaken(attempt_id=call.path["attempt_id"])
