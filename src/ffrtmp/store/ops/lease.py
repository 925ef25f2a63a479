"""Giving tasks to nodes, and keeping the leases: lease and beat."""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence

import msgspec

from ffrtmp.domain import errors, job, spec, states
from ffrtmp.domain.job import EventKind
from ffrtmp.domain.states import AttemptState, TaskState
from ffrtmp.protocol.agent import AttemptBeat, CommandKind
from ffrtmp.store import calls, interface
from ffrtmp.store.ops import floors, graph, rows
from ffrtmp.store.ops.unit import Targets, Unit
from ffrtmp.store.tx import Row, Tx

Grants = list[job.Grant] | errors.FfrtmpError
_work: Callable[[str], spec.Work] = msgspec.json.Decoder(spec.Work).decode
_outputs = msgspec.json.Decoder(list[job.OutputFile]).decode
_TOUCH_US = 5_000_000  #: a lease call says that the node lives, but is written down no more often than this


#: How long the empty beats of a reference agent renew the lease of a job that it has not asked about yet. It asks every 5 s while
#: the job's command runs, and before that makes an input, which takes minutes. (It ends a command after an hour.)
_NOT_ASKED_US = 7_200_000_000
#: the same from each time on that it asked: two lease times, for it may miss some answers
_ASKED_US = 180_000_000
_ASKED_TOUCH_US = 15_000_000  #: it asks often; this is written down no more often


class _Line(msgspec.Struct, gc=False):
    class_id: int
    count: int
    from_key: int


class _Request(msgspec.Struct, gc=False):
    node_id: str
    request_id: str
    attempt_ids: str
    at: int


class _Given(msgspec.Struct, gc=False):
    """One task given in this batch."""

    call: int
    of: rows.Job
    task: rows.Task
    attempt_id: str


async def targets(unit: Unit, batch: Sequence[calls.Lease], into: Targets) -> None:  # noqa: ARG001
    into.nodes.update(one.call.node_id for one in batch)


async def lease(unit: Unit, batch: Sequence[calls.Lease]) -> list[Grants]:
    """All calls choose from the same candidates, so that none is given twice."""
    answers: list[Grants] = [[] for _ in batch]
    known = await _known_requests(unit, batch)
    first: dict[tuple[str, str], int] = {}
    again: dict[int, list[str]] = {}
    wanting: list[int] = []
    for index, one in enumerate(batch):
        call = one.call
        refusal = _refusal(unit, call)
        key = (call.node_id, call.request_id)
        if refusal is not None:
            answers[index] = refusal
        elif key in known and not known[key] and not call.last:
            answers[index] = errors.Conflict("This request has been answered already.", code=interface.REQUEST_OVER)
        elif key in known:
            again[index] = known[key]
        elif key not in first:
            first[key] = index
            if _willing(unit, call):
                wanting.append(index)
    given = await _give(unit, batch, wanting)
    for index, grant in zip((one.call for one in given), await _grants(unit, given), strict=True):
        made = answers[index]
        if isinstance(made, list):
            made.append(grant)
    last = {(one.call.node_id, one.call.request_id) for one in batch if one.call.last}
    await _remember(unit, batch, given, [index for key, index in first.items() if key in last])
    if again:
        grants = await _grants_again(unit.tx, {attempt for ids in again.values() for attempt in ids})
        for index, ids in again.items():
            answers[index] = [grants[attempt] for attempt in ids if attempt in grants]
    for index, one in enumerate(batch):
        leader = first.get((one.call.node_id, one.call.request_id), index)
        if leader != index and index not in again and isinstance(answers[index], list):
            answers[index] = answers[leader]
    return answers


def _refusal(unit: Unit, call: interface.LeaseCall) -> errors.FfrtmpError | None:
    node = unit.nodes.get(call.node_id)
    if node is None:
        return errors.NotFound(f"There is no node {call.node_id}: register it.")
    if node.incarnation != call.incarnation:
        return errors.Conflict(
            f"Node {node.name} was registered anew by another agent process.", code="stale_incarnation"
        )
    return None


def _willing(unit: Unit, call: interface.LeaseCall) -> bool:
    """Notes that the node lives; says whether it may have work."""
    node = unit.nodes[call.node_id]
    if node.lost or node.last_heartbeat < unit.now - _TOUCH_US:
        node.lost, node.last_heartbeat = 0, unit.now
        unit.touch_node(node)
    return not node.draining and not node.stopping and bool(call.attempt_ids[: call.slots])


async def _known_requests(unit: Unit, batch: Sequence[calls.Lease]) -> dict[tuple[str, str], list[str]]:
    ids = list({one.call.request_id for one in batch})
    return {
        (row[0], row[1]): msgspec.json.decode(row[2], type=list[str])
        for row in await unit.tx.all("lease_requests_known", ids=ids)
    }


async def _give(unit: Unit, batch: Sequence[calls.Lease], wanting: Sequence[int]) -> list[_Given]:
    demand: dict[int, int] = {}
    for index in wanting:
        call = batch[index].call
        for class_id in call.class_ids:
            demand[class_id] = demand.get(class_id, 0) + call.slots
    if not demand:
        return []
    found = await _candidates(unit, demand)
    await unit.lock_jobs({row[2] for row in found}, wait=False)
    places: dict[str, rows.Task] = {}
    line: list[interface.Ready] = []
    for class_id, sort_key, seq, position, task_id in sorted(found, key=lambda row: (row[1], row[2], row[3])):
        of = unit.jobs.get(seq)
        if of is None:
            unit.skipped.add(class_id)  # another transaction has it at this moment, and need not tell when it ends
            continue
        task = of.tasks[position]
        if task.placed != ("ready", class_id, sort_key):
            continue  # it was changed between the two statements
        places[task_id] = task
        line.append(interface.Ready(task_id, class_id, sort_key))
    given: list[_Given] = []
    for choose in dict.fromkeys(batch[index].choose for index in wanting):
        group = [index for index in wanting if batch[index].choose == choose]
        left = [ready for ready in line if places[ready.task_id].state is TaskState.QUEUED]
        for index, chosen in zip(group, choose(left, [batch[one].call for one in group]), strict=True):
            call = batch[index].call
            for ready, attempt_id in zip(chosen, call.attempt_ids[: call.slots], strict=False):
                task = places[ready.task_id]
                given.append(_Given(index, unit.jobs[task.job_seq], task, attempt_id))
                _assign(unit, given[-1], call)
    if given:
        unit.left.update(ready.class_id for ready in line if places[ready.task_id].state is TaskState.QUEUED)
    return given


async def _candidates(unit: Unit, demand: Mapping[int, int]) -> list[Row]:
    """For each class its first ready tasks, at most so many, held if they are free."""
    lines = [_Line(class_id, count, unit.floor(class_id)) for class_id, count in sorted(demand.items())]
    found = list(await unit.tx.each("ready_candidates", lines))
    there = Counter(row[0] for row in found)
    short = [
        _Line(line.class_id, line.count, floors.LOWEST)
        for line in lines
        if line.from_key > floors.LOWEST and there[line.class_id] < line.count
    ]
    if short:
        again = {line.class_id for line in short}
        found = [row for row in found if row[0] not in again] + list(await unit.tx.each("ready_candidates", short))
        lines = [line for line in lines if line.class_id not in again] + short
    first: dict[int, int] = {}
    for row in found:
        first[row[0]] = min(row[1], first.get(row[0], row[1]))
    for line in lines:
        unit.floors.looked(line.class_id, line.from_key, first.get(line.class_id), unit.now)
    return found


def _assign(unit: Unit, one: _Given, call: interface.LeaseCall) -> None:
    of, task = one.of, one.task
    task.move(TaskState.ASSIGNED)
    task.attempts += 1
    of.node_id = call.node_id
    of.assigned = True
    made = rows.Lease(
        one.attempt_id,
        of.seq,
        task.position,
        task.id,
        call.node_id,
        call.incarnation,
        task.attempts,
        AttemptState.ASSIGNED,
        0,
        unit.now + unit.nodes[call.node_id].ttl_us,
        renewable_until=None if call.incarnation else unit.now + _NOT_ASKED_US,
        at=unit.now,
    )
    unit.leases[made.attempt_id] = made
    of.leases.append(made)
    unit.event(
        EventKind.ATTEMPT_ASSIGNED,
        job_seq=of.seq,
        task_id=task.id,
        attempt_id=made.attempt_id,
        node_id=call.node_id,
        data=f'{{"number":{task.attempts}}}',
    )
    graph.settle(unit, of)


async def _grants(unit: Unit, given: Sequence[_Given]) -> list[job.Grant]:
    if not given:
        return []
    tx = unit.tx
    leases = [unit.leases[one.attempt_id] for one in given]
    await tx.change("lease_insert", leases)
    await tx.change("attempt_insert", leases)
    seqs = sorted({one.of.seq for one in given})
    specs = {row[0]: row[1] for row in await tx.all("specs_of_jobs", seqs=seqs)}
    own = {one.of.seq for one in given if one.task.own_payload}
    payloads = {(row[0], row[1]): row[2] for row in await tx.all("payloads_of_jobs", seqs=sorted(own))} if own else {}
    tried = {one.of.seq for one in given if one.task.attempts > 1}
    published = _by_task(await tx.all("publications_of_jobs", seqs=sorted(tried))) if tried else {}
    work = [_work(payloads.get((one.of.seq, one.task.position)) or specs[one.of.seq]) for one in given]
    return [
        job.Grant(
            attempt_id=one.attempt_id,
            task_id=one.task.id,
            job_id=one.of.id,
            sequence_number=one.of.seq,
            kind=job.kind_of(what),
            number=one.task.attempts,
            spec=what,
            prior_publications=published.get(one.task.id, []),
        )
        for one, what in zip(given, work, strict=True)
    ]


def _by_task(found: Iterable[Sequence[str]]) -> dict[str, list[job.OutputFile]]:
    outputs: dict[str, list[job.OutputFile]] = {}
    for task_id, text in found:
        outputs.setdefault(task_id, []).extend(_outputs(text))
    return outputs


async def _remember(unit: Unit, batch: Sequence[calls.Lease], given: Sequence[_Given], ending: Iterable[int]) -> None:
    """What calls got, and which of them end their request although they got nothing."""
    answered: dict[int, list[str]] = {index: [] for index in ending}
    for one in given:
        answered.setdefault(one.call, []).append(one.attempt_id)
    await unit.tx.change(
        "lease_request_insert",
        [
            _Request(batch[index].call.node_id, batch[index].call.request_id, rows.json_text(ids), unit.now)
            for index, ids in answered.items()
        ],
    )


async def _grants_again(tx: Tx, attempt_ids: set[str]) -> dict[str, job.Grant]:
    """The grants of an earlier answer, as far as their attempts still live."""
    ids = sorted(attempt_ids)
    published: dict[str, list[job.OutputFile]] = {}
    for task_id, attempt_id, text in await tx.all("publications_before", ids=ids):
        if attempt_id not in attempt_ids:
            published.setdefault(task_id, []).extend(_outputs(text))
    return {
        row[0]: job.Grant(
            attempt_id=row[0],
            task_id=row[1],
            job_id=row[2],
            sequence_number=row[3],
            kind=job.TaskKind(row[4]),
            number=row[5],
            spec=_work(row[6]),
            prior_publications=published.get(row[1], []),
        )
        for row in await tx.all("grants_again", ids=ids)
    }


async def beat_targets(unit: Unit, batch: Sequence[calls.Beat], into: Targets) -> None:
    into.nodes.update(one.call.node_id for one in batch)
    whole = {one.call.node_id for one in batch if one.call.all_attempts}
    named = {attempt.attempt_id for one in batch for attempt in one.call.attempts}
    if whole:
        into.jobs.update(row[0] for row in await unit.tx.all("lease_jobs_of_nodes", ids=sorted(whole)))
    if named:
        into.jobs.update(row[0] for row in await unit.tx.all("lease_jobs", ids=sorted(named)))


async def beat(unit: Unit, batch: Sequence[calls.Beat]) -> list[interface.BeatResult | errors.FfrtmpError]:
    answers: list[interface.BeatResult | errors.FfrtmpError] = []
    renewed: dict[str, rows.Lease] = {}
    for one in batch:
        call = one.call
        node = unit.nodes.get(call.node_id)
        if node is None:
            answers.append(errors.NotFound(f"There is no node {call.node_id}: register it."))
            continue
        if node.incarnation != call.incarnation:
            gone = {attempt.attempt_id: CommandKind.GONE for attempt in call.attempts}
            answers.append(interface.BeatResult(gone, False))
            continue
        _node_lives(unit, node, call)
        commands: dict[str, CommandKind] = {}
        for attempt in _named(unit, call):
            lease = unit.leases.get(attempt.attempt_id)
            if not _is_of(lease, call):
                commands[attempt.attempt_id] = CommandKind.GONE
                continue
            assert lease is not None
            commands[attempt.attempt_id] = _renew(unit, lease, attempt, node)
            renewed[lease.attempt_id] = lease
        answers.append(interface.BeatResult(commands, bool(node.draining or node.stopping)))
    await unit.tx.change("lease_renew", [renewed[attempt_id] for attempt_id in sorted(renewed)])
    return answers


def _is_of(lease: rows.Lease | None, call: interface.BeatCall) -> bool:
    return (
        lease is not None
        and lease.state not in states.ATTEMPT_TERMINAL
        and (lease.node_id, lease.incarnation) == (call.node_id, call.incarnation)
    )


def _named(unit: Unit, call: interface.BeatCall) -> Iterable[AttemptBeat]:
    if not call.all_attempts:
        return call.attempts
    named = {attempt.attempt_id: attempt for attempt in call.attempts}
    for lease in unit.leases.values():
        if _is_of(lease, call) and lease.attempt_id not in named and _is_renewable(unit, lease):
            # such an agent says nothing of its attempts: they run from the time it has them
            named[lease.attempt_id] = AttemptBeat(attempt_id=lease.attempt_id, started=True, paused=bool(lease.paused))
    return named.values()


def _is_renewable(unit: Unit, lease: rows.Lease) -> bool:
    """By a beat that does not name it. Its agent may never have heard of it, or have forgotten it: a reference agent asks for a
    job, and reports one, only once, whether the answer comes or not."""
    return lease.renewable_until is None or lease.renewable_until >= unit.now


async def asked_about_targets(unit: Unit, batch: Sequence[calls.AskedAbout], into: Targets) -> None:
    ids = sorted({call.job_id for call in batch})
    into.jobs.update(row[1] for row in await unit.tx.all("job_refs", ids=ids, seqs=[]))


async def asked_about(unit: Unit, batch: Sequence[calls.AskedAbout]) -> list[None]:
    until = unit.now + _ASKED_US
    asked: list[rows.Lease] = []
    for job_id in sorted({call.job_id for call in batch}):
        of = unit.by_id.get(job_id)
        for lease in of.leases if of is not None else ():
            before = lease.renewable_until
            if not lease.incarnation and (before is None or abs(until - before) >= _ASKED_TOUCH_US):
                lease.renewable_until = until
                asked.append(lease)
    await unit.tx.change("lease_asked_about", asked)
    return [None] * len(batch)


def _node_lives(unit: Unit, node: rows.Node, call: interface.BeatCall) -> None:
    node.last_heartbeat, node.lost = unit.now, 0
    if call.drain is not None and bool(node.stopping) is not call.drain:
        node.stopping = int(call.drain)
        data = f'{{"on":{"true" if call.drain else "false"},"by":"agent"}}'
        unit.event(EventKind.NODE_DRAIN, node_id=node.id, data=data)
        unit.changed_nodes.add(node.id)
    unit.touch_node(node)


def _renew(unit: Unit, lease: rows.Lease, said: AttemptBeat, node: rows.Node) -> CommandKind:
    of = unit.jobs[lease.job_seq]
    # never earlier: this transaction may have read the clock and then stood still, while another master renewed
    lease.expires_at = max(lease.expires_at, unit.now + node.ttl_us)
    lease.paused = int(said.paused)
    if said.progress is not None:
        lease.progress = rows.json_text(said.progress)
    if said.started and lease.state is AttemptState.ASSIGNED:
        _start(unit, of, lease)
    return command(
        lease.state.value,
        bool(lease.paused),
        over=of.over,
        paused=bool(of.paused),
        cancel_requested=bool(of.cancel_requested),
    )


def _start(unit: Unit, of: rows.Job, lease: rows.Lease) -> None:
    lease.move(AttemptState.RUNNING)
    unit.started(lease)
    if of.started_at is None:
        of.started_at = unit.now
    task = of.tasks[lease.position]
    if task.state is TaskState.ASSIGNED:
        task.move(TaskState.RUNNING)
    unit.event(
        EventKind.ATTEMPT_STARTED,
        job_seq=of.seq,
        task_id=lease.task_id,
        attempt_id=lease.attempt_id,
        node_id=lease.node_id,
    )
    graph.settle(unit, of)


def command(state: str, said_paused: bool, *, over: bool, paused: bool, cancel_requested: bool) -> CommandKind:
    """What an attempt must do. One that publishes is past being paused."""
    if over or cancel_requested:
        return CommandKind.CANCEL
    if paused is said_paused or state == AttemptState.PUBLISHING.value:
        return CommandKind.OK
    return CommandKind.PAUSE if paused else CommandKind.RESUME


async def directives(tx: Tx, node_id: str) -> dict[str, CommandKind]:
    """Only attempts that must do something."""
    commands: Mapping[str, CommandKind] = {
        row[0]: command(
            row[1],
            bool(row[2]),
            over=rows.JOB_STATES[row[3]] in states.JOB_TERMINAL,
            paused=bool(row[4]),
            cancel_requested=bool(row[5]),
        )
        for row in await tx.all("directives", node_id=node_id)
    }
    return {attempt_id: kind for attempt_id, kind in commands.items() if kind is not CommandKind.OK}
