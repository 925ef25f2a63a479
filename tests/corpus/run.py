"""Runs pairs of sources and outputs through the product: the submission's body, planning, and an agent's whole attempt."""

import asyncio
import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ffrtmp.agent import capabilities
from ffrtmp.agent import messages as m
from ffrtmp.agent.gpus import Gpus
from ffrtmp.agent.inspector import Inspector
from ffrtmp.agent.kit import Kit
from ffrtmp.agent.settings import AgentSettings
from ffrtmp.agent.task import Task
from ffrtmp.agent.workdir import WorkDir
from ffrtmp.domain import errors, job
from ffrtmp.domain.errors import Code
from ffrtmp.planning import resolve
from ffrtmp.protocol import bodies
from tests.corpus import look, sources
from tests.corpus.outputs import BY_NAME, Output
from tests.corpus.source import Source


@dataclass
class Came:
    """What came of a pair."""

    source: Source
    output: Output
    cell: str = ""
    code: str = ""  #: of a refusal
    message: str = ""
    notes: list[str] = field(default_factory=list)  #: what the user is told of what was decided
    log: str = ""
    problems: list[str] = field(default_factory=list)

    @property
    def name(self) -> str:
        return f"{self.source.name} → {self.output.name}"


class _Master:
    """Remembers logs; nothing goes to it, outputs are paths."""

    def __init__(self) -> None:
        self.logs: dict[str, str] = {}

    async def fetch(self, upload_id: str, dest: Path, on_progress: Callable[[int, int], None]) -> str:
        raise AssertionError("no input of the corpus is an upload")

    async def store(self, path: Path, name: str, sha256: str, on_progress: Callable[[int, int], None]) -> str:
        raise AssertionError("each output of the corpus has a path")

    async def put_log(self, attempt_id: str, text: str) -> None:
        self.logs[attempt_id] = text


class Corpus:
    """One agent without a master. `folder`: sources are made in it, outputs go below."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._work = WorkDir(folder / "work")
        self._work.open()
        self._master = _Master()
        self._inspector = Inspector()
        self._kit: Kit | None = None
        self._number = 0
        sources.prepare(folder)

    async def open(self) -> Kit:
        found = await capabilities.detect(AgentSettings(), self._work.path)
        self._kit = Kit(
            tools=found.tools,
            encoders=found.tried.encoders,
            decoders=found.tried.decoders,
            muxers=found.tried.muxers,
            gpus=Gpus(),
            roots=(self.folder,),
            work=self._work,
            inspector=self._inspector,
            master=self._master,
            threads=2,
        )
        return self._kit

    async def close(self) -> None:
        await self._inspector.close()
        self._work.close()

    async def pair(self, source: Source, output: Output) -> Came:
        """Made, looked at, and judged."""
        assert self._kit is not None
        came = Came(source, output)
        path = await asyncio.to_thread(sources.make, source.name, self.folder, self._kit.tools.ffmpeg)
        body = output.submission(source)
        target = self.target(source, output)
        parameters: dict[str, Any] = {**body["parameters"], "input": str(path), "output": str(target)}
        if output.measures:
            parameters.pop("preset")
            measured = self.target(source, BY_NAME[output.measures])
            parameters["input"] = str(measured if measured.exists() else path)
            parameters["measure"] = {**parameters["measure"], "reference": str(path)}
        await asyncio.to_thread(target.unlink, missing_ok=True)
        try:
            work = resolve.resolve(
                bodies.parse(bodies.SubmitBody, json.dumps({**body, "parameters": parameters}).encode())
            )
        except errors.InvalidInput as error:
            came.problems = [f"refused at submission: {error.message}"]
            return came
        ended = await self._attempt(work, came)
        if ended.failure is not None:
            _refused(came, ended.failure)
        elif ended.result is None:
            came.problems = ["it ended without a result"]
        else:
            came.notes = ended.result.decisions
            await self._judge(came, path, target, ended.result)
        return came

    def target(self, source: Source, output: Output) -> Path:
        ending = "json" if output.measures else output.container
        return self.folder / f"{source.name}.{output.name.replace(' ', '-').replace(',', '')}.{ending}"

    async def _attempt(self, work: Any, came: Came) -> m.TaskEnded:
        assert self._kit is not None
        self._number += 1
        grant = job.Grant(
            attempt_id=f"{self._number:032x}",
            task_id=f"t{self._number}",
            job_id=f"j{self._number}",
            sequence_number=self._number,
            kind=job.kind_of(work),
            number=1,
            spec=work,
        )
        ends: list[m.TaskEnded] = []

        def tell(event: m.Event) -> None:
            if isinstance(event, m.PublishAsked):
                task.allow_publish()
            elif isinstance(event, m.TaskEnded):
                ends.append(event)

        task = Task(grant, self._kit, tell=tell, may_publish=lambda _: True, holds=lambda _: True)
        await task.wait()
        came.log = self._master.logs.pop(grant.attempt_id, "")
        return ends[0]

    async def _judge(self, came: Came, path: Path, target: Path, result: job.Result) -> None:
        source, output = came.source, came.output
        if source.refused:
            came.problems.append(f"it was done, but {source.refused} was to be told")
            return
        if output.measures:
            report = json.loads(await asyncio.to_thread(target.read_bytes))
            came.cell = _measured(report)
            return
        if result.verdict is None or not result.verdict.passed:
            came.problems.append("it has no verdict that passed")
        made = await asyncio.to_thread(look.look, target)
        original = None
        laid = (
            output.part is None
            and source.comparable
            and not source.damaged
            and not source.interlaced
            and not source.hdr
        )
        if laid:
            original = await asyncio.to_thread(look.look, path)
        came.problems += look.problems(source, output, made, original)
        came.cell = look.told(source, output, made)


def _measured(report: dict[str, Any]) -> str:
    value = report["scores"]["psnr"].get("overall")
    return "the same pictures" if value is None else f"PSNR {value:.1f} dB"


def _refused(came: Came, failure: errors.Failure) -> None:
    source = came.source
    came.code, came.message = failure.code.value, failure.message
    came.cell = f"refused: {came.code}"
    if source.refused:
        if failure.code.value != source.refused:
            came.problems.append(f"refused with {came.code}, not {source.refused}: {came.message}")
        elif source.says not in came.message:
            came.problems.append(f"the refusal does not say {source.says!r}: {came.message}")
    elif not _is_its_own(came, failure):
        came.problems.append(f"failed with {came.code}: {came.message}")


def _is_its_own(came: Came, failure: errors.Failure) -> bool:
    """Whether this source may be refused so for this output, and the message says what would work."""
    source, output, code = came.source, came.output, failure.code
    by_gstreamer = output.engine == "gstreamer"
    return any(
        (
            source.damaged and code is Code.INPUT_INVALID,
            output.part is not None and source.sparse and code is Code.CUT_EMPTY,
            min(source.size) < 16 and code is Code.STREAM_UNSUITABLE and "set resolution" in came.message,
            by_gstreamer and code is Code.ENGINE_FAILED and "engine ffmpeg" in came.message,
            by_gstreamer and code is Code.INPUT_INVALID and "is damaged" in came.message,
        )
    )


async def run(
    corpus: Corpus,
    pairs: Iterable[tuple[Source, Output]],
    *,
    at_once: int = 2,
    on_end: Callable[[Came], None] = lambda _: None,
) -> list[Came]:
    """What is measured comes after what it measures: the pairs of one source are run in their order."""
    by_source: dict[str, list[tuple[Source, Output]]] = {}
    for source, output in pairs:
        by_source.setdefault(source.name, []).append((source, output))
    room = asyncio.Semaphore(at_once)

    async def all_of(wanted: list[tuple[Source, Output]]) -> list[Came]:
        done = []
        async with room:
            for source, output in wanted:
                done.append(await corpus.pair(source, output))
                on_end(done[-1])
        return done

    found = await asyncio.gather(*(all_of(wanted) for wanted in by_source.values()))
    return [came for each in found for came in each]
