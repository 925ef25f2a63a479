"""What a file says of its streams beside their codec: language, title, dispositions, covers, attached files."""

import re

from av.container import InputContainer
from av.stream import AttachmentStream, Disposition, Stream

from ffrtmp.media.inspection import Attachment

_LANGUAGE = re.compile(r"[a-z]{2,3}")
_LONGEST_TITLE = 200  # characters
#: what is told of a stream; `default` and `attached_pic` have fields of their own
_MARKS = (
    *("dub", "original", "comment", "lyrics", "karaoke", "forced", "hearing_impaired", "visual_impaired"),
    *("clean_effects", "captions", "descriptions"),
)


def is_cover(stream: Stream) -> bool:
    """A picture that belongs to the file, not a video."""
    return bool(stream.disposition & Disposition.attached_pic)


def is_default(stream: Stream) -> bool:
    return bool(stream.disposition & Disposition.default)


def language(stream: Stream) -> str:
    """Its two or three letters (ISO 639); empty for none, `und`, and whatever is no code."""
    said = (stream.metadata.get("language") or "").lower()
    return said if _LANGUAGE.fullmatch(said) and said != "und" else ""


def title(stream: Stream) -> str:
    return (stream.metadata.get("title") or "")[:_LONGEST_TITLE]


def marks(stream: Stream) -> list[str]:
    return [name for name in _MARKS if stream.disposition & Disposition[name]]


def covers(container: InputContainer) -> list[Attachment]:
    found = [stream for stream in container.streams.video if is_cover(stream)]
    return [
        Attachment(
            index=stream.index,
            codec=stream.codec_context.codec.canonical_name if stream.codec_context else "",
            name=(stream.metadata.get("filename") or title(stream))[:_LONGEST_TITLE],
        )
        for stream in found
    ]


def attachments(container: InputContainer) -> list[Attachment]:
    found: tuple[AttachmentStream, ...] = container.streams.attachments
    return [
        Attachment(index=stream.index, codec="", name=(stream.metadata.get("filename") or "")[:_LONGEST_TITLE])
        for stream in found
    ]
