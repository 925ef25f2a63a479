"""What becomes of the sound: nothing, a copy, or an encode. Pure; the verdict uses the same plan."""

import msgspec

from ffrtmp.domain import errors
from ffrtmp.domain.errors import Code
from ffrtmp.domain.spec import CONTAINER_CHANNELS, AudioCodec, Container, Spec
from ffrtmp.media.arguments import opt
from ffrtmp.media.inspection import AudioStream, Inspection

#: libav's codec names that may be copied into a container as they are
COPYABLE: dict[Container, frozenset[str]] = {
    Container.MP4: frozenset({"aac", "ac3", "alac", "eac3", "flac", "mp3", "opus"}),
    Container.MKV: frozenset(
        {
            "aac",
            "ac3",
            "alac",
            "dts",
            "eac3",
            "flac",
            "mp2",
            "mp3",
            "opus",
            "pcm_s16le",
            "pcm_s24le",
            "truehd",
            "vorbis",
        }
    ),
    Container.WEBM: frozenset({"opus", "vorbis"}),
    Container.TS: frozenset({"aac", "ac3", "eac3", "mp2", "mp3"}),
}
#: what a container gets when the codec is left to us
USUAL: dict[Container, AudioCodec] = {
    Container.MP4: AudioCodec.AAC,
    Container.MKV: AudioCodec.AAC,
    Container.WEBM: AudioCodec.OPUS,
    Container.TS: AudioCodec.AAC,
}
_ENCODERS = {AudioCodec.AAC: "aac", AudioCodec.OPUS: "libopus"}
#: bits per second for each channel, at which both encoders are good (128 and 96 kb/s for stereo)
_PER_CHANNEL = {AudioCodec.AAC: 64_000, AudioCodec.OPUS: 48_000}
#: libopus takes one layout for each number of channels (RFC 7845, mapping family 1): 5.1(side) becomes 5.1, 4.0 becomes quad
_OPUS_LAYOUTS = ("mono", "stereo", "3.0", "quad", "5.0", "5.1", "6.1", "7.1")
#: whose header in mpegts has no room for more than 5.1 (ADTS), or is written wrong there (Opus, seven channels)
_SURROUND_IN_TS = frozenset({"aac", "opus"})
GENERATED_RATE = 48_000
_DELAY_SECONDS = 0.06


class AudioPlan(msgspec.Struct, frozen=True, kw_only=True):
    codec: str | None  #: libav's name of what comes out; None: no audio
    stream: int | None = None  #: of the input file
    copied: bool = False
    channels: int | None = None
    filters: tuple[str, ...] = ()
    arguments: tuple[str, ...] = ()


SILENT = AudioPlan(codec=None)


def plan(spec: Spec, inspected: Inspection | None) -> AudioPlan:
    """`inspected` None: a generated input. Raises TaskError: no_audio_stream when a codec was asked of an input without sound,
    engine_failed when a copy cannot be."""
    wanted = spec.audio.codec
    if wanted is AudioCodec.NONE:
        return SILENT
    if inspected is None:
        made = USUAL[spec.container] if wanted in (AudioCodec.AUTO, AudioCodec.COPY) else wanted
        return _encode(spec, made, None, 1)
    source, window = inspected.main_audio, inspected.window
    if source is None or (window is not None and window.sound_first is None):
        if wanted is AudioCodec.AUTO:
            return SILENT
        where = "" if source is None else " between start and the end of duration"
        raise errors.TaskError(Code.NO_AUDIO_STREAM, f"audio.codec is {wanted}, but the input has no audio{where}")
    cut = spec.start > 0 or spec.duration is not None
    # an encoder's delay (a packet or two) does no harm; what an edit list hides, only mp4 can go on hiding
    hidden = source.hidden_seconds > _DELAY_SECONDS and spec.container is not Container.MP4
    changed = spec.audio.bitrate_bps is not None or spec.audio.channels is not None
    fits = _fits(spec.container, source)
    if wanted is AudioCodec.COPY:
        if not fits:
            what = (
                f"{source.codec} of {source.channels} channels"
                if source.codec in COPYABLE[spec.container]
                else source.codec
            )
            raise errors.TaskError(
                Code.ENGINE_FAILED,
                f"audio.codec is copy, but {spec.container} cannot hold {what}; "
                f"set it to {USUAL[spec.container]} or auto",
            )
        if cut or hidden:
            where = "at start and duration" if cut else f"where the input's edit list says ({spec.container} has none)"
            raise errors.TaskError(
                Code.ENGINE_FAILED,
                f"audio.codec is copy, but copied audio cannot be cut exactly {where}; set it to auto",
            )
    if wanted is AudioCodec.COPY or (wanted is AudioCodec.AUTO and fits and not (cut or hidden or changed)):
        return AudioPlan(
            codec=source.codec,
            stream=source.index,
            copied=True,
            channels=source.channels or None,
            arguments=("-c:a", "copy"),
        )
    made = USUAL[spec.container] if wanted is AudioCodec.AUTO else wanted
    return _encode(spec, made, source.index, source.channels)


def _fits(container: Container, source: AudioStream) -> bool:
    narrow = container is Container.TS and source.codec in _SURROUND_IN_TS
    return source.codec in COPYABLE[container] and (not narrow or source.channels <= CONTAINER_CHANNELS[container])


def _encode(spec: Spec, made: AudioCodec, stream: int | None, source_channels: int) -> AudioPlan:
    channels = spec.audio.channels or min(source_channels or 2, CONTAINER_CHANNELS[spec.container])
    opus = made is AudioCodec.OPUS
    bitrate = spec.audio.bitrate_bps or channels * _PER_CHANNEL[made]
    return AudioPlan(
        codec=made.value,
        stream=stream,
        channels=channels,
        filters=(f"aformat=channel_layouts={_OPUS_LAYOUTS[channels - 1]}",) if opus else (),
        arguments=(
            *opt("-c:a", _ENCODERS[made]),
            *opt("-b:a", bitrate),
            *(opt("-ac", channels) if channels != source_channels and not opus else []),
        ),
    )
