"""A real nginx with its RTMP module, which keeps what is published to it."""

import asyncio
import contextlib
import os
import shutil
import signal
import socket
from pathlib import Path

import av
import pytest

_MODULES = (Path("/usr/lib/nginx/modules"), Path("/usr/lib64/nginx/modules"))
_CONFIG = """
daemon off;
master_process off;
error_log stderr info;
pid {folder}/nginx.pid;
load_module {module};
events {{ worker_connections 64; }}
rtmp {{ server {{
  listen 127.0.0.1:{port};
  application live {{ live on; record all; record_path {folder}/kept; record_unique on; record_suffix .flv; }}
  application denied {{ live on; on_publish http://127.0.0.1:{http_port}/deny; }}
  application closed {{ live on; deny publish all; }}
}} }}
http {{
  access_log off;
  {temporary}
  server {{ listen 127.0.0.1:{http_port}; location /deny {{ return 403; }} }}
}}
"""


def module() -> Path:
    """Skips the test where nginx or its module is not installed."""
    found = [folder / "ngx_rtmp_module.so" for folder in _MODULES if (folder / "ngx_rtmp_module.so").exists()]
    if not found or shutil.which("nginx") is None:
        assert "CI" not in os.environ, "nginx or its RTMP module is missing: run tools/system_packages.sh test"
        pytest.skip("nginx with its RTMP module is not installed: tools/system_packages.sh test")
    return found[0]


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Server:
    def __init__(self, folder: Path) -> None:
        self.port = free_port()
        self.url = f"rtmp://127.0.0.1:{self.port}"
        self.lines: list[str] = []
        self._folder = folder
        self._grew = asyncio.Condition()
        self._process: asyncio.subprocess.Process | None = None
        self._reader: asyncio.Task[None] | None = None
        self.kept_folder = folder / "kept"
        self.kept_folder.mkdir()
        kinds = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
        (folder / "nginx.conf").write_text(
            _CONFIG.format(
                folder=folder,
                module=module(),
                port=self.port,
                http_port=free_port(),
                temporary=" ".join(f"{kind}_temp_path {folder}/{kind};" for kind in kinds),
            )
        )

    async def start(self) -> None:
        """It listens when this returns."""
        started = len(self.lines)
        self._process = await asyncio.create_subprocess_exec(
            "nginx", "-p", str(self._folder), "-c", str(self._folder / "nginx.conf"), stderr=asyncio.subprocess.PIPE
        )
        self._reader = asyncio.create_task(self._read(self._process))
        await self.said("getrlimit(RLIMIT_NOFILE)", after=started)

    async def kill(self) -> None:
        """kill -9: its clients see their connections end."""
        assert self._process is not None
        assert self._reader is not None
        with contextlib.suppress(ProcessLookupError):
            self._process.kill()
        await self._process.wait()
        await self._reader
        self._process = None

    def freeze(self, stop: bool) -> None:
        """It keeps its connections and does nothing; or goes on."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP if stop else signal.SIGCONT)

    async def close(self) -> None:
        if self._process is not None:
            await self.kill()

    async def said(self, text: str, *, after: int = 0) -> str:
        """The first line of its log with this text, now or when it comes."""
        async with asyncio.timeout(8), self._grew:
            while True:
                if found := next((line for line in self.lines[after:] if text in line), None):
                    return found
                await self._grew.wait()

    async def _read(self, process: asyncio.subprocess.Process) -> None:
        assert process.stderr is not None
        async for raw in process.stderr:
            async with self._grew:
                self.lines.append(raw.decode(errors="replace"))
                self._grew.notify_all()

    def kept(self) -> list[Path]:
        """What was published, a file for each connection, in order."""
        return sorted(self.kept_folder.iterdir(), key=lambda path: path.stat().st_mtime_ns)


class Heard:
    """What is in a file that a server kept, or a viewer recorded."""

    def __init__(self, path: Path) -> None:
        with av.open(str(path)) as file:
            video = file.streams.video[0]
            self.size = (video.codec_context.width, video.codec_context.height)
            self.codecs = [stream.codec_context.name for stream in file.streams]
            self.sound = [(one.codec_context.sample_rate, one.codec_context.channels) for one in file.streams.audio]
            found = [
                (packet.stream.type, float(packet.pts * packet.time_base), packet.is_keyframe)
                for packet in file.demux()
                if packet.size and packet.pts is not None
            ]
        self.video = sorted(at for kind, at, _ in found if kind == "video")
        self.audio = [at for kind, at, _ in found if kind == "audio"]
        self.keys = [at for kind, at, key in found if kind == "video" and key]
