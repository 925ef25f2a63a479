"""Look into one media file with PyAV. Runs in a child that may be killed at any time: see `media.inspect`.

The index comes from the packet table, without decoding: it equals what a decoder puts out, when packets that an edit list or the
encoder marks as not shown are left out. With `decode`, everything is decoded and counted.
"""

import math
import os
import resource
import stat
import time
from collections import Counter, defaultdict
from fractions import Fraction
from pathlib import Path
from typing import Any, TypeAlias

import av
import av.error
import msgspec
from av.audio.frame import AudioFrame
from av.audio.stream import AudioStream as AvAudio
from av.container import InputContainer
from av.packet import Packet as AvPacket
from av.stream import Stream
from av.subtitles.stream import SubtitleStream as AvSubtitle
from av.video.frame import VideoFrame
from av.video.stream import VideoStream as AvVideo

from ffrtmp.domain import errors
from ffrtmp.domain.errors import Code
from ffrtmp.media import complaints, frames, streams, truncation, whitelist
from ffrtmp.media.inspection import AudioStream, Inspection, Request, SubtitleStream, VideoStream, Window
from ffrtmp.media.jumps import SteadyClock
from ffrtmp.media.measure import Grid, Order, Track
from ffrtmp.media.measure import Window as Counted

Packet: TypeAlias = "AvPacket[Any]"  # of a stream of any kind: `demux` gives all

_MAX_PROBLEMS = 8
#: libav keeps a format's start in microseconds, rounded
_ROUNDING_SECONDS = Fraction(2, 1_000_000)
#: of a demuxer (libavformat/avformat.h): AVFMT_TS_DISCONT, AVFMT_NOTIMESTAMPS
_MAY_JUMP, _NO_TIMES = 0x0200, 0x0080


def examine(request: Request) -> Inspection:
    """Raises TaskError with an input_* code that says what is wrong with the file."""
    started, cpu = time.monotonic(), _cpu()
    path = Path(request.path)
    size = _check(path)
    with _open(path) as container:
        found = _Look(container, request, path).run(size)
    return msgspec.structs.replace(
        found, seconds=round(time.monotonic() - started, 4), cpu_seconds=round(_cpu() - cpu, 4)
    )


def _cpu() -> float:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


def _check(path: Path) -> int:
    """The file's size. What libav would say less clearly, or not at all, is said here."""
    try:
        if not stat.S_ISREG(path.stat().st_mode) and not path.is_dir():
            raise errors.TaskError(Code.INPUT_INVALID, f"{path} is a device or a pipe; give a file")
        with path.open("rb") as file:
            size = os.fstat(file.fileno()).st_size
            if size == 0:
                raise errors.TaskError(Code.INPUT_INVALID, f"{path.name} is empty (0 bytes)")
            if missing := truncation.truncated(file):
                raise errors.TaskError(Code.INPUT_TRUNCATED, f"{path.name}: {missing}")
    except FileNotFoundError as error:
        raise errors.TaskError(Code.INPUT_MISSING, f"{path} does not exist") from error
    except IsADirectoryError as error:
        raise errors.TaskError(Code.INPUT_INVALID, f"{path} is a directory; give a file") from error
    except PermissionError as error:
        raise errors.TaskError(Code.INPUT_FORBIDDEN, f"{path} may not be read by the agent's user") from error
    return size


def _open(path: Path) -> InputContainer:
    try:
        return av.open(f"file:{path}", options=dict(whitelist.OPTIONS), metadata_errors="replace")
    except av.error.ArgumentError as error:  # a format that the whitelist stops
        raise errors.TaskError(
            Code.INPUT_INVALID,
            f"{path.name} is of a kind that is not accepted: playlists, still pictures and rare formats are not",
        ) from error
    except av.error.FFmpegError as error:
        raise errors.TaskError(
            Code.INPUT_INVALID, f"{path.name} is not a media file that can be read: {error.strerror}"
        ) from error


class _Look:
    """One pass over the packets."""

    def __init__(self, container: InputContainer, request: Request, path: Path) -> None:
        self._container = container
        self._request = request
        self._name = path.name
        self._path = path
        self._problems: Counter[str] = Counter()
        self._first_frame: VideoFrame | None = None
        self._base = Fraction(container.start_time or 0, 1_000_000)
        self._videos = [stream for stream in container.streams.video if not streams.is_cover(stream)]
        self._audios = list(container.streams.audio)
        self._texts = list(container.streams.subtitles)
        self._main = self._videos[0] if self._videos else None
        heard = [stream for stream in self._audios if streams.is_default(stream)] or self._audios
        self._heard = heard[0] if heard else None
        for stream in filter(None, (self._main, self._heard)):
            if not _is_known(stream):
                raise errors.TaskError(Code.INPUT_INVALID, f"{path.name}: the codec of its {stream.type} is not known")
        self._videos = [stream for stream in self._videos if _is_known(stream)]
        self._audios = [stream for stream in self._audios if _is_known(stream)]
        self._texts = [stream for stream in self._texts if _is_known(stream)]
        self._glances = frames.Glances(self._main.codec_context.name if self._main else "")
        self._order = Order()
        self._tracks: dict[int, Track] = {}
        self._last_sound: dict[int, AudioFrame] = {}  #: by stream, when it is decoded
        self._discarded: defaultdict[int, Fraction] = defaultdict(Fraction)
        self._bytes: Counter[int] = Counter()  #: of all packets, by stream, when they are only indexed
        flags = container.format.flags
        self._clock = SteadyClock() if flags & _MAY_JUMP and not request.decode else None
        self._made_up = bool(flags & _NO_TIMES)
        self._taken: tuple[Fraction, Fraction | None] | None = None
        self._sound_taken: dict[int, tuple[Fraction, Fraction]] = {}  #: by stream
        self._text_events: Counter[int] = Counter()  #: that begin within what is taken, by stream
        self._steady_until: float | None = None
        if request.window_start is not None:
            begin = self._base + Fraction(request.window_start)
            length = request.window_duration
            self._taken = begin, None if length is None else begin + Fraction(length)

    def run(self, size_bytes: int) -> Inspection:
        for stream in (*self._videos, *self._audios, *self._texts):
            self._tracks[stream.index] = self._track(stream)
        if self._main is not None:
            self._check_picture(self._main)
        self._walk()
        if self._main is not None and self._first_frame is None:
            raise errors.TaskError(
                Code.INPUT_INVALID,
                f"{self._name}: no frame of its {self._main.codec_context.name} video can be decoded",
            )
        duration = self._container.duration
        return Inspection(
            container=self._container.format.name,
            size_bytes=size_bytes,
            stamped=self._container.format.name == "mpegts" and _is_stamped(self._path),
            start_seconds=float(self._base),
            duration_seconds=duration / 1_000_000 if duration else None,
            video=[self._video(stream) for stream in self._videos],
            audio=[self._audio(stream) for stream in self._audios],
            subtitles=[self._subtitle(stream) for stream in self._texts],
            covers=streams.covers(self._container),
            attachments=streams.attachments(self._container),
            chapters=len(self._container.chapters()),
            window=self._window(),
            steady_until=self._steady_until,
            decoded=self._request.decode,
            problems=[f"{text} ({times} times)" if times > 1 else text for text, times in self._problems.items()],
        )

    def _track(self, stream: Stream) -> Track:
        time_base = stream.time_base
        if stream is not self._main or time_base is None:
            return Track([])
        assert isinstance(stream, AvVideo)
        asked = Fraction(self._request.rate) if self._request.rate else None
        told = (asked, stream.average_rate, stream.guessed_rate, stream.base_rate)
        rates = dict.fromkeys(rate for rate in told if rate)
        counted = None
        if self._taken is not None:
            begin, end = self._taken
            counted = Counted(
                math.ceil((begin - _ROUNDING_SECONDS) / time_base),
                None if end is None else math.ceil((end - _ROUNDING_SECONDS) / time_base),
            )
        return Track([Grid(rate, time_base) for rate in rates], counted)

    def _check_picture(self, stream: AvVideo) -> None:
        context = stream.codec_context
        if context.width * context.height > whitelist.MAX_PIXELS:
            raise errors.TaskError(
                Code.INPUT_INVALID,
                f"{self._name}: its pictures are {context.width}x{context.height}; "
                f"at most {whitelist.MAX_PIXELS} pixels are accepted",
            )
        for found in filter(None, (stream, self._heard)):
            name = found.codec_context.codec.name
            if not whitelist.decodable(name):
                raise errors.TaskError(Code.INPUT_INVALID, f"{self._name}: the codec {name} is not accepted")
        # the loop filter changes the picture, not whether it can be decoded: without it H.264 takes a quarter less
        context.options = {"skip_loop_filter": "all", "max_pixels": str(whitelist.MAX_PIXELS)}
        context.thread_count = self._request.threads
        context.thread_type = "SLICE" if self._request.threads == 1 else "AUTO"

    def _walk(self) -> None:
        wanted = [*self._videos, *self._audios, *self._texts]
        if not self._videos and not self._audios:
            return
        try:
            if not self._request.decode:
                for packet in self._container.demux(wanted):
                    self._index(packet)
                return
            with complaints.heard(self._problem):
                for packet in self._container.demux(wanted):
                    self._decode(packet)
        except av.error.FFmpegError as error:
            self._problem(f"reading stopped: {error.strerror}")
        except IndexError:
            # PyAV, at the end of a file (FLV, MPEG-PS, TS) in whose middle a stream appeared; FFmpeg leaves such a stream out too
            self._problem("a stream begins in the middle of the file: it is left out")

    def _index(self, packet: Packet) -> None:
        stream = packet.stream
        self._bytes[stream.index] += packet.size
        if stream in self._texts:
            self._count_text(packet)
            return
        if stream is self._main and self._glances.wants(packet.is_keyframe):
            self._show(packet)
        if packet.size == 0 or (stream in self._videos and _hidden(packet)):
            return
        if packet.has_sidedata("encryption_info"):
            raise errors.TaskError(
                Code.INPUT_INVALID, f"{self._name} is encrypted (Common Encryption): give it decrypted"
            )
        if packet.is_discard:
            if stream.time_base is not None:
                self._discarded[stream.index] += (packet.duration or 0) * stream.time_base
            return
        pts, duration, track = packet.pts, packet.duration or 0, self._tracks[stream.index]
        shift = self._shift(packet, stream)
        if self._steady_until is not None:
            track.window_closed = True
        elif stream in self._audios and pts is not None:
            self._take_sound(stream, pts, duration)
        track.add(pts, duration, packet.is_keyframe, shift)

    def _shift(self, packet: Packet, stream: Stream) -> int:
        """What makes the clock steady where it jumps, in ticks. After the first jump no part can be chosen by its time."""
        if self._clock is None or packet.dts is None or stream.time_base is None:
            return 0
        up, down = 1_000_000 * stream.time_base.numerator, stream.time_base.denominator
        offset = self._clock.offset(stream.index, packet.dts * up // down, (packet.duration or 0) * up // down)
        if offset == 0:
            return 0
        if self._clock.jumps and self._steady_until is None:
            ends = [
                (track.last + track.last_duration) * each.time_base
                for each in (*self._videos, *self._audios)
                if (track := self._tracks[each.index]).last is not None and each.time_base is not None
            ]
            self._steady_until = float(min(ends, default=Fraction(0)) - self._base)
        return round(offset * down / up)

    def _take_sound(self, stream: Stream, pts: int, duration: int) -> None:
        """The first and the last moment of the sound within the part that is asked for."""
        if self._taken is None or stream.time_base is None:
            return
        (begin, end), first, last = self._taken, pts * stream.time_base, (pts + duration) * stream.time_base
        first, last = max(first, begin), last if end is None else min(last, end)
        if first < last or (not duration and begin <= first and (end is None or first < end)):
            known = self._sound_taken.get(stream.index, (first, last))
            self._sound_taken[stream.index] = min(known[0], first), max(known[1], last)

    def _count_text(self, packet: Packet) -> None:
        """mov_text fills the time between two texts with packets that hold a length of zero and nothing else."""
        if packet.size <= 2:
            return
        stream: Stream = packet.stream
        self._tracks[stream.index].add(packet.pts, packet.duration or 0, packet.is_keyframe)
        if self._taken is None or packet.pts is None or stream.time_base is None:
            return
        (begin, end), at = self._taken, packet.pts * stream.time_base
        self._text_events[stream.index] += begin <= at and (end is None or at < end)

    def _show(self, packet: Packet) -> None:
        """Decode a few frames: what a header says about the picture is not always so."""
        if self._glances.begins:
            packet.stream.codec_context.flush_buffers()
            self._order.begin()
        try:
            for frame in packet.decode():
                if isinstance(frame, VideoFrame):
                    self._take_picture(frame)
        except av.error.FFmpegError as error:
            if self._first_frame is None:
                self._problem(f"{packet.stream.type}: {error.strerror}")

    def _decode(self, packet: Packet) -> None:
        stream: Stream = packet.stream
        if stream in self._texts:
            self._count_text(packet)
            return
        if stream is not self._main and stream not in self._audios:
            return
        if packet.is_corrupt:
            self._problem(f"{stream.type}: a packet is marked as damaged")
        try:
            frames = packet.decode()
        except av.error.FFmpegError as error:
            if not isinstance(error, av.error.EOFError):
                self._problem(f"{stream.type}: {error.strerror}")
            return
        track = self._tracks[stream.index]
        for frame in frames:
            if isinstance(frame, VideoFrame):
                self._take_picture(frame)
                if frame.is_corrupt:
                    self._problem("video: a frame is damaged")
                track.add(frame.pts, frame.duration or 0, frame.key_frame)
            elif isinstance(frame, AudioFrame):
                track.add(frame.pts, 0, False)
                if frame.pts is not None and frame.pts == track.last:
                    self._last_sound[stream.index] = frame

    def _take_picture(self, frame: VideoFrame) -> None:
        self._first_frame = self._first_frame or frame
        self._glances.add(frame)
        self._order.add(frame.pts)

    def _problem(self, text: str) -> None:
        if text in self._problems or len(self._problems) < _MAX_PROBLEMS:
            self._problems[text] += 1
        else:
            self._problems["and others"] += 1

    def _video(self, stream: AvVideo) -> VideoStream:
        track, context, frame = self._tracks[stream.index], stream.codec_context, self._first_frame
        own = frame if stream is self._main else None
        constant = track.constant_rate()
        rate = constant or stream.average_rate or stream.guessed_rate
        aspect = stream.sample_aspect_ratio
        pixels = own.format if own is not None else context.format
        tag = context.codec_tag.strip("\0")
        return VideoStream(
            index=stream.index,
            codec=context.codec.canonical_name,
            width=own.width if own is not None else context.width,
            height=own.height if own is not None else context.height,
            pixel_format=pixels.name if pixels else "",
            bits=max((component.bits for component in pixels.components), default=8) if pixels else 8,
            time_base=str(stream.time_base or Fraction(1, 1000)),
            frames=track.count,
            keyframes=track.keyframes,
            keyframe_times=[float(at * (stream.time_base or 0)) for at in track.keyframe_marks.times] if own else [],
            first_pts=_seconds(track.first, stream),
            last_pts=_seconds(track.last, stream),
            last_duration=self._last_duration(track, stream, rate),
            rate=str(rate) if rate else None,
            constant_rate=constant is not None,
            disordered=self._order.broken if own is not None else 0,
            b_frames=track.out_of_order or context.has_b_frames,
            rotation=-own.rotation % 360 if own is not None else 0,
            sample_aspect=str(aspect) if aspect else "1/1",
            profile=context.profile or "",
            codec_tag=tag,
            field_order=frames.field_order(context),
            looked_at=self._glances.looked_at if own is not None else 0,
            interlaced_frames=self._glances.interlaced if own is not None else 0,
            colour=frames.colour(own, context),
            mastering=None if own is None else frames.mastering(own),
            light_level=None if own is None else frames.light_level(own),
            dolby_vision=None if own is None else frames.dolby_vision(own, tag),
        )

    def _last_duration(self, track: Track, stream: AvVideo, rate: Fraction | None) -> float:
        if track.last_duration and stream.time_base:
            return float(track.last_duration * stream.time_base)
        return float(1 / rate) if rate else 0.0

    def _audio(self, stream: AvAudio) -> AudioStream:
        track, context = self._tracks[stream.index], stream.codec_context
        end, taken = self._sound_end(stream, track), self._sound_taken.get(stream.index)
        return AudioStream(
            index=stream.index,
            codec=context.codec.canonical_name,
            sample_rate=context.sample_rate or 0,
            channels=context.channels,
            layout=context.layout.name,
            default=streams.is_default(stream),
            language=streams.language(stream),
            title=streams.title(stream),
            marks=streams.marks(stream),
            packets=track.count,
            size_bytes=self._bytes[stream.index],
            hidden_seconds=float(self._discarded[stream.index]),
            first_pts=_seconds(track.first, stream),
            end_pts=None if end is None else float(end),
            window=None if taken is None else (float(taken[0]), float(taken[1])),
        )

    def _subtitle(self, stream: AvSubtitle) -> SubtitleStream:
        return SubtitleStream(
            index=stream.index,
            codec=stream.codec_context.codec.canonical_name,
            default=streams.is_default(stream),
            language=streams.language(stream),
            title=streams.title(stream),
            marks=streams.marks(stream),
            events=self._tracks[stream.index].count,
            size_bytes=self._bytes[stream.index],
            window_events=self._text_events[stream.index],
        )

    def _sound_end(self, stream: AvAudio, track: Track) -> Fraction | None:
        frame = self._last_sound.get(stream.index)
        if frame is not None and frame.pts is not None and frame.time_base is not None and frame.sample_rate:
            return frame.pts * frame.time_base + Fraction(frame.samples, frame.sample_rate)
        if track.last is None or stream.time_base is None:
            return None
        return (track.last + track.last_duration) * stream.time_base

    def _window(self) -> Window | None:
        start = self._request.window_start
        if start is None or self._main is None:
            return None
        track = self._tracks[self._main.index]
        counted = track.window
        if counted is None or track.untimed or self._made_up:
            return None
        return Window(
            start=start,
            duration=self._request.window_duration,
            frames=counted.frames,
            first_pts=_seconds(counted.first, self._main),
            last_pts=_seconds(counted.last, self._main),
            last_duration=float(counted.last_duration * (self._main.time_base or 0)),
            keyframe_pts=_seconds(counted.keyframe, self._main),
        )


def _seconds(ticks: int | None, stream: Stream) -> float | None:
    return None if ticks is None or stream.time_base is None else float(ticks * stream.time_base)


def _is_known(stream: Stream) -> bool:
    """PyAV makes no context for a codec that libav has no decoder for, though its stubs say so."""
    return bool(stream.codec_context)


def _is_stamped(path: Path) -> bool:
    """Each packet of a ts begins with the byte 0x47; here after four bytes of time."""
    with path.open("rb") as file:
        head = file.read(197)
    return head[4:5] == head[196:197] == b"G"


def _hidden(packet: Packet) -> bool:
    """A VP8 frame that is only a reference (RFC 6386 §9.1: bit 4 of the first byte is show_frame). Other codecs pack such
    frames together with a shown one."""
    if packet.stream.codec_context.name != "vp8":
        return False
    return not bytes(packet)[0] & 0x10
