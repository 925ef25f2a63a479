"""Samples of an input, on which a CRF is tried: many short ones, spread evenly, in one file. Pure: tests assert the whole argv.

The pictures in that file are what the job's encoder would be given (its part, rate and size, deinterlaced, tone-mapped), kept
without loss, so that trying a CRF costs neither seeking nor filters again. How many and how long was measured (docs/media.md):
many short samples catch more scenes, but each begins with a key frame and ends where the encoder cannot look ahead any more.
"""

import math
from collections.abc import Callable, Sequence
from pathlib import Path

import msgspec

from ffrtmp.domain.command import Command
from ffrtmp.domain.spec import (
    Audio,
    AudioCodec,
    Container,
    Deinterlace,
    Input,
    InputKind,
    Pick,
    Rate,
    RateMode,
    Spec,
    Tracks,
    VerifyLevel,
)
from ffrtmp.media import bounds, picture, timing, whitelist
from ffrtmp.media.arguments import GLOBALS, opt
from ffrtmp.media.inspection import Inspection
from ffrtmp.media.tools import Tools

#: frames of one sample: with 12 the ends of samples cost libx264 0.7 to 1.2 VMAF, with 24 from 0.2 to 0.5 (docs/media.md)
FRAMES = 24
#: those of a sample whose VMAF counts: the encoder gives its last ones few bits, as it sees nothing that builds on them (down to -4
#: VMAF; docs/media.md)
_COUNTED = range(16)
#: what their VMAF lacks of the whole's all the same: of three films in five cases each 0.22 in the mean, from -0.14 to 0.58
LACK = 0.2
#: VMAF of one frame in so many. No divisor of `FRAMES`: of every third frame the mean was 0.5 off, as all samples had the same ones
EVERY = 5
#: the part of all frames that is looked at, within bounds; a clip of which it would be half or more is taken whole
_SHARE = 0.2
_FEWEST, _MOST = 8, 60
#: of all samples together: 1200 frames of 1920x1080
_MOST_PIXELS = 2_500_000_000
#: as they are while they are so few bytes, as nothing is faster to read; else compressed to half by what is nearly as fast (FFV1
#: makes them smaller still, and took three times as long to read as libx264's fastest preset to encode)
_MOST_RAW_BYTES = 500_000_000
_RAW, _COMPRESSED = ("rawvideo",), ("ffvhuff", "-pred", "median")
#: of so many samples one is enough to come near
_OF_WHICH_FEW = 4
#: a variable rate may be slower than its mean just there
_LENGTH_MARGIN, _LENGTH_SECONDS = 1.5, 0.5
#: FFmpeg decodes all inputs of a command at once, each with pictures of its own in memory: so many pixels of them, 16 of 1280x720
_OPEN_PIXELS = 16 * 1280 * 720
#: FFmpeg seeks 3/23 s earlier than it is told, where a demuxer seeks by decoding times (fftools/ffmpeg_demux.c): not to the
#: keyframe before
_BEHIND_KEYFRAME = 0.14
ALL, FEW = "samples.mkv", "samples-few.mkv"


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """`starts`: seconds after the file's start, those of the few first; none: the clip is taken whole."""

    starts: tuple[float, ...] = ()
    few: int = 0  #: the first so many are enough to come near; 0: there are too few of them
    rate: float = 0.0  #: frames per second, about
    frames: int | None = None  #: of all together, about

    @property
    def count(self) -> int:
        return len(self.starts) or 1


def plan(spec: Spec, source: Inspection) -> Plan:
    """Raises TaskError: see `timing.plan`."""
    planned = timing.plan(spec, source)
    frames, seconds = planned.frames, planned.video_seconds
    if not frames or not seconds:
        return Plan(frames=frames)  # a raw stream: there is nowhere to seek to
    shown = picture.plan(spec, source.main_video)
    able = _MOST_PIXELS // (FRAMES * shown.width * shown.height)
    count = max(min(round(_SHARE * frames / FRAMES), _MOST, able), _FEWEST)
    rate = frames / seconds
    if 2 * count * FRAMES >= frames:
        return Plan(rate=rate, frames=frames)
    slot, length = seconds / count, FRAMES / rate
    begins = [_begin(source, spec.start + index * slot, slot - length) for index in range(count)]
    first = begins[_OF_WHICH_FEW // 2 :: _OF_WHICH_FEW]
    return Plan(
        starts=(*first, *(begin for begin in begins if begin not in first)),
        few=len(first),
        rate=rate,
        frames=count * FRAMES,
    )


def _begin(source: Inspection, earliest: float, room: float) -> float:
    """Seconds after the file's start. What lies before it since the last keyframe must be decoded too: so it is behind the keyframe
    that is nearest to the middle, or else early; but not far from the middle, as an even spread says the most of the whole."""
    video = source.main_video
    if video is None or not video.keyframe_times:
        return round(earliest + room / 2, 3)
    behind = [at - source.start_seconds + _BEHIND_KEYFRAME for at in video.keyframe_times]
    within = [begin for begin in behind if abs(begin - earliest - room / 2) <= room / 4]
    chosen: float = min(within, key=lambda begin: abs(begin - earliest - room / 2), default=earliest + room / 4)
    return round(chosen, 3)


def counts(frame: int) -> bool:
    """Whether its VMAF says what it has in the whole; `frame`: its number in `ALL` or `FEW`."""
    return frame % FRAMES in _COUNTED


def extract(
    spec: Spec, source: Inspection, planned: Plan, *, tools: Tools, input_path: Path, scratch: Path, threads: int | None
) -> list[Command]:
    """Make `ALL` under `scratch`, and `FEW` where the plan has few, when they are run in order. Paths must be absolute."""
    video = source.main_video
    assert video is not None
    shown = picture.plan(spec, video)
    raw_bytes = (planned.frames or 0) * shown.width * shown.height * (3 if video.bits > 8 else 1.5)
    small = planned.frames and raw_bytes <= _MOST_RAW_BYTES
    # Matroska has no name for raw pictures of more than eight bits
    codec = _RAW if small and video.bits <= 8 else _COMPRESSED
    before = (*whitelist.ARGUMENTS, *opt("-threads", threads))

    def command(*arguments: str) -> Command:
        return Command(
            name="ffmpeg samples",
            argv=(tools.ffmpeg, *GLOBALS, *arguments),
            cwd=scratch,
            limits=bounds.limits(spec.limits, (scratch,)),
            reads=(input_path,),
            writes=(scratch,),
        )

    def kept(name: str) -> tuple[str, ...]:
        return ("-an", "-sn", "-dn", "-c:v", *codec, "-f", "matroska", f"file:{scratch / name}")

    if not planned.starts:
        taken = timing.plan(spec, source)
        filters = opt("-filter:v", ",".join([*taken.video_filters, *shown.filters]) or None)
        inputs = (*before, *taken.input_arguments, "-i", f"file:{input_path}")
        return [command(*inputs, "-map", f"0:{video.index}", *filters, *taken.encode_arguments, *kept(ALL))]

    # what is chosen by seeking must not be chosen once more by times
    taken = timing.plan(
        msgspec.structs.replace(spec, start=0.0, duration=None), msgspec.structs.replace(source, window=None)
    )
    each = [*taken.video_filters, *shown.filters, f"trim=end_frame={FRAMES}", "setpts=PTS-STARTPTS"]
    length = FRAMES / planned.rate
    length = length + 2 / planned.rate if video.constant_rate else _LENGTH_MARGIN * length + _LENGTH_SECONDS
    sought = [
        (*before, *opt("-ss", start), *opt("-t", round(length, 3)), "-i", f"file:{input_path}")
        for start in planned.starts
    ]
    together = max(_OPEN_PIXELS // (video.width * video.height), 1)
    if len(sought) <= together:
        return [command(*_joined(sought, video.index, each, planned, kept))]
    parts = [sought[first : first + together] for first in range(0, len(sought), together)]
    names = [f"samples-{number}.mkv" for number in range(len(parts))]
    made = [(*whitelist.ARGUMENTS, "-i", f"file:{scratch / name}") for name in names]
    return [
        *(
            command(
                *_inputs(part),
                "-filter_complex",
                f"{_chains(part, video.index, each, planned)}[all]",
                "-map",
                "[all]",
                *kept(name),
            )
            for part, name in zip(parts, names, strict=True)
        ),
        command(*_joined(made, 0, ["null"], planned, kept)),
    ]


def _joined(
    inputs: Sequence[Sequence[str]],
    stream: int,
    filters: Sequence[str],
    planned: Plan,
    kept: Callable[[str], tuple[str, ...]],
) -> list[str]:
    """All of them, and the few once more."""
    few = f"[more]trim=end_frame={planned.few * FRAMES}[few]"
    graph = f"{_chains(inputs, stream, filters, planned)},split=2[all][more];{few}"
    return [*_inputs(inputs), "-filter_complex", graph, "-map", "[all]", *kept(ALL), "-map", "[few]", *kept(FEW)]


def _inputs(inputs: Sequence[Sequence[str]]) -> list[str]:
    return [argument for one in inputs for argument in one]


def _chains(inputs: Sequence[Sequence[str]], stream: int, filters: Sequence[str], planned: Plan) -> str:
    """One after another on one steady clock."""
    count = len(inputs)
    chains = [f"[{index}:{stream}]{','.join(filters)}[s{index}]" for index in range(count)]
    joined = "".join(f"[s{index}]" for index in range(count))
    clock = f"setpts=N/({planned.rate:.6f}*TB),fps={planned.rate:.6f}"
    return ";".join([*chains, f"{joined}concat=n={count}:v=1:a=0,{clock}"])


def tried(spec: Spec, sample: Path, crf: float) -> Spec:
    """The job, for samples as they are: what was done to the picture is done."""
    return msgspec.structs.replace(
        spec,
        input=Input(kind=InputKind.FILE, path=str(sample)),
        output=None,
        container=Container.MKV,
        rate=Rate(mode=RateMode.CRF, crf=crf, max_bitrate_bps=spec.rate.max_bitrate_bps),
        start=0.0,
        duration=None,
        resolution=None,
        fps=None,
        deinterlace=Deinterlace.OFF,
        audio=Audio(codec=AudioCodec.NONE),
        subtitles=Tracks(pick=Pick.NONE),
        verify=VerifyLevel.STANDARD,
    )


def seconds(found: Inspection) -> float:
    """How long the samples of a file last."""
    video = found.main_video
    length = video.duration_seconds if video else None
    return length or math.inf
