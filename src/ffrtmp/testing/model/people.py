"""The machine's half that submits and changes jobs, and how a store and the model are asked the same."""

from collections.abc import Awaitable, Callable, Sequence
from typing import Any, TypeVar

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, rule

from ffrtmp.domain import errors, job, spec, states
from ffrtmp.scheduling import order
from ffrtmp.store import interface
from ffrtmp.testing import factories
from ffrtmp.testing.model import seen
from ffrtmp.testing.model.benches import Bench
from ffrtmp.testing.model.watch import Watch
from ffrtmp.testing.model.work import Model

T = TypeVar("T")
A = TypeVar("A")
NOBODY = "nobody"
#: which of the things there are: 0 is the latest, the last is one that there never was
which = st.integers(0, 20)
UNKNOWN = 20
often = st.sampled_from([True] * 7 + [False])
#: what the tasks of a job wait for
SHAPES: tuple[tuple[tuple[int, ...], ...], ...] = ((), (), (), ((),), ((0,),), ((0,), (0,), (1, 2)))
CLASSES = (spec.Codec.H264, spec.Codec.AV1)


class People(RuleBasedStateMachine):
    def __init__(self, bench: Bench) -> None:
        super().__init__()
        bench.fresh()
        self.bench, self.store = bench, bench.store
        self.model = Model(bench.clock())
        self.watch = Watch(bench, self.model)
        self.jobs: list[str] = []
        self.agents: list[tuple[str, str]] = []  #: (node, incarnation), also those that are gone
        self.held: list[tuple[str, str, str]] = []  #: (attempt, node, incarnation), also those that are over
        self.asked: list[interface.LeaseCall] = []
        self.uploads: list[str] = []
        self._made = 0

    def _id(self, kind: str) -> str:
        self._made += 1
        return f"{kind}-{self._made:04d}"

    @staticmethod
    def _pick(things: Sequence[T], index: int, otherwise: T) -> T:
        return things[-1 - index % len(things)] if things and index != UNKNOWN else otherwise

    def ask(
        self,
        call: Awaitable[A],
        see: Callable[[A], Any],
        foretell: Callable[[], Any],
        *,
        hints: Callable[[A], Sequence[int]] | None = None,
    ) -> A | None:
        """Both must answer the same. `hints`: the classes of which the answer says that they got a ready task."""
        answer: A | None = None
        try:
            answer = self.bench.run(call)
            got = see(answer)
        except errors.FfrtmpError as error:
            got = seen.refusal(error)
        before = {task.id for task in self.model.line()}
        try:
            expected = foretell()
        except errors.FfrtmpError as error:
            expected = seen.refusal(error)
        assert got == expected, f"the store: {got}\nthe model: {expected}"
        if hints is not None and answer is not None:
            fresh = {self.watch.class_ids[task.class_key] for task in self.model.line() if task.id not in before}
            assert fresh <= set(hints(answer)), "a class got a ready task, and nobody is told"
        return answer

    # submitting

    def _new_job(
        self, shape: tuple[tuple[int, ...], ...], rank: tuple[spec.Queue, spec.Priority], key: str | None, **more: Any
    ) -> job.NewJob:
        what: tuple[spec.Spec, spec.Spec] = more.pop("specs")
        waits = ((), *shape)
        tasks = tuple(
            job.NewTask(
                id=self._id("task"),
                kind=job.TaskKind.ENCODE,
                requires_key=what[index % 2].requires.key(),
                payload=factories.a_task(what[index % 2]).payload,
                depends_on=depends_on,
            )
            for index, depends_on in enumerate(waits)
        )
        return factories.a_job(
            what[0],
            id=self._id("job"),
            tasks=tasks,
            queue=rank[0],
            priority=rank[1],
            head_start_us=order.head_start_us(*rank),
            idempotency_key=key,
            **more,
        )

    @rule(
        shapes=st.lists(st.sampled_from(SHAPES), min_size=1, max_size=3),
        rank=st.tuples(st.sampled_from(spec.Queue), st.sampled_from(spec.Priority)),
        engine=st.sampled_from(spec.Engine),
        classes=st.tuples(st.sampled_from(CLASSES), st.sampled_from(CLASSES)),
        keys=st.tuples(*[st.sampled_from([None, None, "k", "l"])] * 3),
        bodies=st.tuples(*[st.sampled_from(["a", "a", "b"])] * 3),
        max_retries=st.sampled_from([0, 1, 9]),
        upload=st.sampled_from([None, None, None, 0, 1, UNKNOWN]),
        many=st.booleans(),
    )
    def submit(
        self,
        shapes: list[tuple[tuple[int, ...], ...]],
        rank: tuple[spec.Queue, spec.Priority],
        engine: spec.Engine,
        classes: tuple[spec.Codec, spec.Codec],
        keys: tuple[str | None, ...],
        bodies: tuple[str, ...],
        max_retries: int,
        upload: int | None,
        many: bool,
    ) -> None:
        upload_id = None if upload is None else self._pick(self.uploads, upload, NOBODY)
        source = spec.Input(kind=spec.InputKind.UPLOAD, upload_id=upload_id)
        made = [factories.a_spec(requires=spec.Requires(codec=codec)) for codec in classes]
        if upload_id is not None:
            made = [factories.a_spec(requires=one.requires, input=source) for one in made]
        new = [
            self._new_job(
                shape,
                rank,
                key,
                specs=(made[0], made[1]),
                engine=engine,
                body_sha256=body,
                max_retries=max_retries,
                tags={"run": body},
            )
            for shape, key, body in zip(shapes, keys, bodies, strict=False)
        ]
        if many:
            self._submit_many(new, upload_id)
        else:
            self._submit_one(new[0], upload_id)

    def _see(self, answer: interface.Submitted) -> tuple[Any, ...]:
        return answer.created, seen.of_job(answer.job)

    def _foretell(self, new: job.NewJob, upload_id: str | None, answer: interface.Submitted | None) -> tuple[Any, ...]:
        """The number is the store's to choose; it has not been used before."""
        of, created = self.model.submit(new, upload_id, 0 if answer is None else answer.job.sequence_number)
        if created:
            self.watch.new_number(of.seq)
            self.jobs.append(of.id)
        return created, seen.of_model_job(self.model, of)

    def _submit_one(self, new: job.NewJob, upload_id: str | None) -> None:
        answers: list[interface.Submitted] = []

        def see(answer: interface.Submitted) -> Any:
            answers.append(answer)
            return self._see(answer)

        self.ask(self.store.submit(new), see, lambda: self._foretell(new, upload_id, answers[0] if answers else None))
        self.watch.learn_classes()

    def _submit_many(self, new: list[job.NewJob], upload_id: str | None) -> None:
        answers: list[interface.Submitted] = []

        def see(found: list[interface.Submitted]) -> Any:
            answers.extend(found)
            return [self._see(answer) for answer in found]

        def foretell() -> Any:
            refused = self.model.batch_refusal([(one, upload_id) for one in new])
            if refused is not None:
                raise refused
            assert len(answers) == len(new)
            return [self._foretell(one, upload_id, answer) for one, answer in zip(new, answers, strict=True)]

        self.ask(self.store.submit_many(new), see, foretell)
        self.watch.learn_classes()

    @rule(index=which)
    def submit_again_by_retry(self, index: int) -> None:
        """As the API does it: a new job that names the old one."""
        old = self.model.jobs.get(self._pick(self.jobs, index, NOBODY))
        if old is not None and old.over and old.state is not states.JobState.COMPLETED:
            rank = (old.new.queue, old.new.priority)
            what = factories.a_spec(requires=spec.Requires(codec=CLASSES[0]))
            new = self._new_job((), rank, None, specs=(what, what), max_retries=old.new.max_retries, retry_of=old.id)
            self._submit_one(new, None)

    # people

    def _ref(self, index: int, by_number: bool, live: bool) -> str:
        going = [one for one in self.jobs if one in self.model.jobs and not self.model.jobs[one].over]
        busy = [one for one in going if self.model.jobs[one].live]
        ref = self._pick((live and index % 2 and busy) or (live and going) or self.jobs, index // 2, NOBODY)
        of = self.model.jobs.get(ref)
        return str(of.seq) if of is not None and by_number else ref

    def _see_change(self, change: interface.JobChange) -> Any:
        return seen.of_job(change.job), sorted(change.attempts)

    def _change(self, call: Awaitable[interface.JobChange], foretell: Callable[[], Any]) -> None:
        def expected() -> Any:
            of = foretell()
            return seen.of_model_job(self.model, of), sorted((one.node_id, one.id) for one in of.live)

        self.ask(call, self._see_change, expected, hints=lambda change: change.ready_class_ids)

    @rule(index=which, by_number=st.booleans(), what=st.sampled_from(["pause", "resume", "cancel"]), live=often)
    def people(self, index: int, by_number: bool, what: str, live: bool) -> None:
        ref = self._ref(index, by_number, live)
        if what == "cancel":
            self._change(self.store.cancel(ref), lambda: self.model.cancel(ref))
        elif what == "pause":
            self._change(self.store.pause(ref), lambda: self.model.pause(ref, on=True))
        else:
            self._change(self.store.resume(ref), lambda: self.model.pause(ref, on=False))

    @rule(indices=st.lists(which, min_size=1, max_size=2))
    def reject(self, indices: list[int]) -> None:
        ids = list(dict.fromkeys(self._pick(self.jobs, index, NOBODY) for index in indices))
        self.ask(self.store.reject(ids, "no node offers this"), sorted, lambda: sorted(self.model.reject(ids)))
