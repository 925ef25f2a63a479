"""Whole attempts for tests: real ffmpeg, the real inspector, a master that only remembers."""

import asyncio
import hashlib
import os
from collections.abc import Callable
from pathlib import Path

import msgspec
from tests.unit.agent import simulated

from ffrtmp.agent import messages as m
from ffrtmp.agent.gpus import Gpus
from ffrtmp.agent.inspector import Inspector
from ffrtmp.agent.kit import Kit
from ffrtmp.agent.task import Task
from ffrtmp.agent.workdir import WorkDir
from ffrtmp.domain import errors, node
from ffrtmp.domain.spec import (
    Codec,
    Engine,
    Input,
    InputKind,
    Preset,
    Requires,
    Spec,
)
from ffrtmp.domain.units import Resolution
from ffrtmp.media import tools

SMALL = msgspec.structs.replace(
    simulated.SPEC, duration=1.0, preset=Preset.ULTRAFAST, resolution=Resolution(160, 90), requires=Requires()
)
LONG = msgspec.structs.replace(SMALL, duration=3600.0)


class Master:
    def __init__(self) -> None:
        self.logs: dict[str, str] = {}
        self.stored: dict[str, bytes] = {}
        self.uploads: dict[str, bytes] = {}

    async def fetch(self, upload_id: str, dest: Path, on_progress: Callable[[int, int], None]) -> str:
        if upload_id not in self.uploads:
            raise errors.NotFound
        await asyncio.to_thread(dest.write_bytes, self.uploads[upload_id])
        on_progress(1, 1)
        return "mine.mov"

    async def store(self, path: Path, name: str, sha256: str, on_progress: Callable[[int, int], None]) -> str:
        self.stored[name] = await asyncio.to_thread(path.read_bytes)
        assert hashlib.sha256(self.stored[name]).hexdigest() == sha256
        return "u9"

    async def put_log(self, attempt_id: str, text: str) -> None:
        self.logs[attempt_id] = text


class Bench:
    """Runs attempts of one agent and remembers what they told."""

    def __init__(self, folder: Path) -> None:
        self.media = folder / "media"
        self.media.mkdir()
        self.work = WorkDir(folder / "work")
        self.work.open()
        self.master = Master()
        self.inspector = Inspector()
        self.told: list[m.Event] = []
        self.may = True
        self.changed = asyncio.Event()
        self.task: Task | None = None
        self.kit = Kit(
            tools=tools.find(),
            encoders=[
                node.Encoder(name=name, codec=codec, engine=Engine.FFMPEG, works=True)
                for name, codec in (("libx264", Codec.H264), ("libx265", Codec.H265))
            ],
            gpus=Gpus(),
            roots=(self.media,),
            work=self.work,
            inspector=self.inspector,
            master=self.master,
        )

    def start(self, spec: Spec, **more: object) -> Task:
        grant = msgspec.structs.replace(simulated.grant("a" * 32), spec=spec, **more)
        self.task = Task(grant, self.kit, tell=self.tell, may_publish=lambda _: self.may, holds=lambda _: True)
        return self.task

    def tell(self, event: m.Event) -> None:
        self.told.append(event)
        if isinstance(event, m.PublishAsked) and self.task is not None:
            self.task.allow_publish()
        self.changed.set()

    async def until(self, kind: type[m.Event]) -> None:
        while not any(isinstance(event, kind) for event in self.told):
            self.changed.clear()
            await self.changed.wait()

    async def run(self, spec: Spec, **more: object) -> m.TaskEnded:
        await self.start(spec, **more).wait()
        return self.end()

    def end(self) -> m.TaskEnded:
        ended = [event for event in self.told if isinstance(event, m.TaskEnded)]
        assert len(ended) == 1
        assert os.listdir(self.work.path / "attempts") == []
        assert os.listdir(self.work.path / "stages") == []
        assert not [name for name in os.listdir(self.media) if name.endswith(".ffrtmp-part")]
        return ended[0]


def content(path: Path) -> bytes:
    return path.read_bytes()


def of_file(spec: Spec = SMALL, path: str = "clip.mp4", **more: object) -> Spec:
    changed = {"input": Input(kind=InputKind.FILE, path=path), "duration": None, "output": "out.mp4", **more}
    return msgspec.structs.replace(spec, **changed)
