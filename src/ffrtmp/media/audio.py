"""What becomes of the sound: of each track nothing, a copy, or an encode. Pure; the verdict uses the same plan."""

from collections.abc import Sequence

import msgspec

from ffrtmp.domain import errors, languages
from ffrtmp.domain.errors import Code
from ffrtmp.domain.spec import CONTAINER_CHANNELS, AudioCodec, Container, Pick, Spec
from ffrtmp.media import loudness, tracks
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
    Container.FLV: frozenset({"aac"}),
}
#: what a container gets when the codec is left to us
USUAL: dict[Container, AudioCodec] = {
    Container.MP4: AudioCodec.AAC,
    Container.MKV: AudioCodec.AAC,
    Container.WEBM: AudioCodec.OPUS,
    Container.TS: AudioCodec.AAC,
    Container.FLV: AudioCodec.AAC,
}
_ENCODERS = {AudioCodec.AAC: "aac", AudioCodec.OPUS: "libopus"}
#: bits per second for each channel, at which both encoders are good (128 and 96 kb/s for stereo)
_PER_CHANNEL = {AudioCodec.AAC: 64_000, AudioCodec.OPUS: 48_000}
#: libopus takes one layout for each number of channels (RFC 7845, mapping family 1): 5.1(side) becomes 5.1, 4.0 becomes quad
_OPUS_LAYOUTS = ("mono", "stereo", "3.0", "quad", "5.0", "5.1", "6.1", "7.1")
#: the usual ones, which a downmix or an upmix to so many channels gives
_LAYOUTS = ("mono", "stereo", "3.0", "4.0", "5.0", "5.1", "6.1", "7.1")
#: that the header of AAC has a number for (ISO/IEC 14496-3, table 1.19); others would be written as a list of elements (PCE),
#: which many players refuse. The same loudspeakers at the side and at the back are one to it.
_SIDES = {"5.0(side)": "5.0", "5.1(side)": "5.1"}
#: whose header in mpegts has no room for more than 5.1 (ADTS), or is written wrong there (Opus, seven channels)
_SURROUND_IN_TS = frozenset({"aac", "opus"})
#: that servers of streams and their players take; others become the second
_RATES_IN_FLV = (44_100, 48_000)
GENERATED_RATE = 48_000
#: libopus works at this one, AAC at most at twice as many
_OPUS_RATE, _MOST_RATE = 48_000, 96_000
_DELAY_SECONDS = 0.06


class AudioPlan(msgspec.Struct, frozen=True, kw_only=True):
    """One track of the output."""

    codec: str  #: libav's name of what comes out
    source: AudioStream | None = None  #: None: the generated tone
    copied: bool = False
    channels: int | None = None
    bitrate_bps: int | None = None  #: None: a copy
    rate_hz: int | None = None  #: None: the source's
    filters: tuple[str, ...] = ()
    options: tuple[tuple[str, object], ...] = ()  #: FFmpeg's options for this track, without their dash and specifier
    language: str = ""


def plan(spec: Spec, inspected: Inspection | None, measured: Sequence[loudness.Measured] = ()) -> tuple[AudioPlan, ...]:
    """The output's tracks in their order; none: no sound. `inspected` None: a generated input. `measured`: the loudness of
    each track, for the commands of a job that asked for one.

    Raises TaskError: no_audio_stream when a codec was asked of an input without sound, stream_unsuitable when a copy cannot
    be or a track that is named is not there.
    """
    wanted = spec.audio.codec
    if wanted is AudioCodec.NONE:
        return ()
    if inspected is None:
        made = USUAL[spec.container] if wanted in (AudioCodec.AUTO, AudioCodec.COPY) else wanted
        return (_encode(spec, made, None, measured[0] if measured else None),)
    chosen = _chosen(spec, inspected)
    heard = [track for track in chosen if inspected.window is None or track.window is not None]
    if not heard:
        if wanted is AudioCodec.AUTO:
            return ()
        where = " between start and the end of duration" if chosen else ""
        raise errors.TaskError(Code.NO_AUDIO_STREAM, f"audio.codec is {wanted}, but the input has no audio{where}")
    return tuple(
        _track(spec, track, measured[number] if measured else None, several=len(heard) > 1)
        for number, track in enumerate(heard)
    )


def _chosen(spec: Spec, inspected: Inspection) -> list[AudioStream]:
    pick = spec.audio.tracks
    if pick.pick is Pick.ALL:
        return inspected.audio
    if pick.pick is Pick.NAMED:
        return tracks.named("audio.tracks", pick.named, inspected.audio)
    main = inspected.main_audio
    return [] if main is None else [main]


def _track(spec: Spec, source: AudioStream, measured: loudness.Measured | None, *, several: bool) -> AudioPlan:
    wanted, asked = spec.audio.codec, spec.audio
    cut = spec.start > 0 or spec.duration is not None
    # an encoder's delay (a packet or two) does no harm; what an edit list hides, only mp4 can go on hiding
    hidden = source.hidden_seconds > _DELAY_SECONDS and spec.container is not Container.MP4
    changed = asked.bitrate_bps is not None or asked.channels is not None or asked.loudness is not None
    fits = _fits(spec.container, source)
    if wanted is AudioCodec.COPY:
        which = f" of {tracks.describe(source)}" if several else ""
        if not fits:
            known = source.codec in COPYABLE[spec.container]
            what = f"{source.codec} of {source.channels} channels" if known else source.codec
            raise errors.TaskError(
                Code.STREAM_UNSUITABLE,
                f"audio.codec is copy, but {spec.container} cannot hold {what}; "
                f"set it to {USUAL[spec.container]} or auto",
            )
        if cut or hidden:
            where = "at start and duration" if cut else f"where the input's edit list says ({spec.container} has none)"
            raise errors.TaskError(
                Code.STREAM_UNSUITABLE,
                f"audio.codec is copy, but copied audio{which} cannot be cut exactly {where}; set it to auto",
            )
    if wanted is AudioCodec.COPY or (wanted is AudioCodec.AUTO and fits and not (cut or hidden or changed)):
        return AudioPlan(
            codec=source.codec,
            source=source,
            copied=True,
            channels=source.channels or None,
            options=(("c", "copy"), *_metadata(spec, source)),
            language=source.language,
        )
    return _encode(spec, USUAL[spec.container] if wanted is AudioCodec.AUTO else wanted, source, measured)


def _fits(container: Container, source: AudioStream) -> bool:
    narrow = container is Container.FLV or (container is Container.TS and source.codec in _SURROUND_IN_TS)
    if container is Container.FLV and source.sample_rate not in _RATES_IN_FLV:
        return False
    return source.codec in COPYABLE[container] and (not narrow or source.channels <= CONTAINER_CHANNELS[container])


def _encode(spec: Spec, made: AudioCodec, source: AudioStream | None, measured: loudness.Measured | None) -> AudioPlan:
    before = 1 if source is None else source.channels
    channels = spec.audio.channels or min(before or 2, CONTAINER_CHANNELS[spec.container])
    bitrate = spec.audio.bitrate_bps or channels * _PER_CHANNEL[made]
    filters = _layout(spec, made, channels, before, "" if source is None else source.layout)
    if spec.audio.loudness is not None and measured is not None:
        rate = GENERATED_RATE if source is None else min(source.sample_rate or GENERATED_RATE, _MOST_RATE)
        rate = _OPUS_RATE if made is AudioCodec.OPUS else rate
        filters += loudness.normalising(spec.audio.loudness, measured, rate)
    mixed = channels != before and not filters
    resampled = spec.container is Container.FLV and source is not None and source.sample_rate not in _RATES_IN_FLV
    return AudioPlan(
        codec=made.value,
        source=source,
        channels=channels,
        bitrate_bps=bitrate,
        rate_hz=_RATES_IN_FLV[1] if resampled else None,
        filters=filters,
        options=(
            ("c", _ENCODERS[made]),
            ("b", bitrate),
            *((("ac", channels),) if mixed else ()),
            *((("ar", _RATES_IN_FLV[1]),) if resampled else ()),
            *(() if source is None else _metadata(spec, source)),
        ),
        language="" if source is None else source.language,
    )


def _layout(spec: Spec, made: AudioCodec, channels: int, before: int, layout: str) -> tuple[str, ...]:
    """The layout is made before the loudness is measured: a downmix is louder or quieter than what it is made of."""
    if made is AudioCodec.OPUS:
        return (f"aformat=channel_layouts={_OPUS_LAYOUTS[channels - 1]}",)
    if channels != before:
        return (f"aformat=channel_layouts={_LAYOUTS[channels - 1]}",) if spec.audio.loudness is not None else ()
    return (f"aformat=channel_layouts={_SIDES[layout]}",) if layout in _SIDES else ()


def measuring_filters(spec: Spec, made: AudioPlan) -> tuple[str, ...]:
    """For the first pass over a track: what makes its layout, then what listens. `made` is planned without a measurement."""
    if spec.audio.loudness is None:
        return ()
    layout = made.filters if made.filters else ()
    return (*layout, loudness.measuring(spec.audio.loudness))


def _metadata(spec: Spec, source: AudioStream) -> tuple[tuple[str, object], ...]:
    """FFmpeg copies what the track says of itself, unless metadata is not to be kept: a language is no trifle then either.
    mp4 and mpegts have room for three letters."""
    letters = languages.three_letters(source.language) if source.language else None
    if letters is None or (spec.keep_metadata and letters == source.language):
        return ()
    return (("metadata:s", f"language={letters}"),)


def arguments(plans: Sequence[AudioPlan], cutting: Sequence[str], more: Sequence[str] = ()) -> list[str]:
    """The part of a command line. `cutting`: the filters that take the part that was asked for; `more`: further ones, for what
    is not copied."""
    if not plans:
        return ["-an"]
    made: list[str] = []
    for number, track in enumerate(plans):
        specifier = "a" if len(plans) == 1 else f"a:{number}"
        made += ["-map", "1:a:0" if track.source is None else f"0:{track.source.index}"]
        filters = [*cutting, *track.filters, *(() if track.copied else more)]
        if filters:
            made += [f"-filter:{specifier}", ",".join(filters)]
        for name, value in track.options:
            made += ["-ac" if name == "ac" and len(plans) == 1 else f"-{name}:{specifier}", str(value)]
    return made
