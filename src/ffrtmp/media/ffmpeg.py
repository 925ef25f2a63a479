"""Spec → the ffmpeg command lines that do it. Pure: tests assert the whole argv.

Rules that hold for every command, each against an attack or a trap that was seen (docs/media.md): no stdin, `file:` before each
path, protocols, containers and decoders whitelisted, pictures bounded, the muxer named, only typed values in flags and filters.
"""

from collections.abc import Sequence
from pathlib import Path

from ffrtmp.domain.command import Command
from ffrtmp.domain.spec import Codec, Container, InputKind, RateMode, Spec
from ffrtmp.media import (
    audio,
    bounds,
    choice,
    codecs,
    colour,
    extras,
    hardware,
    interlace,
    loudness,
    picture,
    subtitles,
    timing,
    whitelist,
)
from ffrtmp.media.arguments import GLOBALS, number, opt
from ffrtmp.media.inspection import Inspection
from ffrtmp.media.tools import Tools

_PASSLOG = "ffmpeg2pass"
#: more packets may wait for the other stream than by default: sound may start long before the picture
MUXING_QUEUE = "4096"


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
    measured: Sequence[loudness.Measured] = (),
) -> list[Command]:
    """One command, or two for two passes, to be run in order. Paths must be absolute.

    `source` is the input's inspection, made with the spec's start and duration; None only for a generated input.
    `output_path` is a temporary name: it is overwritten. Each command has the spec's limits, `wall_seconds` among them: who
    runs two passes gives the second what the first has left.
    `use`: what of a GPU, for an encoder that needs one. `measured` is what the commands of `measuring` found, for a job that
    asks for a loudness.
    Raises TaskError when this input cannot become that output.
    """
    job = Job(spec, source, tools, input_path, output_path, scratch, choice.BY_NAME[encoder], use, threads, measured)
    if spec.rate.mode is not RateMode.TWO_PASS:
        return [job.command("ffmpeg", [*job.video(), *job.sound(), *job.output()])]
    log = str(scratch / _PASSLOG)
    first = [*job.video(), "-pass", "1", "-passlogfile", log, "-an", "-f", "null", "-"]
    second = [*job.video(), "-pass", "2", "-passlogfile", log, *job.sound(), *job.output()]
    return [job.command("ffmpeg pass 1", first), job.command("ffmpeg pass 2", second)]


def measuring(
    spec: Spec,
    source: Inspection | None,
    *,
    tools: Tools,
    input_path: Path | None,
    output_path: Path,
    scratch: Path,
    threads: int | None = None,
) -> list[Command]:
    """A command for each audio track of the output that prints its loudness before the encode (`loudness.read`); none where
    the job asks for none."""
    # no encoder: what it listens to is decoded only
    job = Job(spec, source, tools, input_path, output_path, scratch, codecs.ENCODERS[0], None, threads)
    return [job.command("ffmpeg loudness", tail) for tail in job.listening()]


def preparing(
    spec: Spec, source: Inspection | None, *, tools: Tools, input_path: Path | None, scratch: Path
) -> list[Command]:
    """The commands that must run first, because one of FFmpeg cannot do it all: they make the files in `scratch` that `build`
    reads. No filter cuts subtitles, so they are cut into a file of their own; a cover is attached to Matroska from a file."""
    if input_path is None:
        return []
    made: list[tuple[str, list[str]]] = []
    original = [*whitelist.ARGUMENTS, "-i", f"file:{input_path}"]
    texts = subtitles.plan(spec, source)
    if texts.cut:
        whole, cut = (f"file:{scratch / name}" for name in (subtitles.WHOLE, subtitles.CUT))
        chosen = [*opt("-ss", spec.start), *opt("-t", spec.duration), "-avoid_negative_ts", "disabled"]
        if convert := subtitles.converting(texts.tracks):
            made.append(("ffmpeg subtitles", [*original, *convert, "-f", "matroska", whole]))
            # FFmpeg 9 does not move the times of subtitles that it cuts and converts at once
            made.append(("ffmpeg subtitles cut", ["-copyts", "-i", whole, "-map", "0", "-c", "copy", *chosen]))
        else:
            made.append(("ffmpeg subtitles cut", [*original, *subtitles.mapped(texts.tracks), "-c", "copy", *chosen]))
        made[-1][1].extend(["-f", "matroska", cut])
    for cover, path in extras.attached_covers(extras.plan(spec, source), scratch):
        one = [
            "-map",
            f"0:{cover.index}",
            "-c",
            "copy",
            "-frames:v",
            "1",
            "-update",
            "1",
            "-f",
            "image2",
            f"file:{path}",
        ]
        made.append(("ffmpeg cover", [*original, *one]))
    return [
        Command(
            name=name,
            argv=(tools.ffmpeg, *GLOBALS, *tail),
            cwd=scratch,
            limits=bounds.limits(spec.limits, (scratch,)),
            reads=(input_path,),
            writes=(scratch,),
        )
        for name, tail in made
    ]


def measuring_output(spec: Spec, made: Path, tracks: int, *, tools: Tools) -> list[Command]:
    """The same for the tracks of the output."""
    if spec.audio.loudness is None:
        return []
    heard = loudness.measuring(spec.audio.loudness)
    inputs = (*whitelist.ARGUMENTS, "-i", f"file:{made}")
    return [
        Command(
            name="ffmpeg loudness",
            argv=(tools.ffmpeg, *GLOBALS, *inputs, *_listen(f"0:a:{track}", heard)),
            cwd=made.parent,
            limits=bounds.limits(spec.limits, ()),
            reads=(made,),
        )
        for track in range(tracks)
    ]


def _listen(stream: str, *filters: str) -> list[str]:
    """To the report of its filter, which is of the level `info`."""
    return ["-map", stream, "-filter:a", ",".join(filters), "-v", "info", "-f", "null", "-"]


class Job:
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
        measured: Sequence[loudness.Measured] = (),
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
        self._audio = audio.plan(spec, self._source, measured)
        self._subtitles = subtitles.plan(spec, self._source)
        self._extras = extras.plan(spec, self._source)

    def command(self, name: str, tail: list[str]) -> Command:
        return Command(
            name=name,
            argv=(self._tools.ffmpeg, *GLOBALS, *self._device(), *self._inputs(), *tail),
            env=self._encoder.env,
            cwd=self._scratch,
            limits=bounds.limits(self._spec.limits, (self._scratch, self._output)),
            reads=(self._input,) if self._input else (),
            writes=(self._scratch, self._output.parent),
        )

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
            *(("-i", f"file:{self._scratch / subtitles.CUT}") if self._subtitles.cut else ()),
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
        if self._audio:
            made.append(f"sine=frequency=440:beep_factor=4:sample_rate={audio.GENERATED_RATE}:duration={seconds}")
        return [part for text in made for part in ("-f", "lavfi", "-i", text)]

    def video(self) -> list[str]:
        plan = self._picture
        filters = [*self._timing.video_filters, *plan.filters, *self._encoder.picture(plan.pixel_format)[0]]
        gop = None
        if self._spec.gop_seconds is not None:
            gop = max(1, round(self._spec.gop_seconds * (self._timing.rate or picture.GENERATED_RATE)))
        chosen = [*opt("-map", self.video_stream), *opt("-filter:v", ",".join(filters) or None)]
        return [*self._of_film(chosen), *self.coding(opt("-g", gop))]

    @property
    def video_stream(self) -> str:
        return f"0:{self._stream.index}" if self._stream else "0:v:0"

    @property
    def timing(self) -> timing.Timing:
        return self._timing

    def coding(self, keyframes: list[str], params: codecs.Params = ()) -> list[str]:
        """The encoder with everything that it is told, but the picture's filters. `params`: more of its own."""
        spec, plan, encoder = self._spec, self._picture, self._encoder
        return self._of_film(
            [
                *opt("-c:v", encoder.name),
                *([] if self._use is None else hardware.encode_arguments(encoder, self._use)),
                *encoder.preset(spec.preset, spec.rate.mode is RateMode.TWO_PASS),
                *encoder.tune(spec.tune),
                *encoder.profile(spec.profile),
                *encoder.rate(spec.rate),
                *encoder.picture(plan.pixel_format)[1],
                *keyframes,
                *interlace.encode_arguments(interlace.plan(spec, self._stream), encoder.name),
                *codecs.private(
                    encoder, spec, self._threads, (*colour.encoder_params(plan.coloured, encoder.name), *params)
                ),
                *self._timing.encode_arguments,
            ]
        )

    def _of_film(self, made: list[str]) -> list[str]:
        return extras.film_only(made) if self._extras.copied_covers else made

    def sound(self, more: tuple[str, ...] = ()) -> list[str]:
        """`more`: further filters, for tracks that are not copied."""
        return audio.arguments(self._audio, self._timing.audio_filters, more)

    def listening(self) -> list[list[str]]:
        return [
            _listen(
                "1:a:0" if track.source is None else f"0:{track.source.index}",
                *self._timing.audio_filters,
                *audio.measuring_filters(self._spec, track),
            )
            for track in self._audio
            if self._spec.audio.loudness is not None
        ]

    def text(self, number: int) -> list[str]:
        """One subtitle track of the plan, alone."""
        return subtitles.alone(self._subtitles, number)

    def output(self) -> list[str]:
        """What comes beside picture and sound, and the container."""
        return [
            *self.beside(),
            *(["-movflags", "+faststart"] if self._spec.container is Container.MP4 else []),
            # into a pipe, where nothing can be filled in later, and each packet is waited for
            *(["-flvflags", "no_duration_filesize", "-flush_packets", "1"] if self._spec.target else []),
            *opt("-max_muxing_queue_size", MUXING_QUEUE),
            *opt("-f", codecs.MUXERS[self._spec.container]),
            f"file:{self._output}",
        ]

    def beside(self) -> list[str]:
        """Subtitles, covers, fonts, what is told of them. Data streams are not carried: nothing maps them."""
        spec = self._spec
        return [
            *subtitles.arguments(self._subtitles, spec.keep_metadata),
            *extras.arguments(self._extras, self._scratch),
            *([] if spec.keep_metadata else ["-map_metadata", "-1"]),
            *(["-map_chapters", "-1"] if self._timing.cut or not spec.keep_metadata else []),
            *(
                ["-tag:v:0" if self._extras.copied_covers else "-tag:v", "hvc1"]
                if spec.container is Container.MP4 and spec.codec is Codec.H265
                else []
            ),
        ]
