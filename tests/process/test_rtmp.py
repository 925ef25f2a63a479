"""Streams to a real nginx-rtmp by both engines: what arrives, and what happens when the server does not play along."""

import asyncio
import contextlib
import os
import random
import ssl
from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
import pytest
import trustme
from tests import rtmp_server
from tests.unit.agent import simulated
from tests.unit.agent.bench import Bench

from ffrtmp.agent import messages as m
from ffrtmp.domain import node, streaming
from ffrtmp.domain.errors import Code
from ffrtmp.domain.job import Pushed
from ffrtmp.domain.spec import (
    Codec,
    Container,
    Engine,
    Input,
    InputKind,
    Preset,
    Rate,
    RateMode,
    Requires,
    Spec,
)
from ffrtmp.domain.units import Resolution
from ffrtmp.media import tools
from ffrtmp.testing.programs import descendants
from ffrtmp.transfer import push, rtmp

KEY = "s3cret-stream-key?token=a+b&c=d"
NAME = "s3cret-stream-key"
STREAM = msgspec.structs.replace(
    simulated.SPEC,
    container=Container.FLV,
    rate=Rate(mode=RateMode.BITRATE, bitrate_bps=300_000, max_bitrate_bps=300_000),
    duration=3.0,
    fps="25",
    gop_seconds=1.0,
    preset=Preset.ULTRAFAST,
    resolution=Resolution(320, 180),
    requires=Requires(),
)
ENGINES = ("ffmpeg", "gstreamer")


def streamed_to(url: str, *, key: str = KEY, give_up: float = 20.0, engine: str = "ffmpeg", **changes: object) -> Spec:
    target = streaming.parse(url, key, give_up)
    return msgspec.structs.replace(STREAM, target=target, requires=Requires(engine=Engine(engine)), **changes)


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[rtmp_server.Server]:
    folder = tmp_path / "nginx"
    folder.mkdir()
    made = rtmp_server.Server(folder)
    await made.start()
    yield made
    await made.close()


@pytest.fixture
async def bench(tmp_path: Path) -> AsyncIterator[Bench]:
    made = Bench(tmp_path)
    launch = tools.find_gstreamer()
    if launch is not None:
        made.kit = msgspec.structs.replace(
            made.kit,
            tools=msgspec.structs.replace(made.kit.tools, gst_launch=launch, gst_version="1"),
            encoders=[
                *made.kit.encoders,
                node.Encoder(name="x264enc", codec=Codec.H264, engine=Engine.GSTREAMER, works=True),
            ],
            muxers=[node.Muxer(container=Container.FLV, engine=Engine.GSTREAMER, video=[Codec.H264])],
        )
    made.kit = msgspec.structs.replace(made.kit, private_targets=True)
    yield made
    await made.inspector.close()


@pytest.fixture(params=ENGINES)
def engine(request: pytest.FixtureRequest) -> str:
    if request.param == "gstreamer" and tools.find_gstreamer() is None:
        assert "CI" not in os.environ, "GStreamer is missing: run tools/system_packages.sh test"
        pytest.skip("GStreamer is not installed: tools/system_packages.sh test")
    return str(request.param)


async def frames(bench: Bench, count: int) -> None:
    """Returns when so many have been due."""
    while not any(isinstance(one, m.TaskProgress) and (one.progress.frame or 0) >= count for one in bench.told):
        bench.changed.clear()
        await bench.changed.wait()


async def ffmpeg(*arguments: object) -> None:
    made = await asyncio.create_subprocess_exec(tools.find().ffmpeg, "-v", "error", "-nostdin", *map(str, arguments))
    assert await made.wait() == 0


def viewer(url: str, seconds: float, made: Path) -> "asyncio.Task[None]":
    """A player that records, and ends after so much of the stream."""
    watching = ffmpeg("-y", "-i", f"{url}/live/{NAME}", "-t", seconds, "-c", "copy", "-f", "flv", made)
    return asyncio.create_task(watching)


def argvs(pid: int) -> str:
    found = []
    for child in {pid, *descendants(pid)}:
        with contextlib.suppress(OSError):
            found.append((Path("/proc") / str(child) / "cmdline").read_text())
    return "\n".join(found)


async def test_a_stream_arrives_as_it_was_asked_and_can_be_watched_meanwhile(server, bench, engine, tmp_path):
    watching = viewer(server.url, 1.0, tmp_path / "seen.flv")
    task = bench.start(streamed_to(f"{server.url}/live", engine=engine))
    await frames(bench, 25)
    assert NAME not in argvs(os.getpid()).replace(f"/live/{NAME}", "")  # but for the viewer's own
    await watching
    assert not [one for one in bench.told if isinstance(one, m.TaskEnded)]  # a second was seen before three were sent
    await task.wait()
    ended = bench.end()
    assert ended.failure is None, ended.failure
    assert ended.result.outputs == []
    assert ended.result.verdict.passed
    assert ended.result.frames == 75
    assert ended.result.engine is Engine(engine)
    pushed = ended.result.pushed
    assert (pushed.frames, pushed.dropped_frames, pushed.reconnects) == (75, 0, 0)
    assert pushed.target == f"{server.url}/live/***"
    (kept,) = server.kept()
    found = rtmp_server.Heard(kept)
    assert sorted(found.codecs) == ["aac", "h264"]
    assert found.size == (320, 180)
    assert found.sound == [(48_000, 1)]
    assert len(found.video) == 75
    assert [round(key - found.video[0], 2) for key in found.keys] == [0.0, 1.0, 2.0]
    assert found.video[-1] - found.video[0] == pytest.approx(2.96, abs=0.01)
    assert found.audio[-1] - found.audio[0] == pytest.approx(3.0, abs=0.1)
    assert found.audio[0] - found.video[0] == pytest.approx(0.0, abs=0.06)
    assert rtmp_server.Heard(tmp_path / "seen.flv").size == (320, 180)
    # the key went to the server, whole, and nowhere else
    assert f"publish: name='{NAME}' args='token=a+b&c=d'" in await server.said("publish: name=")
    said = msgspec.json.encode([msgspec.to_builtins(one) for one in bench.told]).decode() + str(bench.master.logs)
    assert NAME not in said
    assert "takes the stream" in bench.master.logs["a" * 32]


async def test_a_part_of_a_file_is_streamed_with_sound_that_servers_take(server, bench):
    source = bench.media / "in.mkv"
    await ffmpeg(
        *("-f", "lavfi", "-i", "testsrc2=size=320x240:rate=24:duration=4"),
        *("-f", "lavfi", "-i", "sine=sample_rate=22050:duration=4", "-c:v", "libx264", "-preset", "ultrafast"),
        *("-pix_fmt", "yuv420p", "-c:a", "aac", "-ac", "6", source),
    )
    part = streamed_to(
        f"{server.url}/live",
        input=Input(kind=InputKind.FILE, path=str(source)),
        start=1.0,
        duration=2.0,
        fps=None,
        resolution=None,
    )
    ended = await bench.run(part)
    assert ended.failure is None, ended.failure
    found = rtmp_server.Heard(server.kept()[0])
    assert (len(found.video), found.size, found.sound) == (48, (320, 240), [(48_000, 2)])
    assert found.audio[-1] - found.video[0] == pytest.approx(2.0, abs=0.1)
    assert found.video[0] == pytest.approx(0.0, abs=0.2)


async def test_a_server_that_comes_back_gets_the_rest(server, bench, engine):
    task = bench.start(streamed_to(f"{server.url}/live", engine=engine, duration=5.0))
    await frames(bench, 25)
    await server.kill()
    await server.start()
    await task.wait()
    ended = bench.end()
    assert ended.failure is None, ended.failure
    pushed = ended.result.pushed
    assert pushed.reconnects == 1
    assert pushed.away_seconds > 0
    assert pushed.frames + pushed.dropped_frames == 125
    assert pushed.dropped_frames < 100
    assert ended.result.verdict.passed
    assert ended.result.verdict.checks["reconnects"] == 1
    again = rtmp_server.Heard(server.kept()[-1])
    assert again.keys[0] == again.video[0]  # whoever watches sees a picture from the first frame on
    assert again.size == (320, 180)
    log = bench.master.logs["a" * 32]
    assert "went away" in log
    assert "takes the stream again" in log


async def test_a_server_that_does_not_come_back_is_given_up(server, bench):
    task = bench.start(streamed_to(f"{server.url}/live", give_up=1.0, duration=30.0))
    await frames(bench, 25)
    await server.kill()
    await task.wait()
    ended = bench.end()
    assert ended.failure.code is Code.TARGET_LOST
    assert "connection refused" in ended.failure.message
    assert NAME not in ended.failure.message
    assert ended.result.pushed.frames >= 20


@pytest.mark.parametrize(
    ("application", "why"),
    [
        ("denied", "publishing under the stream key"),
        ("nothing", "the application 'nothing'"),
        ("closed", "took nothing"),
    ],
)
async def test_a_server_that_refuses_is_not_one_that_is_away(server, bench, application, why):
    ended = await bench.run(streamed_to(f"{server.url}/{application}"))
    assert ended.failure.code is Code.TARGET_REFUSED
    assert why in ended.failure.message
    assert NAME not in ended.failure.message


async def test_a_name_that_is_in_use_may_come_free(server, bench, monkeypatch):
    monkeypatch.setattr(push, "_BUSY_SECONDS", 0.5)
    first = bench.start(streamed_to(f"{server.url}/live", duration=30.0))
    await frames(bench, 1)
    other = pusher(f"{server.url}/live")
    with pytest.raises(push.TaskError) as raised:
        await other.begin()
    assert raised.value.failure.code is Code.TARGET_REFUSED
    assert raised.value.failure.retriable
    first.kill(now=False)
    await first.wait()
    await other.begin()
    await other.close()


@pytest.mark.parametrize("now", [False, True], ids=["canceled", "lease lost"])
async def test_a_stream_that_is_stopped_ends_at_its_server(server, bench, now):
    task = bench.start(streamed_to(f"{server.url}/live", duration=30.0))
    await frames(bench, 5)
    task.kill(now=now)
    await task.wait()
    ended = bench.end()
    assert (ended.result, ended.failure) == (None, None)
    await server.said("deleteStream")
    told = [word for line in server.lines for word in ("deleteStream", " disconnect,") if word in line]
    # nginx notes a deleteStream of its own behind each connection that just ends
    assert told[0] == (" disconnect," if now else "deleteStream")


async def test_nothing_is_sent_after_the_lease(server):
    held = True
    one = pusher(f"{server.url}/live", may_send=lambda: held)
    await one.begin()
    stream = asyncio.StreamReader()
    stream.feed_data(b"FLV\x01\x05\x00\x00\x00\x09\x00\x00\x00\x00")
    held = False
    stream.feed_data(_tag(9, 0, b"\x17\x01\x00\x00\x00frame"))
    with pytest.raises(push.TaskError) as raised:
        await one.run(stream)
    assert raised.value.failure.code is Code.LEASE_EXPIRED
    assert one.result().frames == 0
    await server.said(" disconnect,")


def _tag(kind: int, at: int, body: bytes) -> bytes:
    head = bytes([kind]) + len(body).to_bytes(3) + at.to_bytes(4)[1:] + at.to_bytes(4)[:1] + bytes(3)
    return head + body + (len(head) + len(body)).to_bytes(4)


def pusher(
    url: str, *, private: bool = True, context: ssl.SSLContext | None = None, may_send=lambda: True, note=lambda _: None
) -> push.Push:
    return push.Push(
        streaming.parse(url, KEY, 5.0),
        private=private,
        note=note,
        may_send=may_send,
        rng=random.Random(1),
        context=context,
    )


async def begun(one: push.Push) -> tuple[Code, str]:
    with pytest.raises(push.TaskError) as raised:
        await one.begin()
    assert NAME not in raised.value.message
    return raised.value.failure.code, raised.value.failure.message


def _large(seconds: float) -> asyncio.StreamReader:
    """Of 10 MB a second: more than the kernel keeps for a server that reads nothing. A key frame every fifth of a second."""
    stream = asyncio.StreamReader()
    stream.feed_data(b"FLV\x01\x01\x00\x00\x00\x09\x00\x00\x00\x00" + _tag(9, 0, b"\x17\x00\x00\x00\x00setup"))
    for number in range(round(seconds * 25)):
        kind = b"\x17" if number % 5 == 0 else b"\x27"
        stream.feed_data(_tag(9, 40 * number, kind + b"\x01\x00\x00\x00" + bytes(400_000)))
    stream.feed_eof()
    return stream


@pytest.mark.parametrize("patient", [True, False], ids=["slow", "hanging"])
async def test_a_server_that_takes_nothing_for_a_while(server, monkeypatch, patient):
    monkeypatch.setattr(push, "_MOST_WAITING_BYTES", 2_000_000)
    said: list[str] = []
    word = "too slowly" if patient else "went away: it took nothing"

    def note(line: str) -> None:
        said.append(line)
        if word in line:
            server.freeze(False)

    one = pusher(f"{server.url}/live", note=note)
    await one.begin()
    if not patient:
        monkeypatch.setattr(rtmp, "PATIENCE_SECONDS", 0.5)
    server.freeze(True)
    await one.run(_large(3.0))
    await one.close()
    result = one.result()
    assert any(word in line for line in said)
    assert result.reconnects == (0 if patient else 1)
    assert result.dropped_frames > 0
    assert result.frames + result.dropped_frames == 75
    assert result.frames > 20


async def test_an_engine_that_is_late_is_waited_for_and_that_is_counted(server, monkeypatch):
    class Clock:
        now = 0.0

        def monotonic(self) -> float:
            return self.now

    clock = Clock()
    monkeypatch.setattr(push, "time", clock)

    def sending() -> bool:
        clock.now += 1.0  # from each picture to the next, which are 40 ms apart
        return True

    one = pusher(f"{server.url}/live", may_send=sending)
    await one.begin()
    stream = asyncio.StreamReader()
    stream.feed_data(b"FLV\x01\x01\x00\x00\x00\x09\x00\x00\x00\x00")
    for at in (0, 40, 80):
        stream.feed_data(_tag(9, at, b"\x17\x01\x00\x00\x00frame"))
    stream.feed_eof()
    await one.run(stream)
    await one.close()
    assert one.result().frames == 3
    assert one.result().behind_seconds == pytest.approx(0.92)  # the third; the second was on its way already


async def test_what_cannot_be_reached_says_why(monkeypatch):
    code, why = await begun(pusher(f"rtmp://127.0.0.1:{rtmp_server.free_port()}/live"))
    assert (code, "connection refused" in why) == (Code.TARGET_UNREACHABLE, True)
    code, why = await begun(pusher("rtmp://no-such-host.invalid/live"))
    assert (code, "no-such-host.invalid" in why) == (Code.TARGET_UNREACHABLE, True)
    monkeypatch.setattr(rtmp, "PATIENCE_SECONDS", 0.3)
    silent = await asyncio.start_server(lambda _reader, _writer: None, "127.0.0.1", 0)
    async with silent:
        code, why = await begun(pusher(f"rtmp://127.0.0.1:{silent.sockets[0].getsockname()[1]}/live"))
    assert (code, "did not answer" in why) == (Code.TARGET_UNREACHABLE, True)


async def test_something_else_than_rtmp_is_told():
    async def answer(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"SSH-2.0-OpenSSH_9.2\r\n" * 200)
        writer.close()

    other = await asyncio.start_server(answer, "127.0.0.1", 0)
    async with other:
        code, why = await begun(pusher(f"rtmp://127.0.0.1:{other.sockets[0].getsockname()[1]}/live"))
    assert (code, "no RTMP server" in why) == (Code.TARGET_UNREACHABLE, True)


async def test_private_addresses_are_for_agents_that_allow_them(server, bench):
    bench.kit = msgspec.structs.replace(bench.kit, private_targets=False)
    ended = await bench.run(streamed_to(f"{server.url}/live"))
    assert ended.failure.code is Code.TARGET_FORBIDDEN
    assert "--private-targets" in ended.failure.message


async def test_over_tls_the_certificate_counts(server):
    authority = trustme.CA()
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("localhost").configure_cert(context)

    async def pipe(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while data := await reader.read(65_536):
                writer.write(data)
                await writer.drain()
        writer.close()

    async def relay(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        inner = await asyncio.open_connection("127.0.0.1", server.port)
        await asyncio.gather(pipe(reader, inner[1]), pipe(inner[0], writer))

    async with await asyncio.start_server(relay, "127.0.0.1", 0, ssl=context) as front:
        url = f"rtmps://localhost:{front.sockets[0].getsockname()[1]}/live"
        trusting = ssl.create_default_context()
        authority.configure_trust(trusting)
        one = pusher(url, context=trusting)
        await one.begin()
        await one.close()
        assert "tcUrl" not in one.result().target
        code, why = await begun(pusher(url))
        assert (code, "certificate" in why) == (Code.TARGET_UNREACHABLE, True)
        other = pusher(url.replace("localhost", "127.0.0.1"), context=trusting)
        assert (await begun(other))[0] is Code.TARGET_UNREACHABLE  # it is not the name in the certificate
    await server.said("publish: name=")


async def test_an_engine_that_breaks_is_told_as_itself(server, bench):
    bad = streamed_to(f"{server.url}/live", tune="no such tune")
    ended = await bench.run(bad)
    assert ended.failure.code is Code.ENGINE_FAILED
    assert ended.result.pushed == Pushed(target=f"{server.url}/live/***")
