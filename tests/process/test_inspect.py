"""The inspector against files that are missing, cut off, not what they say, or hostile."""

import asyncio
import os
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from ffrtmp.domain import errors
from ffrtmp.media import inspect, inspection

BUNNY = Path(__file__).parents[1] / "media" / "bunny.mp4"
WHOLE = BUNNY.read_bytes()
PLAYLIST = "#EXTM3U\n#EXT-X-TARGETDURATION:4\n#EXTINF:4,\n{other}\n#EXT-X-ENDLIST\n"


async def test_what_is_found_in_a_file(look):
    found = await look(BUNNY)
    [picture], [sound] = found.video, found.audio
    assert (picture.codec, picture.width, picture.height, picture.pixel_format) == ("h264", 640, 360, "yuv420p")
    assert (picture.frames, picture.rate, picture.constant_rate, picture.b_frames) == (132, "25", True, True)
    assert (picture.first_pts, picture.last_pts, picture.duration_seconds) == (0.0, 5.24, 5.28)
    assert (picture.keyframes, picture.keyframe_times) == (3, [0.0, 2.0, 4.0])
    assert (sound.codec, sound.channels, sound.sample_rate) == ("aac", 2, 48000)
    assert not found.decoded
    assert found.problems == []


@pytest.mark.parametrize(
    "name", ["bframes.mp4", "editlist.mp4", "offset.ts", "vfr.mkv", "mpeg4.avi", "mpeg2.ts", "hidden.webm", "raw.h264"]
)
async def test_the_packet_table_counts_what_a_decoder_puts_out(look, sources, name):
    path = sources(name)
    index, decoded = await look(path), await look(path, decode=True)
    assert index.video[0].frames == decoded.video[0].frames
    if index.video[0].first_pts is not None:
        assert index.video[0].first_pts == pytest.approx(decoded.video[0].first_pts)
        assert index.video[0].last_pts == pytest.approx(decoded.video[0].last_pts)


async def test_a_window(look):
    found = await look(BUNNY, start=2.3, duration=1.0)
    window = found.window
    assert (window.frames, window.first_pts, window.last_pts) == (25, 2.32, 3.28)
    assert window.keyframe_pts <= 2.32


async def test_audio_alone_is_listed(look, sources):
    found = await look(sources("audio.m4a"))
    assert found.main_video is None
    assert found.main_audio.codec == "aac"


def bad_files(other):
    return {
        "text.mp4": (b"this is no video\n" * 100, "input_invalid", "not a media file"),
        "empty.mp4": (b"", "input_invalid", "empty"),
        "faststart.mp4": (WHOLE[: len(WHOLE) // 2], "input_truncated", "ends at byte"),
        "playlist.mp4": (PLAYLIST.format(other=other).encode(), "input_invalid", "playlist.mp4"),
        "list.mp4": (f"ffconcat version 1.0\nfile {other}\n".encode(), "input_invalid", "not accepted"),
        "relative.mp4": (b"ffconcat version 1.0\nfile bframes.mp4\n", "input_invalid", "not accepted"),
        "noise.mkv": (os.urandom(100_000), "input_invalid", "noise.mkv"),
    }


@pytest.mark.parametrize("name", bad_files(""))
async def test_bad_files(look, sources, tmp_path, name):
    data, code, words = bad_files(sources("bframes.mp4"))[name]
    path = tmp_path / name
    path.write_bytes(data)
    with pytest.raises(errors.TaskError, match=words) as caught:
        await look(path)
    assert caught.value.failure.code == code
    assert name in caught.value.failure.message


async def test_an_mp4_that_lost_its_index_at_the_end(look, sources, tmp_path):
    path = tmp_path / "cut.mp4"
    path.write_bytes(sources("bframes.mp4").read_bytes()[:-3000])
    with pytest.raises(errors.TaskError) as caught:
        await look(path)
    assert caught.value.failure.code is errors.Code.INPUT_TRUNCATED


async def test_a_codec_that_nobody_knows(look, sources, tmp_path):
    path = tmp_path / "alien.mp4"
    path.write_bytes(sources("bframes.mp4").read_bytes().replace(b"avc1", b"xyzw"))
    with pytest.raises(errors.TaskError, match="the codec of its video is not known") as caught:
        await look(path)
    assert caught.value.failure.code is errors.Code.INPUT_INVALID


async def test_a_stream_that_begins_in_the_middle(look, sources, tmp_path):
    """Of the last audio tag (8) of an FLV the kind of sound is changed: libav makes another stream of it."""
    data = bytearray(sources("talk.flv").read_bytes())
    at, tags = 13, []
    while at < len(data):
        tags.append(at)
        at += 15 + int.from_bytes(data[at + 1 : at + 4], "big")
    last = [tag for tag in tags if data[tag] == 8][-1]
    data[last + 11] = 0x2E  # MP3 in place of AAC
    path = tmp_path / "late.flv"
    path.write_bytes(data)
    found = await look(path)
    assert found.video[0].frames == 90
    assert found.problems == ["a stream begins in the middle of the file: it is left out"]


async def test_a_header_that_claims_to_be_longer_than_the_file(look, tmp_path):
    path = tmp_path / "long.mkv"
    path.write_bytes(b"\x1a\x45\xdf\xa3\x01\xff\xff\xff\xff\xff\xff\xf0" + bytes(1000))
    with pytest.raises(errors.TaskError) as caught:
        await look(path)
    assert caught.value.failure.code is errors.Code.INPUT_INVALID


async def test_things_that_are_no_files(look, tmp_path):
    os.mkfifo(tmp_path / "pipe.mp4")
    for path, code in (
        (tmp_path / "missing.mp4", errors.Code.INPUT_MISSING),
        (tmp_path, errors.Code.INPUT_INVALID),
        (tmp_path / "pipe.mp4", errors.Code.INPUT_INVALID),
    ):
        with pytest.raises(errors.TaskError) as caught:
            await look(path)
        assert caught.value.failure.code is code


async def test_a_picture_bomb_is_refused_by_its_header(look, sources):
    with pytest.raises(errors.TaskError, match="16000x16000") as caught:
        await look(sources("huge.avi"))
    assert caught.value.failure.code is errors.Code.INPUT_INVALID


async def test_a_name_that_begins_with_a_dash(look, tmp_path):
    path = tmp_path / "-i.mp4"
    path.write_bytes(WHOLE)
    assert (await look(path)).video[0].frames == 132


async def test_a_time_limit_ends_only_the_one_that_is_late(inspector, look):
    late = inspection.request(str(BUNNY), decode=True, timeout_seconds=0.0)
    reply, found = await asyncio.gather(inspector.request(late, timeout_seconds=60), look(BUNNY))
    assert reply["code"] == "timed_out"
    assert found.video[0].frames == 132


async def test_it_forks_from_a_single_thread(inspector, look):
    """After what it has looked into itself: a fork of a process with threads may hang."""
    await look(inspect._WARM_UP)
    assert len(os.listdir(f"/proc/{inspector.pid}/task")) == 1


async def test_many_at_once(look, sources):
    paths = [BUNNY, sources("bframes.mp4")] * 6
    found = await asyncio.gather(*(look(path, decode=True) for path in paths))
    assert [one.video[0].frames for one in found] == [132, 90] * 6


def test_one_file_from_the_command_line(tmp_path):
    command = [sys.executable, "-m", "ffrtmp.media.inspect", str(BUNNY)]
    told = subprocess.run(command, capture_output=True, check=True)
    assert msgspec.json.decode(told.stdout, type=inspection.Reply).inspection.video[0].frames == 132
    told = subprocess.run([*command[:-1], str(tmp_path / "missing")], capture_output=True, check=False)
    assert told.returncode == 1
    assert msgspec.json.decode(told.stdout, type=inspection.Reply).code is errors.Code.INPUT_MISSING
