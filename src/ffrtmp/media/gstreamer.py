"""Spec → the gst-launch-1.0 command lines that do it. Pure: tests assert the whole argv.

The description of a pipeline is a language of its own, which unquotes values twice. So no path stands in it: `links` names the
input and the output by fixed names in scratch, where the command runs. All else is numbers and names from tables.
"""

from pathlib import Path

from ffrtmp.domain import gstreamer as limits
from ffrtmp.domain.command import Command
from ffrtmp.domain.spec import AudioCodec, Codec, Container, InputKind, RateMode, Spec
from ffrtmp.media import (
    audio,
    bounds,
    extras,
    failures,
    gst_encoders,
    gst_sources,
    interlace,
    picture,
    subtitles,
    timing,
)
from ffrtmp.media.gst_sources import unable
from ffrtmp.media.inspection import Inspection
from ffrtmp.media.tools import Tools

_SOURCE = "source"
_MADE = "made"
#: names of what reports frames, before the encoder and behind it, of each pass; see `gst_progress`
REPORT_IN, REPORT_OUT = "frames-in", "frames-out"
_SAMPLES_PER_BUFFER = audio.GENERATED_RATE // 100
#: encoder and parser
AUDIO_ENCODERS = {AudioCodec.AAC: ("avenc_aac", "aacparse"), AudioCodec.OPUS: ("opusenc", "opusparse")}
#: Opus has one layout for each number of channels (RFC 7845), as the masks of Microsoft's WAVEFORMATEXTENSIBLE
_OPUS_MASKS = {3: "0x7", 4: "0x33", 5: "0x37", 6: "0x3f", 7: "0x70f", 8: "0x63f"}
#: primaries, transfer, matrix → GStreamer's; what its scaler is not told it takes for what is usual at the new size
_COLORIMETRY = {
    ("bt709", "bt709", "bt709"): "bt709",
    ("smpte170m", "smpte170m", "smpte170m"): "bt601",
    ("bt470bg", "smpte170m", "bt470bg"): "2:4:16:3",
}
_TURNS = {0: None, 90: "clockwise", 180: "rotate-180", 270: "counterclockwise"}


def links(scratch: Path, input_path: Path | None, output_path: Path) -> dict[Path, Path]:
    """Link → where it leads; they must be there before the commands run."""
    made = {scratch / _MADE: output_path}
    return made if input_path is None else {scratch / _SOURCE: input_path, **made}


def build(
    spec: Spec,
    source: Inspection | None,
    *,
    tools: Tools,
    input_path: Path | None,
    output_path: Path,
    scratch: Path,
    encoder: str,
    threads: int | None = None,
) -> list[Command]:
    """One command, or two for two passes; as `ffmpeg.build`, and `links` must be made. Raises TaskError when this input cannot
    become that output, or not with GStreamer."""
    if faults := limits.refusals(spec):
        raise unable("cannot do this job: " + "; ".join(f"{fault.path} {fault.message}" for fault in faults))
    pipeline = _Pipeline(spec, source, gst_encoders.BY_NAME[encoder], threads)
    passes = [1, 2] if spec.rate.mode is RateMode.TWO_PASS else [0]
    return [
        Command(
            name=f"gstreamer pass {which}" if which else "gstreamer",
            # -f: without it a crash ends in a loop that waits for a debugger. No -e: with it an error waits for an end of
            # stream that never comes; a file ends by itself, and of a job that is stopped nothing is kept
            argv=(tools.gst_launch, "-q", "-f", *pipeline.description(which)),
            cwd=scratch,
            limits=bounds.limits(spec.limits, (scratch, output_path)),
            reads=(input_path,) if input_path else (),
            writes=(scratch, output_path.parent),
            last_words=failures.GSTREAMER_FAILED,
        )
        for which in passes
    ]


def _named(made: picture.Picture) -> str | None:
    """GStreamer's name of the colours that an unlabelled picture is labelled with; None: it has none."""
    said = made.coloured.colour
    plain = len(made.coloured.filters) == 1 and said.range in ("", "tv")
    return _COLORIMETRY.get((said.primaries, said.transfer, said.matrix)) if plain else None


def _check(spec: Spec, source: Inspection | None, made: picture.Picture) -> None:
    """What FFmpeg would make of an input beside its picture and its sound, and GStreamer cannot. Raises TaskError: an output
    that lacks it is not what was asked."""
    video = source.main_video if source else None
    if source is None or video is None:
        return
    if interlace.plan(spec, video).filter is not None:
        raise unable("does not deinterlace, and the input is interlaced")
    if video.interlaced:
        raise unable("does not encode interlaced pictures as they are")
    if video.colour.hdr is not None:
        raise unable(f"neither keeps nor tone-maps HDR, and the input is {video.colour.hdr}")
    if made.coloured.filters and _named(made) is None:
        raise unable("does not label colours anew, as this picture needs")
    if (spec.codec, made.coloured.colour.matrix) == (Codec.VP9, "bt470bg") or (
        spec.codec,
        made.coloured.colour.range,
    ) == (
        Codec.AV1,
        "pc",
    ):
        what = "the matrix bt470bg" if spec.codec is Codec.VP9 else "full range"
        raise unable(f"loses the label of {what} in {spec.codec}, and players would show wrong colours")
    if carried := subtitles.plan(spec, source).tracks:
        raise unable(f"carries no subtitles, and there are {len(carried)} to carry: set subtitles to none")
    beside = extras.plan(spec, source)
    for count, what in (
        (len(beside.covers), "covers"),
        (len(beside.attachments), "attached files"),
        (beside.chapters, "chapters"),
    ):
        if count:
            raise unable(f"carries no {what}, and the input has {count}")


class _Pipeline:
    """The parts of a description, as argv. `which`: the pass, 0 where there is only one."""

    def __init__(
        self, spec: Spec, source: Inspection | None, encoder: gst_encoders.Encoder, threads: int | None
    ) -> None:
        self._spec = spec
        self._encoder = encoder
        self._threads = threads
        self._source = None if spec.input.kind is InputKind.GENERATE else source
        self._stream = self._source.main_video if self._source else None
        self._timing = timing.plan(spec, self._source)
        self._picture = picture.plan(spec, self._stream)
        tracks = audio.plan(spec, self._source)
        if self._picture.pixel_format not in limits.PIXEL_FORMATS[spec.codec]:
            raise unable(f"does not encode {self._picture.pixel_format} as {spec.codec}; set pixel_format to yuv420p")
        _check(spec, self._source, self._picture)
        if len(tracks) > 1:
            raise unable(f"makes one audio track, not {len(tracks)}; choose one with audio.tracks")
        self._audio = tracks[0] if tracks else None
        heard = self._audio.source if self._audio else None
        self._reader = (
            gst_sources.Reader(self._source, self._stream, heard, threads) if self._source and self._stream else None
        )

    def description(self, which: int) -> list[str]:
        read = [] if self._reader is None else self._reader.open(_SOURCE)
        encode = [*self._frames(), *self._report(REPORT_IN, which), *self._encode(which)]
        if which == 1:
            return [*read, *encode, "!", "fakesink", "sync=false"]
        mux = ["!", "out.", *self._sound(), *gst_encoders.MUXERS[self._spec.container], "name=out"]
        # a stream's server waits for each packet; a file's disk does not
        sink = ["filesink", f"location={_MADE}", *(["buffer-mode=unbuffered"] if self._spec.target else [])]
        return [*read, *encode, *self._report(REPORT_OUT, which), *mux, "!", *sink]

    def _report(self, name: str, which: int) -> list[str]:
        numbered = f"name={name}-{max(which, 1)}"
        return ["!", "progressreport", numbered, "update-freq=1", "do-query=false", "format=buffers"]

    def _frames(self) -> list[str]:
        """Raw pictures of the size, rate and format that are wanted."""
        plan = self._picture
        caps = [f"video/x-raw,format={gst_encoders.FORMATS[plan.pixel_format]}"]
        if self._reader is None:
            rate = picture.fraction(picture.generated_rate(self._spec))
            size = f"width={plan.width},height={plan.height},framerate={rate if '/' in rate else rate + '/1'}"
            made = ["videotestsrc", f"num-buffers={self._timing.frames}", "horizontal-speed=2"]
            return [*made, "!", ",".join([*caps, size])]
        made = [*self._reader.video(), *self._turn(), *self._fit(caps), *self._clock()]
        return [*made, "!", "videoconvert", "!", ",".join(caps)]

    def _turn(self) -> list[str]:
        assert self._stream is not None
        turn = self._stream.rotation % 360
        if turn not in _TURNS:
            raise unable(f"turns pictures by quarters, not by {turn} degrees")
        return ["!", "videoflip", "video-direction=auto"] if turn else []

    def _fit(self, caps: list[str]) -> list[str]:
        """The size that `media.picture` planned; `caps` gets it."""
        assert self._stream is not None
        plan, (width, height) = self._picture, self._stream.display_size
        if not plan.filters:
            return []
        if plan.coloured.filters:
            caps.append(f"colorimetry={_named(plan)}")
        if self._spec.resolution is None:
            return ["!", "videocrop", f"right={width - plan.width}", f"bottom={height - plan.height}"]
        aspect = self._stream.shown_aspect if self._spec.resolution.width is None else None
        shape = f"{aspect.numerator}/{aspect.denominator}" if aspect else "1/1"
        caps.append(f"width={plan.width},height={plan.height},pixel-aspect-ratio={shape}")
        return ["!", "videoscale", "method=catrom", "add-borders=false"]

    def _clock(self) -> list[str]:
        """A frame on each tick where that was asked, and where the input has it but for its container's rounding."""
        rate = self._timing.rate
        if rate is None or not self._timing.steady:
            return []
        return [
            "!",
            "videorate",
            "skip-to-first=true",
            "!",
            f"video/x-raw,framerate={rate.numerator}/{rate.denominator}",
        ]

    def _encode(self, which: int) -> list[str]:
        spec = self._spec
        gop = gst_encoders.gop_frames(spec, float(self._timing.rate or picture.GENERATED_RATE))
        made = ["!", self._encoder.name, *self._encoder.options(spec, gop, self._threads, which)]
        if caps := gst_encoders.caps(spec):
            made += ["!", caps]
        if which == 1:
            return made  # what a first pass puts out is for nobody, parsers included
        for parser in gst_encoders.PARSERS[spec.codec]:
            made += ["!", parser]
        if spec.codec is Codec.H265 and spec.container is Container.MP4:
            made += ["!", "video/x-h265,stream-format=hvc1"]  # which Apple's players need
        return made

    def _sound(self) -> list[str]:
        plan = self._audio
        if plan is None:
            return []
        if plan.copied:
            assert self._reader is not None
            if plan.codec == AudioCodec.OPUS.value and self._spec.container is Container.MP4:
                raise unable("writes opus wrong into mp4: set audio.codec to aac")
            if plan.codec in gst_encoders.UNCOPIED.get(self._spec.container, ()):
                raise unable(f"does not copy {plan.codec} into {self._spec.container}: set audio.codec to aac")
            return [*self._reader.audio(copied=True), "!", "queue", "!", "out."]
        made = self._beep() if self._reader is None else self._reader.audio(copied=False)
        shape = f"audio/x-raw,channels={plan.channels}" + (f",rate={plan.rate_hz}" if plan.rate_hz else "")
        if plan.codec == AudioCodec.OPUS.value and (mask := _OPUS_MASKS.get(plan.channels or 0)):
            shape += f",channel-mask=(bitmask){mask}"
        encoder, parser = AUDIO_ENCODERS[AudioCodec(plan.codec)]
        made += ["!", "audioconvert", "!", "audioresample", "!", shape]
        made += ["!", encoder, f"bitrate={plan.bitrate_bps}", "!", parser]
        return [*made, "!", "queue", "!", "out."]

    def _beep(self) -> list[str]:
        seconds = self._spec.duration or timing.GENERATED_SECONDS
        count = max(1, round(seconds * audio.GENERATED_RATE / _SAMPLES_PER_BUFFER))
        made = ["audiotestsrc", f"num-buffers={count}", f"samplesperbuffer={_SAMPLES_PER_BUFFER}", "freq=440"]
        return [*made, "!", f"audio/x-raw,rate={audio.GENERATED_RATE}"]
