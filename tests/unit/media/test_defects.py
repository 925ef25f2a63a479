"""What the filters wrote, and what of it is a fault."""

from pathlib import Path

import pytest

from ffrtmp.domain.spec import Limits
from ffrtmp.media import defects, whitelist
from ffrtmp.media.defects import Defects, Span
from ffrtmp.media.inspection import AudioStream, Inspection, VideoStream
from ffrtmp.media.tools import Tools

#: as FFmpeg 9.0.2 writes it
PICTURES = """\
frame:0    pts:0       pts_time:0
lavfi.scd.mafd=0.000
lavfi.scd.score=0.000
frame:1    pts:1       pts_time:0.04
lavfi.scd.mafd=1.250
lavfi.black_start=0.04
frame:2    pts:2       pts_time:0.08
lavfi.scd.mafd=0.000
frame:50   pts:50      pts_time:2
lavfi.scd.mafd=12.125
lavfi.black_end=2
lavfi.freezedetect.freeze_start=2
frame:99   pts:99      pts_time:3.96
lavfi.scd.mafd=0.000
"""
SOUND = """\
frame:40   pts:40960   pts_time:0.92
lavfi.silence_start=0.9
frame:80   pts:81920   pts_time:1.85
lavfi.silence_end=1.84
lavfi.silence_duration=0.94
"""


def test_what_was_written_is_read_and_removed(tmp_path: Path) -> None:
    (tmp_path / "pictures.txt").write_text(PICTURES)
    (tmp_path / "sound.txt").write_text(SOUND)
    found = defects.read(tmp_path, 4.0)
    assert found.spans == {"black": [Span(0.04, 2.0)], "frozen": [Span(2.0, 4.0)], "silent": [Span(0.9, 1.84)]}
    assert found.repeated == 2
    assert list(tmp_path.iterdir()) == []


def test_without_sound_there_is_no_file(tmp_path: Path) -> None:
    (tmp_path / "pictures.txt").write_text("")
    assert defects.read(tmp_path, None) == Defects(spans={"black": [], "frozen": [], "silent": []}, repeated=0)


def seen(**spans: list[Span]) -> Defects:
    return Defects(spans={"black": [], "frozen": [], "silent": [], **spans}, repeated=3)


@pytest.mark.parametrize(
    ("made", "source", "said"),
    [
        (seen(), seen(), []),
        (seen(black=[Span(1, 4)]), seen(black=[Span(1.2, 3.8)]), []),
        (seen(black=[Span(1, 4)]), seen(), ["the output is black at 1.00–4.00 s, its input is not"]),
        (seen(silent=[Span(0, 10)]), seen(silent=[Span(0, 5), Span(6, 10)]), []),
        (seen(silent=[Span(0, 10)]), seen(silent=[Span(0, 4), Span(7, 10)]), ["the output is silent at 0.00–10.00 s"]),
        (seen(frozen=[Span(0, 10)]), seen(frozen=[Span(0, 7.6)]), []),  # 1.9 s are left
        (seen(frozen=[Span(0, 10)]), seen(frozen=[Span(0, 7.4)]), ["the output is frozen at 0.00–10.00 s"]),
        (seen(black=[Span(1, 4)]), None, []),
    ],
)
def test_a_fault_is_what_the_input_has_not(made: Defects, source: Defects | None, said: list[str]) -> None:
    problems = defects.problems(made, source)
    assert len(problems) == len(said)
    assert all(problem.startswith(start) for problem, start in zip(problems, said, strict=True))


def test_the_report_is_bounded() -> None:
    many = [Span(2 * number, 2 * number + 1) for number in range(30)]
    checks = defects.checks(seen(black=many), seen())
    assert checks["black_seconds"] == 30
    assert checks["black_seconds_of_input"] == 0
    assert checks["black"][9:] == ["18.00–19.00 s", "and 20 more"]
    assert (checks["repeated_frames"], checks["repeated_frames_of_input"]) == (3, 3)


def test_the_whole_command() -> None:
    part = defects.Part(
        path=Path("/source.ts"), video=1, audio=2, seconds=5.0, input_arguments=("-copyts",),
        video_filters=("trim=start=1",), audio_filters=("atrim=start=1",),
    )  # fmt: skip
    command = defects.command(
        part, tools=Tools(ffmpeg="/opt/ffmpeg"), scratch=Path("/scratch"), limits=Limits(), threads=3, source=True
    )
    assert command.argv == (
        "/opt/ffmpeg",
        *("-nostdin", "-hide_banner", "-nostats", "-v", "warning", "-y"),
        *("-progress", "pipe:1", "-stats_period", "0.5"),
        *(*whitelist.ARGUMENTS, "-threads", "3", "-copyts", "-i", "file:/source.ts"),
        "-filter_complex",
        "[0:1]trim=start=1,blackdetect=d=1.0:pic_th=0.95:pix_th=0.15,scdet=threshold=100,"
        "scale=w='max(iw/16,4)':h='max(ih/16,4)':flags=area,freezedetect=n=-50dB:d=2.0,"
        "metadata=mode=print:file=pictures.txt[v];"
        "[0:2]atrim=start=1,silencedetect=n=-50dB:d=1.0,ametadata=mode=print:file=sound.txt[a]",
        *("-map", "[v]", "-map", "[a]", "-fps_mode:v", "passthrough", "-f", "null", "-"),
    )
    assert (command.cwd, command.writes) == (Path("/scratch"), (Path("/scratch"),))


def inspected(sound_end: float) -> Inspection:
    video = VideoStream(
        index=0, codec="h264", width=64, height=64, pixel_format="yuv420p", time_base="1/25", frames=100,
        first_pts=0.0, last_pts=3.96, last_duration=0.04,
    )  # fmt: skip
    heard = AudioStream(index=1, codec="aac", sample_rate=48000, channels=2, first_pts=0.02, end_pts=sound_end)
    return Inspection(container="mov,mp4", size_bytes=1, video=[video], audio=[heard])


def test_sound_and_picture_at_the_end() -> None:
    checks, problems = defects.ends(inspected(4.1), 0.0, 0.25)
    assert checks == {
        "audio_end_offset_seconds": 0.1,
        "audio_drift_seconds": 0.08,
        "audio_end_offset_seconds_expected": 0.0,
    }
    assert problems == []
    assert defects.ends(inspected(4.4), 0.0, 0.25)[1] == [
        "the sound's end after the picture's is 0.400 s, not 0.000 s (± 0.250)"
    ]
    assert defects.ends(inspected(4.4), None, 0.25)[1] == []
