"""What all tasks of an agent share, and what they need of the master."""

from collections.abc import Callable
from pathlib import Path
from typing import Protocol

import msgspec

from ffrtmp.agent.gpus import Gpus
from ffrtmp.agent.inspector import Inspector
from ffrtmp.agent.workdir import WorkDir
from ffrtmp.domain import node
from ffrtmp.media.tools import Tools
from ffrtmp.process import run
from ffrtmp.process.confine import Limiter
from ffrtmp.process.energy import Meters


class Master(Protocol):
    """The agent's shell gives it the client, bound to this node."""

    async def fetch(self, upload_id: str, dest: Path, on_progress: Callable[[int, int], None]) -> str:
        """Returns the file's name on the user's machine."""

    async def store(self, path: Path, name: str, sha256: str, on_progress: Callable[[int, int], None]) -> str: ...
    async def put_log(self, attempt_id: str, text: str) -> None: ...


class Kit(msgspec.Struct, frozen=True, kw_only=True):
    tools: Tools
    encoders: list[node.Encoder]  #: of both engines
    decoders: list[node.Decoder] = []
    muxers: list[node.Muxer] = []
    gpus: Gpus
    roots: tuple[Path, ...]
    work: WorkDir
    inspector: Inspector
    master: Master
    threads: int | None = None  #: of one engine; None: its own choice
    inspect_threads: int = 1
    private_targets: bool = False  #: streams may go to this machine and its private networks
    sandbox: run.Sandbox = run.OFF
    limiter: Limiter = Limiter()
    meters: Meters = Meters()
