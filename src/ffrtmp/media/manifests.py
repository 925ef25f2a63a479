"""A DASH manifest over CMAF tracks and WebVTT (ISO/IEC 23009-1). Pure: text."""

from collections.abc import Sequence
from xml.sax.saxutils import escape, quoteattr

from ffrtmp.media import codec_names
from ffrtmp.media.boxes import Fragment
from ffrtmp.media.playlists import Label, Rendition, Text

MANIFEST = "manifest.mpd"
_CHANNELS = "urn:mpeg:dash:23003:3:audio_channel_configuration:2011"
_ROLE = "urn:mpeg:dash:role:2011"
_TRANSFER = "urn:mpeg:mpegB:cicp:TransferCharacteristics"
#: what an input marks a track with → its role
_ROLES = {
    "audio": {"visual_impaired": "description", "descriptions": "description", "comment": "commentary", "dub": "dub"},
    "text": {
        "hearing_impaired": "caption",
        "captions": "caption",
        "comment": "commentary",
        "forced": "forced-subtitle",
    },
}


def manifest(pictures: Sequence[Rendition], sounds: Sequence[Rendition], texts: Sequence[Text]) -> str:
    """For what is finished."""
    seconds = max(one.track.end_seconds for one in (*pictures, *sounds))
    longest = max(one.track.longest_seconds for one in (*pictures, *sounds))
    lines = [
        '<?xml version="1.0" encoding="UTF-8"?>',
        '<MPD xmlns="urn:mpeg:dash:schema:mpd:2011" type="static" profiles="urn:mpeg:dash:profile:isoff-main:2011"'
        f' mediaPresentationDuration="PT{seconds:.3f}S" maxSegmentDuration="PT{longest:.3f}S" minBufferTime="PT2S">',
        f'  <Period id="0" start="PT0S" duration="PT{seconds:.3f}S">',
        '    <AdaptationSet id="0" contentType="video" mimeType="video/mp4" segmentAlignment="true" startWithSAP="1">',
    ]
    transfer = pictures[0].track.transfer
    if transfer in codec_names.HDR:
        lines.append(f'      <EssentialProperty schemeIdUri="{_TRANSFER}" value="{transfer}"/>')
    for one in pictures:
        rate = one.frame_rate
        told = f' frameRate="{rate.numerator}/{rate.denominator}"' if rate else ""
        lines += _representation(one, f' width="{one.track.width}" height="{one.track.height}"{told}', [])
    lines.append("    </AdaptationSet>")
    for number, sound in enumerate(sounds, 1):
        aligned = 'mimeType="audio/mp4" segmentAlignment="true" startWithSAP="1"'
        label = sound.label or Label(name=sound.name)
        lines += [
            *_set(number, "audio", label, aligned, "main" if label.default else "alternate"),
            *_representation(
                sound,
                f' audioSamplingRate="{sound.track.sample_rate}"',
                [f'<AudioChannelConfiguration schemeIdUri="{_CHANNELS}" value="{sound.track.channels}"/>'],
            ),
            "    </AdaptationSet>",
        ]
    for number, text in enumerate(texts, len(sounds) + 1):
        lines += [
            *_set(number, "text", text.label, 'mimeType="text/vtt"', "subtitle"),
            f'      <Representation id="{text.name}" bandwidth="{max(1, round(8 * text.size / seconds))}">',
            f"        <BaseURL>{text.file}</BaseURL>",
            "      </Representation>",
            "    </AdaptationSet>",
        ]
    return "\n".join([*lines, "  </Period>", "</MPD>"]) + "\n"


def _set(number: int, kind: str, label: Label, attributes: str, usual: str) -> list[str]:
    language = f' lang="{label.language}"' if label.language else ""
    roles = [role for mark, role in _ROLES[kind].items() if mark in label.marks] or [usual]
    return [
        f'    <AdaptationSet id="{number}" contentType="{kind}" {attributes}{language}>',
        f"      <Label>{escape(label.name)}</Label>",
        *(f'      <Role schemeIdUri="{_ROLE}" value="{role}"/>' for role in dict.fromkeys(roles)),
    ]


def _representation(one: Rendition, attributes: str, inside: list[str]) -> list[str]:
    track = one.track
    times = [
        f'          <S t="{first.start}" d="{first.duration}"{f" r={quoteattr(str(more))}" if more else ""}/>'
        for first, more in _runs(track.fragments)
    ]
    lines = [
        f'      <Representation id="{one.name}" codecs="{track.codec}" bandwidth="{one.peak_bps}"{attributes}>',
        *(f"        {line}" for line in inside),
    ]
    clock = f'timescale="{track.timescale}" presentationTimeOffset="0"' + (' startNumber="1"' if one.files else "")
    if one.files:
        where = f'initialization="{one.header}" media="{one.name}-$Number%05d$.m4s"'
        lines += [f"        <SegmentTemplate {clock} {where}>", "          <SegmentTimeline>", *times]
        lines += ["          </SegmentTimeline>", "        </SegmentTemplate>"]
    else:
        lines += [
            f"        <BaseURL>{one.header}</BaseURL>",
            f"        <SegmentList {clock}>",
            f'          <Initialization range="0-{track.header_bytes - 1}"/>',
            *("          <SegmentTimeline>", *times, "          </SegmentTimeline>"),
            *(f'          <SegmentURL mediaRange="{s.offset}-{s.offset + s.size - 1}"/>' for s in track.fragments),
            "        </SegmentList>",
        ]
    return [*lines, "      </Representation>"]


def _runs(fragments: Sequence[Fragment]) -> list[tuple[Fragment, int]]:
    """Fragments that follow each other with the same length, as the first and how many more."""
    runs: list[tuple[Fragment, int]] = []
    for one in fragments:
        if runs:
            first, more = runs[-1]
            if one.duration == first.duration and one.start == first.start + (more + 1) * first.duration:
                runs[-1] = first, more + 1
                continue
        runs.append((one, 0))
    return runs
