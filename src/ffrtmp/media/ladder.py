"""A ladder as one command: the source is decoded once, each size is scaled from the next larger one. Pure.

The files of a package are CMAF tracks (ISO/IEC 23000-19): a fragment for each group of pictures, so that a fragment is a
segment, and playlists need nothing but the places of the fragments. Keyframes are forced at the same times in all sizes, by the
clock, so that they agree for variable frame rates too; nothing else makes one.
"""

import math
from collections.abc import Sequence
from pathlib import Path

import msgspec

from ffrtmp.domain.command import Command
from ffrtmp.domain.spec import Audio, AudioCodec, Container, Pick, PixelFormat, Spec, Thumbnails, Tracks
from ffrtmp.media import (
    bounds,
    boxes,
    choice,
    codec_names,
    codecs,
    colour,
    ffmpeg,
    hardware,
    loudness,
    picture,
    renditions,
    rungs,
    whitelist,
)
from ffrtmp.media.arguments import GLOBALS, number, opt
from ffrtmp.media.inspection import Inspection, VideoStream
from ffrtmp.media.tools import Tools

#: a keyframe may come so much before its time: a clock in fractions may lie a hair below it
_EARLY_SECONDS = 0.001
#: nothing but the clock makes a keyframe
_NEVER = 99_999
#: without closed groups of pictures a player cannot begin at a segment; encoder → arguments, its own parameters
_CLOSED: dict[str, tuple[tuple[str, ...], codecs.Params]] = {
    "libx264": (("-sc_threshold", "0", "-forced-idr", "1"), ()),
    "libx265": (("-forced-idr", "1"), (("scenecut", 0), ("open-gop", 0), ("keyint", _NEVER))),
    "h264_nvenc": (("-forced-idr", "1", "-no-scenecut", "1"), ()),
    "hevc_nvenc": (("-forced-idr", "1", "-no-scenecut", "1"), ()),
    "av1_nvenc": (("-forced-idr", "1", "-no-scenecut", "1"), ()),
    "h264_qsv": (("-forced_idr", "1"), ()),
    "hevc_qsv": (("-forced_idr", "1"), ()),
    "av1_qsv": (("-forced_idr", "1"), ()),
}
#: makes a second keyframe right after each that is forced (FFmpeg 9.0.2): it counts frames instead
_COUNTS = "libaom-av1"
#: `frag_discont`: a picture that begins late says so in its fragments too, which players go by, not by edit lists
_FRAGMENTS = "+frag_keyframe+frag_discont+delay_moov+default_base_moof+cmaf+skip_trailer"
_SOUND_FRAGMENTS = "+empty_moov+delay_moov+default_base_moof+cmaf+skip_trailer"
#: AAC's and Opus's packets begin where they begin: so much of a segment's length is sought
_MICROSECONDS = 1_000_000
#: sound that begins late gets silence before it: the time of AAC's first, hidden packet would be below zero in the fragments
_FROM_ZERO = ("aresample=async=1:first_pts=0",)
#: of a source as long as SAMPLED_SECONDS at least, what is encoded to see how much its content takes
SAMPLED_SECONDS, SAMPLE_SECONDS = 20.0, 2.0
_SAMPLES_AT = (0.15, 0.5, 0.85)
#: thumbnails on one sheet
COLUMNS, ROWS = 10, 10
#: of an interval: what is left at the end and is shorter belongs to the last of them
_TAIL = 0.1


def base(spec: Spec, planned: Sequence[rungs.Planned]) -> Spec:
    """The job of which the inputs of the command are: all that is mapped comes from them."""
    return msgspec.structs.replace(spec, resolution=planned[0].spec.resolution, rate=planned[0].spec.rate)


def build(
    spec: Spec,
    source: Inspection | None,
    planned: Sequence[rungs.Planned],
    *,
    tools: Tools,
    input_path: Path | None,
    folder: Path,
    scratch: Path,
    encoder: str,
    use: hardware.Use | None = None,
    threads: int | None = None,
    measured: Sequence[loudness.Measured] = (),
) -> Command:
    """`planned`: largest first. `folder` gets `NAME.mp4` for each rung; of a package also for each sound, and `NAME.vtt` for
    subtitles. `measured`: the loudness of each sound, as `ffmpeg.build` takes it.
    Raises TaskError when this input cannot become that output."""

    coder = choice.BY_NAME[encoder]

    def job(of: Spec, heard: Sequence[loudness.Measured] = ()) -> ffmpeg.Job:
        return ffmpeg.Job(of, source, tools, input_path, folder, scratch, coder, use, threads, heard)

    whole = job(base(spec, planned), measured)
    jobs = [job(rung.spec, () if spec.packaged else measured) for rung in planned]
    tail = [part for graph in _graphs(whole, source, planned, coder) for part in ("-filter_complex", graph)]
    for index, (one, rung) in enumerate(zip(jobs, planned, strict=True)):
        tail += ["-map", f"[out{index}]", *one.coding(*_keyframes(spec, whole, coder))]
        tail += [] if spec.packaged else one.sound()
        tail += [*one.beside(), *_muxing(spec, _FRAGMENTS), f"file:{folder / f'{rung.name}.{spec.container}'}"]
    for index, heard in enumerate(renditions.sounds(spec, source)):
        one, length = job(heard.spec, measured[index : index + 1]), round(spec.segment_seconds * _MICROSECONDS)
        tail += [*one.sound(_FROM_ZERO), *one.beside(), *_muxing(spec, _SOUND_FRAGMENTS)]
        tail += [*opt("-frag_duration", length), f"file:{folder / f'{heard.name}.mp4'}"]
    for shown in renditions.texts(spec, source):
        tail += [*whole.text(shown.number), "-f", "webvtt", f"file:{folder / f'{shown.name}.vtt'}"]
    return whole.command("ffmpeg", tail)


def _graphs(
    job: ffmpeg.Job, source: Inspection | None, planned: Sequence[rungs.Planned], encoder: codecs.Encoder
) -> list[str]:
    """One; but FFmpeg 9.0.2 hands what HDR says of its display to the first encoder of a graph only. Those that are not told in
    their own words get a graph each."""
    video = None if source is None else source.main_video
    plans = [picture.plan(rung.spec, video) for rung in planned]
    said = plans[0].coloured
    if not (said.mastering or said.light_level) or colour.encoder_params(said, encoder.name):
        return [_cascade(job, planned, plans, encoder)]
    return [
        f"[{job.video_stream}]"
        + (",".join([*job.timing.video_filters, *plan.filters, *encoder.picture(plan.pixel_format)[0]]) or "null")
        + f"[out{index}]"
        for index, plan in enumerate(plans)
    ]


def _cascade(
    job: ffmpeg.Job, planned: Sequence[rungs.Planned], plans: Sequence[picture.Picture], encoder: codecs.Encoder
) -> str:
    """`[0:0]scale=…,split=2[made0][next0];[made0]format=…[out0];[next0]scale=…`: each size from the next larger one. What
    changes the picture otherwise (fields, HDR) is done once, before the first split."""
    stream, parts = job.video_stream, []
    for index, (rung, plan) in enumerate(zip(planned, plans, strict=True)):
        chain = [*job.timing.video_filters, *plan.filters]
        if index:
            scale = f"scale={rung.width}:{rung.height}:flags=bicubic"
            chain = [scale, *plan.shaping[1:], *plan.coloured.labels]
        last, _ = encoder.picture(plan.pixel_format)
        if index == len(planned) - 1:
            parts.append(f"[{stream}]{','.join([*chain, *last]) or 'null'}[out{index}]")
        else:
            made = f"[made{index}]" if last else f"[out{index}]"
            parts.append(f"[{stream}]{','.join([*chain, 'split=2'])}{made}[next{index}]")
            parts += [f"{made}{','.join(last)}[out{index}]"] if last else []
            stream = f"next{index}"
    return ";".join(parts)


def _keyframes(spec: Spec, job: ffmpeg.Job, encoder: codecs.Encoder) -> tuple[list[str], codecs.Params]:
    seconds = spec.segment_seconds if spec.gop_seconds is None else spec.gop_seconds
    if encoder.name == _COUNTS:
        count = max(1, round(seconds * (job.timing.rate or picture.GENERATED_RATE)))
        return [*opt("-g", count), *opt("-keyint_min", count)], ()
    arguments, params = _CLOSED.get(encoder.name, ((), ()))
    # not `n_forced`: after a gap of several segments each frame would be forced until it has caught up
    now, last = (f"floor(({one}+{number(_EARLY_SECONDS)})/{number(seconds)})" for one in ("t", "prev_forced_t"))
    when = f"expr:isnan(prev_forced_t)+gt({now},{last})"
    return ["-force_key_frames:v", when, *opt("-g", _NEVER), *arguments], params


def _muxing(spec: Spec, fragments: str) -> list[str]:
    muxer = codecs.MUXERS[spec.container]
    flags = fragments if spec.packaged else "+faststart"
    return [
        *(["-movflags", flags] if spec.container is Container.MP4 else []),
        *opt("-max_muxing_queue_size", ffmpeg.MUXING_QUEUE),
        *opt("-f", muxer),
    ]


def samples(
    spec: Spec,
    source: Inspection,
    top: rungs.Planned,
    *,
    tools: Tools,
    input_path: Path,
    scratch: Path,
    encoder: str,
    use: hardware.Use | None = None,
    threads: int | None = None,
) -> list[tuple[Command, Path]]:
    """Commands that encode parts of the largest rung without a cap, the file of each. None for a
    source that is too short to be worth it, or whose length is not known."""
    video = source.main_video
    length = None if video is None else video.duration_seconds
    if video is None or length is None or length < SAMPLED_SECONDS or spec.start > 0 or spec.duration is not None:
        return []
    free = msgspec.structs.replace(
        top.spec,
        rate=msgspec.structs.replace(top.spec.rate, max_bitrate_bps=None),
        audio=Audio(codec=AudioCodec.NONE),
        subtitles=Tracks(pick=Pick.NONE),
        keep_metadata=False,
        container=Container.MKV,
        fps=None,
    )
    made = []
    for index, share in enumerate(_SAMPLES_AT):
        path = scratch / f"sample{index}.mkv"
        job = ffmpeg.Job(free, source, tools, input_path, path, scratch, choice.BY_NAME[encoder], use, threads)
        tail = [*job.video(), "-an", *opt("-t", SAMPLE_SECONDS), "-f", codecs.MUXERS[Container.MKV], f"file:{path}"]
        limited = job.command("ffmpeg sample", tail)
        at = limited.argv.index("-i")
        argv = (*limited.argv[:at], "-ss", number(round(length * share, 3)), *limited.argv[at:])
        made.append((msgspec.structs.replace(limited, argv=argv), path))
    return made


def thumbnails(
    spec: Spec, asked: Thumbnails, track: boxes.Track, video: VideoStream | None, *, tools: Tools, made: Path
) -> tuple[Command, "Sheets"]:
    """Sheets of small pictures of a rung that was made, beside it. HDR is tone-mapped: JPEG has none. `video`: the source's."""
    count = max(1, math.ceil(track.end_seconds / asked.interval_seconds - _TAIL))
    size = track.width, track.height
    width = min(asked.width, size[0] & ~1)
    height = max(2, 2 * round(width * size[1] / size[0] / 2))
    columns = min(COLUMNS, count)
    rows = min(ROWS, -(-count // columns))
    # what is shown at each moment; one more, so that the last sheet is there however the end is rounded
    chosen = (f"fps=1/{number(asked.interval_seconds)}:start_time=0:round=up", "tpad=stop=1:stop_mode=clone")
    hdr = video is not None and track.transfer in codec_names.HDR
    mapped = colour.tonemapping(video, PixelFormat.YUV420P) if hdr and video is not None else ()
    drawn = (f"scale={width}:{height}:flags=bicubic", "setsar=1", *mapped, f"tile={columns}x{rows}")
    filters = ",".join((*chosen, *drawn))
    argv = [tools.ffmpeg, *GLOBALS]
    argv += [*whitelist.ARGUMENTS, "-i", f"file:{made}", "-an", "-filter:v", filters, "-fps_mode:v", "passthrough"]
    argv += [*opt("-frames:v", -(-count // (columns * rows))), "-pix_fmt", "yuvj420p", "-q:v", "4"]
    argv += ["-f", "image2", "file:thumbs-%03d.jpg"]  # in its directory, whose own name may have a `%`
    sheets = Sheets(
        count=count,
        columns=columns,
        rows=rows,
        width=width,
        height=height,
        interval_seconds=asked.interval_seconds,
        seconds=track.end_seconds,
    )
    command = Command(
        name="ffmpeg thumbnails",
        argv=tuple(argv),
        cwd=made.parent,
        limits=bounds.limits(spec.limits, (made.parent,)),
        reads=(made,),
        writes=(made.parent,),
    )
    return command, sheets


class Sheets(msgspec.Struct, frozen=True, kw_only=True):
    """How thumbnails lie on their sheets."""

    count: int
    columns: int
    rows: int
    width: int
    height: int
    interval_seconds: float
    seconds: float

    def webvtt(self) -> str:
        """A cue for each picture: `thumbs-001.jpg#xywh=160,0,160,90` (W3C Media Fragments)."""
        lines = ["WEBVTT", ""]
        for index in range(self.count):
            sheet, place = divmod(index, self.columns * self.rows)
            row, column = divmod(place, self.columns)
            begin = index * self.interval_seconds
            end = begin + self.interval_seconds if index + 1 < self.count else self.seconds
            where = f"{column * self.width},{row * self.height},{self.width},{self.height}"
            lines += [f"{_clock(begin)} --> {_clock(end)}", f"thumbs-{sheet + 1:03d}.jpg#xywh={where}", ""]
        return "\n".join(lines)


def _clock(seconds: float) -> str:
    whole, thousandths = divmod(round(seconds * 1000), 1000)
    return f"{whole // 3600:02d}:{whole % 3600 // 60:02d}:{whole % 60:02d}.{thousandths:03d}"
