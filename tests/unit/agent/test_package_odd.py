"""Packages of sources and under names that are odd: gaps, a picture that begins late, titles and directories of any characters."""

import re
import xml.etree.ElementTree as Xml
from pathlib import Path

import av
import m3u8
import pytest
from tests.unit.agent.test_ladder import a_package
from tests.unit.agent.test_package import H264, made_by, picture, tone

from ffrtmp.domain.spec import Audio, Pick, Thumbnails, Tracks

EACH_SECOND = Thumbnails(interval_seconds=1.0, width=64)


def cells(folder: Path, width: int, height: int) -> list[float]:
    """The mean brightness of each picture on the first sheet, row by row."""
    with av.open(str(folder / "thumbs-001.jpg")) as opened:
        frame = next(opened.decode(video=0))
    data, line = bytes(frame.planes[0]), frame.planes[0].line_size
    return [
        sum(sum(data[y * line + x : y * line + x + width]) for y in range(top, top + height)) / (width * height)
        for top in range(0, frame.height, height)
        for x in range(0, frame.width, width)
    ]


def cues(folder: Path) -> list[tuple[float, float]]:
    found = re.findall(r"00:00:([\d.]+) --> 00:00:([\d.]+)\n", (folder / "thumbs.vtt").read_text())
    return [(float(begin), float(end)) for begin, end in found]


async def test_a_gap_makes_one_long_segment_and_no_heap_of_short_ones(bench):
    source = ("-f", "lavfi", "-i", "testsrc2=size=192x108:rate=25:duration=9")
    given = made_by(bench, "gap.mkv", *source, "-vf", "select='lt(t,1)+gt(t,6.01)'", "-fps_mode", "vfr", *H264)
    ended = await bench.run(a_package(given))
    assert ended.failure is None, bench.master.logs
    listed = m3u8.load(str(bench.media / "show" / "108p.m3u8")).segments
    assert [one.duration for one in listed] == pytest.approx([6.04, 0.96, 1, 1], abs=0.002)


async def test_thumbnails_show_what_is_seen_at_their_time(bench):
    drawn = ("-f", "lavfi", "-i", "color=black:size=192x108:rate=1/3:duration=9,geq=lum='16+100*N':cb=128:cr=128")
    given = made_by(bench, "slides.mkv", *drawn, *H264)
    ended = await bench.run(a_package(given, thumbnails=EACH_SECOND))
    assert ended.failure is None, bench.master.logs
    light = cells(bench.media / "show", 64, 36)
    assert len(light) == len(cues(bench.media / "show")) == 9
    assert [round(one / 116) for one in light] == [0, 0, 0, 1, 1, 1, 2, 2, 2]


async def test_a_picture_that_begins_late_counts_to_its_end(bench):
    sound = tone(440, 1)
    given = made_by(bench, "late.mkv", "-itsoffset", "1.4", *picture(), *sound, *H264, "-c:a", "flac")
    ended = await bench.run(a_package(given, thumbnails=EACH_SECOND))
    assert ended.failure is None, bench.master.logs
    root = Xml.parse(bench.media / "show" / "manifest.mpd").getroot()
    assert root.attrib["mediaPresentationDuration"] == "PT4.400S"
    assert cues(bench.media / "show") == [(0, 1), (1, 2), (2, 3), (3, 4), (4, 4.4)]


async def test_titles_of_any_characters_leave_the_playlists_whole(bench):
    titles = ("-metadata:s:a:0", 'title=\x1b[31m "one" &\x07 <b>\n', "-metadata:s:a:1", "title='one' & <b>")
    given = made_by(
        bench,
        "titled.mkv",
        *(*picture(), *tone(300), *tone(600), "-map", "0", "-map", "1", "-map", "2", *H264, "-c:a", "aac"),
        *("-metadata:s:a:2", "title=2", *titles),
    )
    ended = await bench.run(a_package(given, audio=Audio(tracks=Tracks(pick=Pick.ALL))))
    assert ended.failure is None, bench.master.logs
    names = [one.name for one in m3u8.load(str(bench.media / "show" / "master.m3u8")).media]
    assert names == ["[31m 'one' & <b>", "'one' & <b>"]
    labels = Xml.parse(bench.media / "show" / "manifest.mpd").getroot().iter("{urn:mpeg:dash:schema:mpd:2011}Label")
    assert [one.text for one in labels] == names


async def test_a_directory_of_any_name(bench):
    name = "50% off %03d, \"ü\" '日本'"
    given = made_by(bench, "plain.mp4", *picture(), *H264)
    ended = await bench.run(a_package(given, output=name, thumbnails=EACH_SECOND))
    assert ended.failure is None, bench.master.logs
    assert (bench.media / name / "thumbs-001.jpg").exists()


ASS = """[Script Info]
ScriptType: v4.00+

[Events]
Format: Layer, Start, End, Style, Name, MarginL, MarginR, MarginV, Effect, Text
Dialogue: 0,0:00:00.50,0:00:01.20,Default,,0,0,0,,one\\N\\Ntwo --> 1 < 2, {\\b1}bold{\\b0}
Dialogue: 0,0:00:01.50,0:00:01.90,Default,,0,0,0,,
Dialogue: 0,0:00:02.00,0:00:02.20,Default,,0,0,0,,last
"""


async def test_subtitles_reach_players_whole(bench):
    (bench.media / "text.ass").write_text(ASS)
    given = made_by(bench, "texts.mkv", *picture(), "-i", str(bench.media / "text.ass"), *H264, "-c:s", "copy")
    ended = await bench.run(a_package(given))
    assert ended.failure is None, bench.master.logs
    assert (bench.media / "show" / "subtitles.vtt").read_text() == (
        "WEBVTT\n\n00:00.500 --> 00:01.200\none\ntwo --&gt; 1 &lt; 2, <b>bold</b>\n"
        "\n00:01.500 --> 00:01.900\n\n00:02.000 --> 00:02.200\nlast\n"
    )
    assert ended.result.verdict.checks["subtitles"] == {"events": 3, "events_expected": 3}
