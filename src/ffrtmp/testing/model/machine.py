"""The machine: one thing after another is done to a store and to the model, and both must answer and look the same."""

from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import msgspec
from hypothesis import strategies as st
from hypothesis.stateful import initialize, invariant, precondition, rule

from ffrtmp.domain import job, spec
from ffrtmp.domain.errors import Code, Failure
from ffrtmp.protocol.agent import AttemptBeat
from ffrtmp.scheduling import assign
from ffrtmp.store import interface
from ffrtmp.testing import factories
from ffrtmp.testing.model import seen
from ffrtmp.testing.model.people import CLASSES, NOBODY, People, often, which
from ffrtmp.testing.model.records import Upload

ALL = 1000  #: more than a run can have of anything
REFERENCE = "reference"  #: the node whose agent has no incarnation
CODES = (
    Code.STALLED,
    Code.ENGINE_CRASHED,
    Code.ENGINE_CRASHED,
    Code.DISK_FULL,
    Code.INPUT_INVALID,
    Code.TIMED_OUT,
    Code.CANCELED,
)


class Machine(People):
    @initialize(names=st.sampled_from([["one"], ["one", "two"]]), many=st.integers(1, 3), busy=often)
    def begin(self, names: list[str], many: int, busy: bool) -> None:
        """Something to do, and somebody to do it: most of what can happen needs both."""
        for name in names:
            self._register(name, anew=True, ttl=60, slots=4, origin="")
        rank = (spec.Queue.DEFAULT, spec.Priority.MEDIUM)
        for codec in [*CLASSES, CLASSES[0]][:many]:
            what = factories.a_spec(requires=spec.Requires(codec=codec))
            self._submit_one(self._new_job((), rank, None, specs=(what, what), max_retries=9), None)
        if busy:
            self._lease(self._call(*self.agents[0], 2, CLASSES))

    # nodes

    @rule(
        name=st.sampled_from(["one", "two", REFERENCE]),
        anew=st.sampled_from([False, False, True]),
        ttl=st.sampled_from([10, 60]),
        slots=st.sampled_from([1, 4]),
        origin=st.sampled_from(["", "here", "here", "there"]),
        began_us=st.sampled_from([1, 2, 2]),
    )
    def register(self, name: str, anew: bool, ttl: int, slots: int, origin: str, began_us: int) -> None:
        self._register(name, anew=anew, ttl=ttl, slots=slots, origin=origin, began_us=began_us)

    def _register(self, name: str, *, anew: bool, ttl: int, slots: int, origin: str, began_us: int = 1) -> None:
        known = [node for node in self.model.nodes.values() if node.name == name and not node.removed]
        incarnation = known[0].incarnation if known and not anew else self._id("incarnation")
        incarnation = "" if name == REFERENCE else incarnation
        new = factories.a_node(
            name,
            id=self._id("node"),
            incarnation=incarnation,
            origin=origin,
            began_us=began_us,
            ttl_us=ttl * 1_000_000,
            slots=slots,
            heartbeat_interval_us=30_000_000,
        )

        def foretell() -> Any:
            made, created, restored = self.model.register(new)
            return seen.of_model_node(self.model, made), created, sorted(restored)

        answer = self.ask(
            self.store.register(new),
            lambda made: (seen.of_node(made.node), made.created, sorted(made.restored)),
            foretell,
            hints=lambda made: made.ready_class_ids,
        )
        if answer is not None and (agent := (answer.node.id, incarnation)) not in self.agents:
            self.agents.append(agent)

    def _node(self, index: int, by_name: bool) -> str:
        node_id, _ = self._pick(self.agents, index, (NOBODY, ""))
        return self.model.nodes[node_id].name if by_name and node_id in self.model.nodes else node_id

    @rule(index=which, by_name=st.booleans(), what=st.sampled_from(["drain", "undrain", "undrain", "remove"]))
    def administer(self, index: int, by_name: bool, what: str) -> None:
        ref = self._node(index, by_name)
        if what == "remove":
            self.ask(self.store.remove_node(ref), lambda _: None, lambda: self.model.remove_node(ref))
            return
        on = what == "drain"
        self.ask(
            self.store.drain(ref, on=on),
            seen.of_node,
            lambda: seen.of_model_node(self.model, self.model.drain(ref, on=on)),
        )

    # agents

    def _agent(self, index: int, current: bool) -> tuple[str, str]:
        here = [(node.id, node.incarnation) for node in self.model.nodes.values() if not node.removed]
        return self._pick((current and here) or self.agents, index, (NOBODY, ""))

    @rule(
        index=which,
        slots=st.sampled_from([1, 2, 4, 4, 0]),
        classes=st.sampled_from([CLASSES, CLASSES, CLASSES[:1], CLASSES[1:], ()]),
        current=often,
    )
    def lease(self, index: int, slots: int, classes: tuple[spec.Codec, ...], current: bool) -> None:
        node_id, incarnation = self._agent(index, current)
        call = self._call(node_id, incarnation, slots, classes)
        self.asked.append(call)
        self._lease(call)

    @precondition(lambda self: self.asked)
    @rule(index=which, last=st.booleans())
    def lease_again(self, index: int, last: bool) -> None:
        """The answer was lost, and the request comes once more: with attempt ids of its own."""
        call = self._pick(self.asked, index, self.asked[0])
        fresh = tuple(self._id("attempt") for _ in range(call.slots))
        self._lease(msgspec.structs.replace(call, attempt_ids=fresh, last=last))

    def _call(self, node_id: str, incarnation: str, slots: int, classes: Sequence[spec.Codec]) -> interface.LeaseCall:
        return interface.LeaseCall(
            node_id=node_id,
            incarnation=incarnation,
            request_id=self._id("request"),
            slots=slots,
            class_ids=tuple(self.watch.ids_of(classes)),
            attempt_ids=tuple(self._id("attempt") for _ in range(slots)),
        )

    def _lease(self, call: interface.LeaseCall) -> None:
        keys = [key for key, class_id in self.watch.class_ids.items() if class_id in call.class_ids]

        def foretell() -> Any:
            given = self.model.lease(call, keys)
            known = {held[0] for held in self.held}
            self.held += [(one.id, one.node_id, one.incarnation) for one in given if one.id not in known]
            return [seen.of_model_grant(self.model, one) for one in given]

        self.ask(self.store.lease(call, assign.choose), lambda grants: [seen.of_grant(one) for one in grants], foretell)

    @rule(
        index=which,
        current=often,
        beats=st.lists(st.tuples(which, often, st.booleans(), st.none() | st.integers(0, 99)), max_size=3),
        all_attempts=st.sampled_from([False, False, True]),
        drain=st.sampled_from([None, None, None, None, False, False, True]),
    )
    def beat(
        self,
        index: int,
        current: bool,
        beats: list[tuple[int, bool, bool, int | None]],
        all_attempts: bool,
        drain: bool | None,
    ) -> None:
        node_id, incarnation = self._agent(index, current)
        named: dict[str, AttemptBeat] = {}
        held = [attempt.id for attempt in self.model.held_by(node_id)]
        mine = held if current else [one[0] for one in self.held]
        for attempt, started, paused, percent in beats:
            one = self._pick(mine, attempt, "no-attempt")
            progress = None if percent is None else job.Progress(percent=float(percent), phase="encode")
            named[one] = AttemptBeat(attempt_id=one, started=started, paused=paused, progress=progress)
        call = interface.BeatCall(
            node_id=node_id,
            incarnation=incarnation,
            attempts=tuple(named.values()),
            all_attempts=all_attempts,
            drain=drain,
        )
        self.ask(self.store.beat(call), lambda result: (result.commands, result.drain), lambda: self.model.beat(call))

    @precondition(lambda self: self.jobs)
    @rule(index=which, reference=often)
    def ask_about(self, index: int, reference: bool) -> None:
        """As an agent of the reference does while it works on the job."""
        theirs = [one.task.of.id for one in self.model.attempts.values() if one.live and not one.incarnation]
        job_id = self._pick((reference and theirs) or self.jobs, index, NOBODY)
        self.ask(self.store.asked_about(job_id), lambda _: None, lambda: self.model.asked_about(job_id))

    def _attempt(self, index: int, mine: bool) -> tuple[str, str, str]:
        """An attempt, and who reports of it. `mine`: one that runs, by the agent that has it."""
        live = [held for held in self.held if held[0] in self.model.attempts and self.model.attempts[held[0]].live]
        attempt, node_id, incarnation = self._pick((mine and live) or self.held, index, ("no-attempt", NOBODY, ""))
        if not mine and index % 2:
            node_id, incarnation = self._pick(self.agents, index, (NOBODY, ""))
        return attempt, node_id, incarnation

    def _report(self, call: Awaitable[interface.AttemptResult], attempt_id: str, foretell: Callable[[], Any]) -> None:
        def expected() -> Any:
            replay = foretell() is None
            return seen.of_report(self.model.attempts[attempt_id], replay=replay)

        self.ask(call, seen.of_result, expected, hints=lambda result: result.ready_class_ids)

    @precondition(lambda self: self.held)
    @rule(index=which, mine=often)
    def publish(self, index: int, mine: bool) -> None:
        who = self._attempt(index, mine)
        outputs = [factories.an_output(f"{who[0]}.mp4")]
        self._report(self.store.publish(*who, outputs), who[0], lambda: self.model.publish(*who, outputs))

    @precondition(lambda self: self.held)
    @rule(index=which, mine=often, engine=st.sampled_from([None, *spec.Engine]), upload=st.none() | st.none() | which)
    def complete(self, index: int, mine: bool, engine: spec.Engine | None, upload: int | None) -> None:
        who = self._attempt(index, mine)
        upload_id = None if upload is None else self._pick(self.uploads, upload, NOBODY)
        result = factories.a_result(engine=engine, outputs=[factories.an_output(upload_id=upload_id)])
        self._report(self.store.complete(*who, result), who[0], lambda: self.model.complete(*who, result))

    @precondition(lambda self: self.held)
    @rule(
        index=which,
        mine=often,
        code=st.sampled_from(CODES),
        retriable=st.sampled_from([None, None, True, False]),
        told=st.booleans(),
    )
    def fail(self, index: int, mine: bool, code: Code, retriable: bool | None, told: bool) -> None:
        who = self._attempt(index, mine)
        failure = Failure(code=code, message="it failed", retriable=retriable)
        result = factories.a_result(outputs=[]) if told else None
        call = self.store.fail(*who, failure, result)
        self._report(call, who[0], lambda: self.model.fail(*who, failure, result))

    @precondition(lambda self: self.held)
    @rule(index=which, mine=often, lost=st.booleans(), fenced=st.booleans())
    def give_back(self, index: int, mine: bool, lost: bool, fenced: bool) -> None:
        gone = [held for held in self.held if held[0] in self.model.attempts and self.model.attempts[held[0]].lost]
        who = self._pick(gone, index, gone[0]) if lost and gone else self._attempt(index, mine)
        call = self.store.give_back(*who, "drained", fenced=fenced)
        self._report(call, who[0], lambda: self.model.give_back(*who, fenced=fenced))

    @precondition(lambda self: self.held)
    @rule(index=which, mine=often, text=st.sampled_from(["a", "b"]))
    def put_log(self, index: int, mine: bool, text: str) -> None:
        attempt, node_id, _ = self._attempt(index, mine)
        call = self.store.put_log(attempt, node_id, text)
        self.ask(call, lambda _: None, lambda: self.model.put_log(attempt, node_id, text))
        known = self.model.attempts.get(attempt)
        job_id = NOBODY if known is None else known.task.of.id
        if known is None or len(known.task.of.live) <= 1:  # the reference protocol asks this: one task in each job
            self.ask(self.store.attempt_of(job_id, node_id), str, lambda: self.model.attempt_of(job_id, node_id))

    # time and sweeps

    @rule(seconds=st.sampled_from([0.000001, 1, 4, 11, 61, 400, 4000, 90_000]))
    def time_passes(self, seconds: float) -> None:
        self.bench.advance(seconds=seconds)
        self.model.now = self.bench.clock()

    @rule(what=st.sampled_from(["promote", "rescue", "expire"]), age_seconds=st.sampled_from([0, 60, 86_400]))
    def sweep(self, what: str, age_seconds: int) -> None:
        if what == "promote":
            self._promote()
        elif what == "rescue":
            self._rescue()
        else:
            self._expire(age_seconds)

    def _rescue(self) -> None:
        def see(rescued: interface.Rescued) -> Any:
            return {one.attempt_id for one in rescued.attempts}, rescued.oldest_expired_us

        self.ask(self.store.rescue(ALL), see, self.model.rescue)

    def _promote(self) -> None:
        def foretell() -> Any:
            count, keys, later = self.model.promote()
            return count, {self.watch.class_ids[key] for key in keys}, later

        def see(promoted: interface.Promoted) -> Any:
            return promoted.count, set(promoted.ready_class_ids), promoted.next_due_us

        self.ask(self.store.promote(ALL), see, foretell)

    def _expire(self, age_seconds: int) -> None:
        before = self.model.now - age_seconds * 1_000_000

        def foretell() -> Any:
            expired = self.model.expire(before)
            self.model.forget_requests()
            return expired

        self.ask(
            self.store.expire(finished_before=before, limit=ALL),
            lambda expired: (expired.jobs, sorted(expired.upload_ids)),
            foretell,
        )

    # uploads

    @rule(index=which, what=st.sampled_from(["create", "finish", "finish", "remove"]), again=st.booleans())
    def upload(self, index: int, what: str, again: bool) -> None:
        upload_id = self._pick(self.uploads, index, NOBODY)
        if what == "create":
            upload_id = upload_id if again and upload_id != NOBODY else self._id("upload")
            self.uploads = list(dict.fromkeys([*self.uploads, upload_id]))
            new = factories.an_upload(id=upload_id)
            self._ask_upload(self.store.create_upload(new), lambda: self.model.create_upload(upload_id))
        elif what == "finish":
            self._ask_upload(self.store.finish_upload(upload_id), lambda: self.model.finish_upload(upload_id))
        else:
            ids = [upload_id, NOBODY, upload_id]
            self.ask(self.store.remove_uploads(ids), sorted, lambda: self.model.remove_uploads(ids))

    def _ask_upload(self, call: Awaitable[interface.Upload], foretell: Callable[[], Upload]) -> None:
        def expected() -> Any:
            upload = foretell()
            return upload.id, upload.complete, upload.created_at

        self.ask(call, lambda upload: (upload.id, upload.complete, upload.created_at), expected)

    # what can be seen

    @rule()
    def look_at_everything(self) -> None:
        self.watch.everything()

    @invariant()
    def all_that_can_be_seen_agrees(self) -> None:
        self.watch.step()
