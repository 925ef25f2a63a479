"""Spec → the ffmpeg command lines that do it. Pure: tests assert the whole argv.

Rules that hold for every command, each against an attack or a trap that was seen (docs/media.md): no stdin, `file:` before each
path, protocols, containers and decoders whitelisted, pictures bounded, the muxer named, only typed values in flags and filters.
"""

from pathlib import Path

from ffrtmp.domain.command import Command, CommandLimits
from ffrtmp.domain.spec import Codec, Container, InputKind, RateMode, Spec
from ffrtmp.media import audio, choice, codecs, hardware, picture, timing, whitelist
from ffrtmp.media.arguments import number, opt
from ffrtmp.media.inspection import Inspection
from ffrtmp.media.tools import Tools

_PASSLOG = "ffmpeg2pass"
#: more packets may wait for the other stream than by default: sound may start long before the picture
_MUXING_QUEUE = "4096"
#: at SIGTERM FFmpeg first encodes what it has read (seconds with x264's slow presets), into a file that nobody will have
_STOP_GRACE_SECONDS = 0.5


def build(
    spec: Spec,
    source: Inspection | None,
    *,
    tools: Tools,
    input_path: Path | None,
    output_path: Path,
    scratch: Path,
    encoder: str,
    use: hardware.Use | None = None,
    threads: int | None = None,
) -> list[Command]:
    """One command, or two for two passes, to be run in order. Paths must be absolute.

    `source` is the input's inspection, made with the spec's start and duration; None only for a generated input.
    `output_path` is a temporary name: it is overwritten. Each command has the spec's limits, `wall_seconds` among them: who
    runs two passes gives the second what the first has left.
    `use`: what of a GPU, for an encoder that needs one.
    Raises TaskError when this input cannot become that output.
    """
    job = _Job(spec, source, tools, input_path, output_path, scratch, choice.BY_NAME[encoder], use, threads)
    if spec.rate.mode is not RateMode.TWO_PASS:
        return [job.command("ffmpeg", [*job.video(), *job.sound(), *job.output()])]
    log = str(scratch / _PASSLOG)
    first = [*job.video(), "-pass", "1", "-passlogfile", log, "-an", "-f", "null", "-"]
    second = [*job.video(), "-pass", "2", "-passlogfile", log, *job.sound(), *job.output()]
    return [job.command("ffmpeg pass 1", first), job.command("ffmpeg pass 2", second)]


class _Job:
    """The parts of a command line."""

    def __init__(
        self,
        spec: Spec,
        source: Inspection | None,
        tools: Tools,
        input_path: Path | None,
        output_path: Path,
        scratch: Path,
        encoder: codecs.Encoder,
        use: hardware.Use | None,
        threads: int | None,
    ) -> None:
        self._generated = spec.input.kind is InputKind.GENERATE
        if not self._generated and (source is None or input_path is None):
            raise ValueError("an input that is not generated needs its inspection and its path")
        if (encoder.hwaccel is None) is not (use is None):
            raise ValueError(f"{encoder.name} {'needs' if use is None else 'has no use for'} a GPU")
        self._spec = spec
        self._tools = tools
        self._input = input_path
        self._output = output_path
        self._scratch = scratch
        self._encoder = encoder
        self._use = use
        self._threads = threads
        self._source = None if self._generated else source
        self._stream = self._source.main_video if self._source else None
        self._timing = timing.plan(spec, self._source)
        self._picture = picture.plan(spec, self._stream)
        self._audio = audio.plan(spec, self._source)

    def command(self, name: str, tail: list[str]) -> Command:
        limits = self._spec.limits
        return Command(
            name=name,
            argv=(self._tools.ffmpeg, *self._globals(), *self._device(), *self._inputs(), *tail),
            env=self._encoder.env,
            cwd=self._scratch,
            limits=CommandLimits(
                wall_seconds=limits.timeout_seconds,
                stall_seconds=limits.stall_seconds,
                disk_bytes=limits.max_disk_bytes,
                cpu_percent=limits.max_cpu_percent,
                memory_bytes=limits.max_memory_bytes,
                watch=(self._scratch, self._output),
                stop_grace_seconds=_STOP_GRACE_SECONDS,
            ),
            reads=(self._input,) if self._input else (),
            writes=(self._scratch, self._output.parent),
        )

    def _globals(self) -> list[str]:
        quiet = ["-nostdin", "-hide_banner", "-nostats", "-v", "warning"]
        return [*quiet, "-y", "-progress", "pipe:1", "-stats_period", "0.5"]

    def _device(self) -> list[str]:
        family = self._encoder.hwaccel
        return [] if family is None or self._use is None else hardware.device_arguments(family, self._use.device)

    def _inputs(self) -> list[str]:
        if self._generated:
            return self._lavfi()
        return [
            *whitelist.ARGUMENTS,
            *opt("-threads", self._threads),
            *self._decoder(),
            *self._timing.input_arguments,
            "-i",
            f"file:{self._input}",
        ]

    def _decoder(self) -> list[str]:
        family, use = self._encoder.hwaccel, self._use
        return [] if family is None or use is None or not use.decode else hardware.decode_arguments(family, use.device)

    def _lavfi(self) -> list[str]:
        """The only place where the lavfi demuxer is let in, with text that is made of numbers."""
        spec = self._spec
        seconds = number(spec.duration or timing.GENERATED_SECONDS)
        width, height = picture.generated_size(spec)
        rate = picture.fraction(picture.generated_rate(spec))
        made = [f"testsrc2=size={width}x{height}:rate={rate}:duration={seconds}"]
        if self._audio.codec is not None:
            made.append(f"sine=frequency=440:beep_factor=4:sample_rate={audio.GENERATED_RATE}:duration={seconds}")
        return [part for text in made for part in ("-f", "lavfi", "-i", text)]

    def video(self) -> list[str]:
        spec, plan, encoder = self._spec, self._picture, self._encoder
        last, pixels = encoder.picture(plan.pixel_format)
        filters = [*self._timing.video_filters, *plan.filters, *last]
        gop = None
        if spec.gop_seconds is not None:
            gop = max(1, round(spec.gop_seconds * (self._timing.rate or picture.GENERATED_RATE)))
        return [
            *opt("-map", f"0:{self._stream.index}" if self._stream else "0:v:0"),
            *opt("-filter:v", ",".join(filters) or None),
            *opt("-c:v", encoder.name),
            *([] if self._use is None else hardware.encode_arguments(encoder, self._use)),
            *encoder.preset(spec.preset, spec.rate.mode is RateMode.TWO_PASS),
            *encoder.tune(spec.tune),
            *encoder.profile(spec.profile),
            *encoder.rate(spec.rate),
            *pixels,
            *opt("-g", gop),
            *codecs.private(encoder, spec, self._threads),
            *self._timing.encode_arguments,
        ]

    def sound(self) -> list[str]:
        plan = self._audio
        if plan.codec is None:
            return ["-an"]
        filters = [*self._timing.audio_filters, *plan.filters]
        return [
            *opt("-map", "1:a:0" if plan.stream is None else f"0:{plan.stream}"),
            *opt("-filter:a", ",".join(filters) or None),
            *plan.arguments,
        ]

    def output(self) -> list[str]:
        """Subtitles and data are not carried: nothing maps them. Chapters would point to the wrong places after a cut."""
        spec = self._spec
        mp4 = spec.container is Container.MP4
        return [
            *([] if spec.keep_metadata else ["-map_metadata", "-1"]),
            *(["-map_chapters", "-1"] if self._timing.cut or not spec.keep_metadata else []),
            *(["-tag:v", "hvc1"] if mp4 and spec.codec is Codec.H265 else []),
            *(["-movflags", "+faststart"] if mp4 else []),
            *opt("-max_muxing_queue_size", _MUXING_QUEUE),
            *opt("-f", codecs.MUXERS[spec.container]),
            f"file:{self._output}",
        ]
