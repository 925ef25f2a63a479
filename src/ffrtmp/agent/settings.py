"""What an agent is started with; `docs/cli.md` explains each setting."""

import os
import socket
from pathlib import Path

import msgspec

from ffrtmp.client import masters
from ffrtmp.domain import errors

_LONGEST_POLL_SECONDS = 25.0  #: what a master holds open
_MOST_SLOTS = 1024


class AgentSettings(msgspec.Struct, frozen=True, kw_only=True):
    masters: tuple[str, ...] = ("http://localhost:8080",)  #: of one farm: any of them can answer
    register: bool = False
    name: str = ""  #: "": the host name
    max_concurrent_jobs: int | str = 1  #: or "auto"
    poll_interval_seconds: float = 10.0
    heartbeat_interval_seconds: float = 30.0
    metrics: bool = True
    metrics_host: str = "0.0.0.0"  # noqa: S104 - Prometheus scrapes from elsewhere; there is nothing secret
    metrics_port: int = 9091
    gpu_sessions: int | None = None  #: hardware encodes at the same time; None: as many as the driver lets
    generate_input: bool = True
    private_targets: bool = False  #: streams may go to this machine and its private networks
    api_key: str = ""
    cert: Path | None = None
    key: Path | None = None
    ca: Path | None = None
    insecure_skip_verify: bool = False
    work_dir: Path | None = None  #: None: under the user's cache, by the node's name
    media_roots: tuple[Path, ...] = ()  #: none given: the current directory
    labels: dict[str, str] = {}
    ffmpeg: str | None = None
    gst_launch: str | None = None
    stop_grace_seconds: float = 30.0  #: what runs at SIGTERM may finish in this time, else it is given back
    log_level: str = "info"
    log_format: str | None = None

    @property
    def node_name(self) -> str:
        return self.name or socket.gethostname()

    @property
    def slots(self) -> int:
        """Attempts at the same time. `auto`: one for each four cores, at least one: encoders use several threads each."""
        if self.max_concurrent_jobs == "auto":
            return max(1, cores() // 4)
        return int(self.max_concurrent_jobs)

    @property
    def threads(self) -> int | None:
        """That one engine may use; None: as many as it likes. With several slots twice its share of the cores: they stay busy
        while a job is verified or published, but 16 slots do not run 16 times as many threads as there are cores."""
        share = 2 * -(-cores() // self.slots)
        return share if share < cores() else None

    @property
    def roots(self) -> tuple[Path, ...]:
        """Absolute; links in them are the operator's choice and are followed."""
        return tuple(root.resolve() for root in (self.media_roots or (Path.cwd(),)))

    @property
    def work(self) -> Path:
        if self.work_dir is not None:
            return self.work_dir.resolve()
        import platformdirs

        return platformdirs.user_cache_path("ffrtmp", appauthor=False) / "agent" / self.node_name

    def check(self) -> None:
        """Raises InvalidInput naming the flag, its value and what to do."""
        masters.addresses(self.masters)
        slots = self.max_concurrent_jobs
        if slots != "auto" and not (isinstance(slots, int) and 1 <= slots <= _MOST_SLOTS):
            raise errors.InvalidInput(f"--max-concurrent-jobs {slots} must be auto, or 1 to {_MOST_SLOTS}.")
        if self.gpu_sessions is not None and not 0 <= self.gpu_sessions <= _MOST_SLOTS:
            raise errors.InvalidInput(
                f"--gpu-sessions {self.gpu_sessions} is out of range; choose 0 (no hardware encodes) to {_MOST_SLOTS}."
            )
        if not 0.5 <= self.poll_interval_seconds <= _LONGEST_POLL_SECONDS:
            raise errors.InvalidInput(
                f"--poll-interval {self.poll_interval_seconds:g}s is out of range; choose 0.5s to {_LONGEST_POLL_SECONDS:g}s"
                " (idle agents get work at once, whatever it is)."
            )
        if not 1 <= self.heartbeat_interval_seconds <= 3600:
            raise errors.InvalidInput(
                f"--heartbeat-interval {self.heartbeat_interval_seconds:g}s is out of range; choose 1s to 1h."
            )
        if not 0 <= self.metrics_port <= 65535:
            raise errors.InvalidInput(f"--metrics-port {self.metrics_port} is not a port; choose 1 to 65535 (0: any).")
        if self.stop_grace_seconds < 0:
            raise errors.InvalidInput("--stop-grace must be 0 or more seconds.")
        if any(ord(character) < 33 for character in self.node_name) or len(self.node_name) > 255:
            raise errors.InvalidInput(
                f"--name {self.node_name!r} must be at most 255 characters without spaces or control characters."
            )
        if self.key is not None and self.cert is None:
            raise errors.InvalidInput("--key needs --cert: the certificate that it belongs to.")
        for root in self.roots:
            if not root.is_dir():
                raise errors.InvalidInput(f"--media-root {root} is not a directory; make it first.")


def cores() -> int:
    """Cores that this process may use: a container's CPU set counts, not the host's."""
    return len(os.sched_getaffinity(0))
