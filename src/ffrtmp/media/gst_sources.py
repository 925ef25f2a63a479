"""How GStreamer reads an input that was inspected: a demuxer and decoders that are named, never looked for.

`decodebin` and `uridecodebin` would choose elements by what the bytes say, those that fetch playlists' entries among them.
"""

import msgspec

from ffrtmp.domain import errors
from ffrtmp.domain.errors import Code
from ffrtmp.media.inspection import AudioStream, Inspection, VideoStream

#: of the input's streams, compressed: one may run ahead of the other by so much, as an encoder that looks ahead makes it
_AHEAD_BYTES = 64 * 1024 * 1024
QUEUE = f"queue max-size-buffers=0 max-size-time=0 max-size-bytes={_AHEAD_BYTES}"


#: an encoder's delay is hidden by most files, and does no harm
_HIDDEN_SECONDS = 0.06


class Demuxer(msgspec.Struct, frozen=True):
    """`video` and `audio` name its pads; None: they are told apart by their caps, and only the first of a kind is reached."""

    element: str
    video: str | None = None
    audio: str | None = None


#: libav's name of a container → what reads it
_DEMUXERS = {
    "mov,mp4,m4a,3gp,3g2,mj2": Demuxer("qtdemux", "video_{}", "audio_{}"),
    "matroska,webm": Demuxer("matroskademux", "video_{}", "audio_{}"),
    "avi": Demuxer("avidemux", "video_{}", "audio_{}"),
    "flv": Demuxer("flvdemux", "video", "audio"),
    "mpegts": Demuxer("tsdemux"),
    "mpeg": Demuxer("mpegpsdemux"),
}


class Decoder(msgspec.Struct, frozen=True):
    caps: str  #: of the demuxer's pad
    elements: tuple[str, ...]  #: parser and decoder
    parser: str = ""  #: for a copy
    threads: str = ""  #: the decoder's property


def _libav(caps: str, parser: str, decoder: str) -> Decoder:
    return Decoder(caps, (*([parser] if parser else []), f"avdec_{decoder}"), parser, "max-threads")


#: libav's name of a codec → what decodes it
_VIDEO = {
    "h264": _libav("video/x-h264", "h264parse", "h264"),
    "hevc": _libav("video/x-h265", "h265parse", "h265"),
    "mpeg2video": _libav("video/mpeg", "mpegvideoparse", "mpeg2video"),
    "mpeg4": _libav("video/mpeg", "mpeg4videoparse", "mpeg4"),
    "vp8": Decoder("video/x-vp8", ("vp8dec",), threads="threads"),
    "vp9": Decoder("video/x-vp9", ("vp9dec",), threads="threads"),
    "av1": Decoder("video/x-av1", ("av1parse", "av1dec")),
    "ffv1": _libav("video/x-ffv", "", "ffv1"),
    "prores": _libav("video/x-prores", "", "prores"),
    "mjpeg": Decoder("image/jpeg", ("jpegparse", "avdec_mjpeg"), "jpegparse"),
}
_AUDIO = {
    "aac": Decoder("audio/mpeg", ("aacparse", "avdec_aac"), "aacparse"),
    "mp3": Decoder("audio/mpeg", ("mpegaudioparse", "avdec_mp3"), "mpegaudioparse"),
    "mp2": Decoder("audio/mpeg", ("mpegaudioparse", "avdec_mp2float"), "mpegaudioparse"),
    "ac3": Decoder("audio/x-ac3", ("ac3parse", "avdec_ac3"), "ac3parse"),
    "eac3": Decoder("audio/x-eac3", ("ac3parse", "avdec_eac3"), "ac3parse"),
    "opus": Decoder("audio/x-opus", ("opusparse", "opusdec"), "opusparse"),
    "vorbis": Decoder("audio/x-vorbis", ("vorbisdec",), "vorbisparse"),
    "flac": Decoder("audio/x-flac", ("flacparse", "flacdec"), "flacparse"),
    "alac": Decoder("audio/x-alac", ("avdec_alac",)),
    **{f"pcm_{layout}": Decoder("audio/x-raw", ()) for layout in ("s16le", "s16be", "s24le", "s32le", "f32le")},
}


class Reader:
    """The part of a pipeline that reads one file. Raises TaskError(engine_failed) for a file that it cannot read."""

    def __init__(self, source: Inspection, video: VideoStream, heard: AudioStream | None, threads: int | None) -> None:
        self._source = source
        self._heard = heard
        self._threads = threads
        demuxer = _DEMUXERS.get(source.container)
        if demuxer is None:
            raise unable(f"reads no {source.container.partition(',')[0]} files")
        self._demuxer = demuxer
        self._video = _VIDEO.get(video.codec)
        if self._video is None:
            raise unable(f"has no decoder here for {video.codec} video")
        self._audio = None if heard is None else _AUDIO.get(heard.codec)
        if heard is not None and self._audio is None:
            raise unable(f"has no decoder here for {heard.codec} audio")
        if heard is not None and demuxer.audio in (None, "audio") and heard != source.audio[0]:
            raise unable(f"reaches only the first audio stream of {demuxer.element}, not stream {heard.index}")
        if source.container == "avi" and video.b_frames:
            raise unable("makes wrong times for B-frames in avi")
        if heard is not None and heard.hidden_seconds > _HIDDEN_SECONDS:
            raise unable("does not keep to the input's edit list")
        if source.steady_until is not None:
            raise unable("does not steady a clock that jumps")
        if video.disordered:
            raise unable("does not put a file's times into the order of its pictures")
        if source.stamped and heard is not None and heard.codec == "ac3":
            raise unable("takes AC-3 in an m2ts file for E-AC-3, and waits for ever")
        if source.container == "mpeg" and heard is not None and heard.codec == "ac3":
            raise unable("does not find AC-3 in a program stream, and waits for ever")
        if heard is not None and (heard.first_pts or 0.0) < -_HIDDEN_SECONDS:
            raise unable("does not keep the time of sound that begins before zero")
        if video.first_pts is None:
            raise unable("makes no times for a raw stream")

    def open(self, location: str) -> list[str]:
        return ["filesrc", f"location={location}", "!", self._demuxer.element, "name=in"]

    def video(self) -> list[str]:
        assert self._video is not None
        return [*self._pad(self._demuxer.video, 0, self._video), *self._decode(self._video)]

    def audio(self, *, copied: bool) -> list[str]:
        """Decoded, or as it is."""
        assert self._audio is not None
        assert self._heard is not None
        pad = self._pad(self._demuxer.audio, self._source.audio.index(self._heard), self._audio)
        if not copied:
            return [*pad, *self._decode(self._audio)]
        if not self._audio.parser:
            raise unable(f"cannot copy {self._heard.codec} audio")
        return [*pad, "!", self._audio.parser]

    def _pad(self, named: str | None, number: int, decoder: Decoder) -> list[str]:
        if named is not None:
            return [f"in.{named.format(number)}", "!", *QUEUE.split()]
        return ["in.", "!", decoder.caps, "!", *QUEUE.split()]

    def _decode(self, decoder: Decoder) -> list[str]:
        made = [part for element in decoder.elements for part in ("!", element)]
        if decoder.threads and self._threads is not None:
            made.append(f"{decoder.threads}={self._threads}")
        return made


def unable(what: str) -> errors.TaskError:
    return errors.TaskError(Code.ENGINE_FAILED, f"GStreamer {what} (engine ffmpeg or auto can do it)")
