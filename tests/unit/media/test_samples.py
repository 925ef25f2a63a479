"""Where samples are taken, and the whole command that makes them."""

import itertools
from pathlib import Path

import msgspec
import pytest
from tests.unit.media.command_lines import CUT, GUARD, LABEL, QUIET, SOURCE, VIDEO, changed, spec

from ffrtmp.domain.spec import AudioCodec, Codec, Container, Deinterlace, Pick, Rate, RateMode
from ffrtmp.domain.units import Resolution
from ffrtmp.media import ffmpeg, samples
from ffrtmp.media.tools import Tools

TOOLS = Tools(ffmpeg="/ff", version="9.0.2")
AIMED = Rate(mode=RateMode.CRF, target_vmaf=93.0, max_bitrate_bps=4_000_000)


def long(frames: int, **parts):
    return changed(SOURCE, video=[changed(VIDEO, frames=frames, last_pts=(frames - 1) / 25, **parts)])


def extracted(made, source):
    planned = samples.plan(made, source)
    commands = samples.extract(
        made, source, planned, tools=TOOLS, input_path=Path("/m/in.mp4"), scratch=Path("/s"), threads=None
    )
    return planned, *(" ".join(command.argv) for command in commands)


def test_many_short_ones_spread_evenly_those_of_the_first_look_in_front():
    planned = samples.plan(spec(rate=AIMED), long(2000))
    assert (planned.count, planned.few, planned.frames) == (17, 4, 408)
    in_order = sorted(planned.starts)
    steps = {round(after - before, 2) for before, after in itertools.pairwise(in_order)}
    assert steps <= {4.7, 4.71}
    assert in_order[0] == pytest.approx(80 / 17 / 2 - 0.48, abs=0.01)
    assert planned.starts[:4] == (in_order[2], in_order[6], in_order[10], in_order[14])


@pytest.mark.parametrize(
    ("frames", "size", "count"),
    [(384, 1280, 1), (385, 1280, 8), (6000, 640, 50), (200_000, 640, 60), (200_000, 1920, 50), (200_000, 3840, 12)],
)
def test_how_many(frames, size, count):
    source = long(frames, width=size, height=size * 9 // 16)
    assert samples.plan(spec(rate=AIMED), source).count == count


def test_they_begin_behind_keyframes_so_that_little_is_decoded_for_them():
    planned = samples.plan(spec(rate=AIMED), long(2000, keyframe_times=[0.5, 2.0, 2.3, 12.0, 14.4]))
    slot, room = 80 / 17, 80 / 17 - 24 / 25
    starts = sorted(planned.starts)
    assert starts[0] == 2.14  # nearer to the middle than the others
    assert starts[1] == pytest.approx(slot + room / 4, abs=0.001)  # without one: early
    assert starts[2] == pytest.approx(12.14)
    assert starts[3] == pytest.approx(3 * slot + room / 4, abs=0.001)  # 14.54 is too far from the middle
    offset = changed(long(2000, keyframe_times=[2.0 + 1.4], first_pts=1.4), start_seconds=1.4)
    assert min(samples.plan(spec(rate=AIMED), offset).starts) == 2.14


def test_the_ends_of_samples_do_not_count():
    assert [frame for frame in range(48) if samples.counts(frame)] == [*range(16), *range(24, 40)]
    assert samples.FRAMES % samples.EVERY


def test_they_begin_within_the_part_that_is_taken():
    window = changed(CUT, start=100.0, duration=40.0, frames=1000, first_pts=100.0, last_pts=139.96)
    planned = samples.plan(spec(rate=AIMED, start=100.0, duration=40.0), changed(long(10_000), window=window))
    assert planned.count == 8
    assert 100 < min(planned.starts) < 105
    assert 134 < max(planned.starts) < 138.8


def test_the_whole_command():
    made = spec(rate=AIMED, resolution=Resolution(None, 360), deinterlace=Deinterlace.ON)
    planned, argv = extracted(made, long(500))
    inputs = " ".join(f"{GUARD} -ss {start:g} -t 1.04 -i file:/m/in.mp4" for start in planned.starts)
    chain = (
        f"bwdif=mode=send_frame:parity=auto:deint=all,scale=640:360:flags=bicubic,setsar=1/1{LABEL},trim=end_frame=24,"
        "setpts=PTS-STARTPTS"
    )
    graph = ";".join(f"[{index}:0]{chain}[s{index}]" for index in range(8))
    joined = "".join(f"[s{index}]" for index in range(8))
    kept = "-an -sn -dn -c:v rawvideo -f matroska"
    assert argv == (
        f"{QUIET} {inputs} -filter_complex {graph};"
        f"{joined}concat=n=8:v=1:a=0,setpts=N/(25.000000*TB),fps=25.000000,split=2[all][more];"
        "[more]trim=end_frame=48[few]"
        f" -map [all] {kept} file:/s/samples.mkv -map [few] {kept} file:/s/samples-few.mkv"
    )


def test_no_more_inputs_at_once_than_there_is_room_for():
    planned, *argv = extracted(spec(rate=AIMED), long(500, width=3840, height=2160))
    assert (planned.count, len(argv)) == (8, 9)
    kept = "-an -sn -dn -c:v ffvhuff -pred median -f matroska"
    clock = "setpts=N/(25.000000*TB),fps=25.000000"
    assert argv[0] == (
        f"{QUIET} {GUARD} -ss {planned.starts[0]:g} -t 1.04 -i file:/m/in.mp4 -filter_complex "
        f"[0:0]trim=end_frame=24,setpts=PTS-STARTPTS[s0];[s0]concat=n=1:v=1:a=0,{clock}[all]"
        f" -map [all] {kept} file:/s/samples-0.mkv"
    )
    inputs = " ".join(f"{GUARD} -i file:/s/samples-{number}.mkv" for number in range(8))
    chains = ";".join(f"[{number}:0]null[s{number}]" for number in range(8))
    joined = "".join(f"[s{number}]" for number in range(8))
    assert argv[-1] == (
        f"{QUIET} {inputs} -filter_complex {chains};{joined}concat=n=8:v=1:a=0,{clock},split=2[all][more];"
        f"[more]trim=end_frame=48[few] -map [all] {kept} file:/s/samples.mkv -map [few] {kept} file:/s/samples-few.mkv"
    )


def test_a_short_clip_is_taken_whole_and_a_large_one_compressed():
    source = changed(long(132, width=3840, height=2160), window=CUT)
    planned, argv = extracted(spec(rate=AIMED, start=2.0, duration=1.5), source)
    assert (planned.count, planned.few, planned.frames) == (1, 0, 38)
    assert argv == (
        f"{QUIET} {GUARD} -copyts -noaccurate_seek -ss 1.420000 -i file:/m/in.mp4 -map 0:0 "
        "-filter:v trim=start=1.999600:end=3.480600,setpts=round(PTS-2.000000/TB) -fps_mode:v passthrough "
        "-enc_time_base:v 1/25 -an -sn -dn -c:v rawvideo -f matroska file:/s/samples.mkv"
    )
    _, argv = extracted(spec(rate=AIMED), long(132, width=3840, height=2160))
    assert "-c:v ffvhuff -pred median -f matroska" in argv


def test_they_are_encoded_as_the_job_is():
    made = spec(
        codec=Codec.H265,
        container=Container.MP4,
        rate=AIMED,
        start=100.0,
        duration=40.0,
        fps="25",
        resolution=Resolution(None, 360),
        tune="grain",
        gop_seconds=2.0,
        output="x.mp4",
    )
    tried = samples.tried(made, Path("/s/samples.mkv"), 27.5)
    assert (tried.start, tried.duration, tried.fps, tried.resolution, tried.output) == (0.0, None, None, None, None)
    assert (tried.audio.codec, tried.subtitles.pick, tried.deinterlace) == (
        AudioCodec.NONE,
        Pick.NONE,
        Deinterlace.OFF,
    )
    sample = msgspec.structs.replace(long(240, width=640, height=360), container="matroska,webm", audio=[])
    [command] = ffmpeg.build(
        tried,
        sample,
        tools=TOOLS,
        input_path=Path("/s/samples.mkv"),
        output_path=Path("/s/tried.mkv"),
        scratch=Path("/s"),
        encoder="libx265",
    )
    assert " ".join(command.argv) == (
        f"{QUIET} {GUARD} -i file:/s/samples.mkv -map 0:0 -c:v libx265 -preset medium -tune grain -crf 27.5 "
        "-maxrate 4000000 -bufsize 8000000 -pix_fmt yuv420p -g 50 -x265-params log-level=error -fps_mode:v passthrough "
        "-enc_time_base:v 1/25 -an -max_muxing_queue_size 4096 -f matroska file:/s/tried.mkv"
    )
