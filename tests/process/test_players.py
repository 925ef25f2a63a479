"""What people's players do with a package: hls.js and Shaka Player in a real browser, without a window."""

import asyncio
import gzip
import http.server
import json
import os
import re
import shutil
import subprocess
import threading
from pathlib import Path

import pytest
from tests.process.conftest import spec_of

from ffrtmp.domain.spec import Audio, Ladder, OutputMode, Pick, Rung, Tracks
from ffrtmp.domain.units import Resolution
from ffrtmp.media import ladder, package, renditions, rungs
from ffrtmp.media.tools import Tools
from ffrtmp.process import run

BUNNY = Path(__file__).parents[1] / "media" / "bunny.mp4"
PLAYERS = Path(__file__).parents[1] / "data" / "players"
CHROMIUM = shutil.which("chromium")
LADDER = Ladder(rungs=[Rung(resolution=Resolution(None, lines)) for lines in (180, 90)])
TYPES = {".m3u8": "application/vnd.apple.mpegurl", ".mpd": "application/dash+xml", ".html": "text/html"}
_RANGE = re.compile(r"bytes=(\d+)-(\d+)?")


class Site(http.server.ThreadingHTTPServer):
    """Serves a package with ranges, the players, and hears what a page tells."""

    daemon_threads = True

    def __init__(self, show: Path) -> None:
        super().__init__(("127.0.0.1", 0), Page)
        self.show = show
        self.told: dict[str, object] = {}
        self.heard = threading.Event()


class Page(http.server.BaseHTTPRequestHandler):
    server: Site

    def do_GET(self) -> None:
        folder, _, name = self.path.lstrip("/").partition("/")
        path = (self.server.show if folder == "show" else PLAYERS) / Path(name).name
        if folder == "players" and path.suffix == ".js":
            return self._answer(200, gzip.decompress(path.with_name(f"{path.name}.gz").read_bytes()), "text/javascript")
        if not path.is_file():
            return self._answer(404, b"", "text/plain")
        data, kind = path.read_bytes(), TYPES.get(path.suffix, "video/mp4")
        if asked := _RANGE.match(self.headers.get("Range") or ""):
            begin, end = int(asked[1]), int(asked[2] or len(data) - 1)
            return self._answer(206, data[begin : end + 1], kind, {"Content-Range": f"bytes {begin}-{end}/{len(data)}"})
        return self._answer(200, data, kind)

    def do_POST(self) -> None:
        self.server.told = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self._answer(204, b"", "text/plain")
        self.server.heard.set()

    def _answer(self, status: int, data: bytes, kind: str, more: dict[str, str] | None = None) -> None:
        self.send_response(status)
        for name, value in {"Content-Type": kind, "Content-Length": str(len(data)), **(more or {})}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def browser(tmp_path: Path) -> list[str]:
    if CHROMIUM is None:
        if os.environ.get("CI"):
            pytest.fail("chromium is missing: tools/system_packages.sh test")
        pytest.skip("chromium is not installed; tools/system_packages.sh test does it")
    return [
        *(CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run"),
        *("--disable-background-networking", "--autoplay-policy=no-user-gesture-required", "--mute-audio"),
        f"--user-data-dir={tmp_path / 'profile'}",
    ]


def spoken(tools: Tools, folder: Path) -> Path:
    """The clip with a second sound and subtitles."""
    text, clip = folder / "text.srt", folder / "spoken.mkv"
    text.write_text("1\n00:00:00,200 --> 00:00:02,000\nbonjour\n\n2\n00:00:03,000 --> 00:00:04,000\nau revoir\n")
    tone = ("-f", "lavfi", "-i", "sine=frequency=500:duration=5.28")
    maps = ("-map", "0:v", "-map", "0:a", "-map", "1", "-map", "2", "-c", "copy", "-c:a:1", "aac", "-c:s", "srt")
    languages = (
        "-metadata:s:a:0",
        "language=eng",
        "-metadata:s:a:1",
        "language=ger",
        "-metadata:s:s:0",
        "language=fre",
    )
    command = [tools.ffmpeg, "-nostdin", "-v", "error", "-i", str(BUNNY), *tone, "-i", str(text), *maps, *languages]
    subprocess.run([*command, str(clip)], check=True, stdin=subprocess.DEVNULL)
    return clip


@pytest.mark.parametrize("page", ["hls", "dash"])
@pytest.mark.parametrize("files", [False, True], ids=["ranges", "files"])
async def test_it_plays_and_changes_its_size_and_its_sound(browser, found_tools, look, tmp_path, page, files):
    folder = tmp_path / "show"
    folder.mkdir()
    clip = spoken(found_tools, tmp_path)
    everything = {"audio": Audio(tracks=Tracks(pick=Pick.ALL)), "ladder": LADDER, "segment_seconds": 1.0}
    made = spec_of(clip, output_mode=OutputMode.HLS, **everything)
    source = await look(clip)
    planned, _ = rungs.plan(made, source)
    command = ladder.build(
        made,
        source,
        planned,
        tools=found_tools,
        input_path=clip,
        folder=folder,
        scratch=tmp_path,
        encoder="libx264",
    )
    assert (await run.to_end(command)).ok
    package.write(
        folder,
        [rung.name for rung in planned],
        sounds={one.name: one.label for one in renditions.sounds(made, source)},
        texts={one.name: one.label for one in renditions.texts(made, source)},
        frame_rate=None,
        files=files,
    )
    site = Site(folder)
    threading.Thread(target=site.serve_forever, daemon=True).start()
    url = f"http://127.0.0.1:{site.server_port}/players/{page}.html"
    quiet = asyncio.subprocess.DEVNULL
    child = await asyncio.create_subprocess_exec(*browser, url, stdout=quiet, stderr=quiet, start_new_session=True)
    try:
        assert await asyncio.to_thread(site.heard.wait, 50)
    finally:
        os.killpg(child.pid, 9)
        await child.wait()
        site.shutdown()
        site.server_close()
    told = site.told
    assert told["errors"] == []
    assert abs(told["time"] - 5.28) < 0.1
    assert told["seen"][0] == 90
    assert told["height"] == 180
    assert told["heard"] == "de"
    assert told["sounds"] == ["de", "en"]
    assert told["texts"] == ["fr"]
    assert told["cues"] == ["bonjour", "au revoir"]
