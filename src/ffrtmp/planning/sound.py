"""What is asked of the sound, against what the container can hold."""

from ffrtmp.domain import spec
from ffrtmp.planning.faults import Faults
from ffrtmp.protocol import bodies


def choose(given: bodies.ParametersBody, container: spec.Container, kind: spec.InputKind, faults: Faults) -> spec.Audio:
    asked = given.audio or bodies.AudioBody()
    taken = spec.CONTAINER_AUDIO[container]
    encoded = {spec.AudioCodec.AAC, spec.AudioCodec.OPUS}
    if asked.codec in encoded and asked.codec not in taken:
        able = ", ".join(sorted(taken))
        faults.add(
            "audio.codec",
            f"{container} cannot hold {asked.codec}; it holds {able}",
            "unsupported_combination",
            audio__codec=min(taken),
        )
    cut = kind is not spec.InputKind.GENERATE and (given.start > 0 or given.duration is not None)
    if asked.codec is spec.AudioCodec.COPY and cut:
        faults.add(
            "audio.codec",
            "copied audio cannot be cut exactly at start and duration; let it be encoded",
            "unsupported_combination",
            audio__codec="auto",
        )
    most = spec.CONTAINER_CHANNELS[container]
    if asked.channels is not None and asked.channels > most:
        faults.add(
            "audio.channels",
            f"{container} takes at most {most} channels, not {asked.channels}",
            "unsupported_combination",
            audio__channels=most,
        )
    if asked.codec in (spec.AudioCodec.COPY, spec.AudioCodec.NONE) and (asked.bitrate or asked.channels):
        faults.add(
            "audio",
            f"bitrate and channels do not go with codec {asked.codec}",
            "conflicting_fields",
            audio__bitrate=None,
            audio__channels=None,
        )
    elif asked.bitrate is not None and not 6_000 <= asked.bitrate <= 1_024_000:
        fits = "6k" if asked.bitrate < 6_000 else "1024k"
        faults.add("audio.bitrate", f"{asked.bitrate} is out of range; audio takes 6k to 1024k", audio__bitrate=fits)
    _check_tracks(asked, kind, faults)
    aim = asked.loudness
    return spec.Audio(
        codec=asked.codec,
        bitrate_bps=asked.bitrate,
        channels=asked.channels,
        tracks=asked.tracks,
        loudness=None
        if aim is None
        else spec.Loudness(integrated_lufs=aim.integrated, true_peak_db=aim.true_peak, range_lu=aim.range),
    )


def _check_tracks(asked: bodies.AudioBody, kind: spec.InputKind, faults: Faults) -> None:
    named = asked.tracks.pick is not spec.Pick.AUTO
    if named and asked.codec is spec.AudioCodec.NONE:
        faults.add(
            "audio.tracks",
            "does not go with codec none; leave one of them out",
            "conflicting_fields",
            audio__tracks=None,
        )
    if named and kind is spec.InputKind.GENERATE:
        faults.add("audio.tracks", "a generated clip has one track", "conflicting_fields", audio__tracks=None)
    if asked.loudness is not None and asked.codec in (spec.AudioCodec.COPY, spec.AudioCodec.NONE):
        faults.add(
            "audio.loudness",
            f"cannot be changed with codec {asked.codec}; leave it out, or let the codec be auto",
            "conflicting_fields",
            audio__codec="auto",
        )
