"""Sources that are broken, hostile, or no video at all. Each must be refused, or done as far as it is there, and that be told."""

from pathlib import Path

from tests.corpus.codecs import AAC, H264, SIGHT, SOUND
from tests.corpus.source import Bytes, Source


def _cut(name: str, share: float) -> Bytes:
    def make(folder: Path) -> bytes:
        whole = (folder / name).read_bytes()
        return whole[: int(len(whole) * share)]

    return make


def _flipped(name: str, begin: float, end: float) -> Bytes:
    """Every 40th byte between two places is another."""

    def make(folder: Path) -> bytes:
        spoilt = bytearray((folder / name).read_bytes())
        for place in range(int(len(spoilt) * begin), int(len(spoilt) * end), 40):
            spoilt[place] ^= 0xFF
        return bytes(spoilt)

    return make


_PLAYLIST = "#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXTINF:2,\nh264.mp4\n#EXT-X-ENDLIST\n"

SOURCES = (
    Source(name="empty.mp4", special="0 bytes", make=lambda _: b"", refused="input_invalid", says="empty"),
    Source(name="text.mp4", special="a text", make=lambda _: b"This is no video.\n" * 50, refused="input_invalid"),
    Source(
        name="noise.mkv",
        special="random bytes",
        make=lambda _: bytes((7919 * n * n >> 5) & 255 for n in range(9000)),
        refused="input_invalid",
    ),
    Source(
        name="picture.mp4",
        special="a PNG under the name of a video",
        of=("cover.png",),
        make=lambda folder: (folder / "cover.png").read_bytes(),
        refused="input_invalid",
    ),
    Source(
        name="playlist.m3u8",
        special="an HLS playlist",
        make=lambda _: _PLAYLIST.encode(),
        refused="input_invalid",
        says="playlists",
    ),
    Source(
        name="playlist.mp4",
        special="an HLS playlist posing as an mp4",
        make=lambda _: _PLAYLIST.encode(),
        refused="input_invalid",
    ),
    Source(
        name="concat.mp4",
        special="a list for ffmpeg's concat posing as an mp4",
        make=lambda _: b"ffconcat version 1.0\nfile h264.mp4\n",
        refused="input_invalid",
    ),
    Source(
        name="no-index.mp4",
        special="an mp4 that was never finished: no moov",
        of=("h264.mp4",),
        make=_cut("h264.mp4", 0.6),
        refused="input_truncated",
    ),
    Source(
        name="cut.mp4",
        special="an mp4 with its index in front, cut off",
        of=("fast-start.mp4",),
        make=_cut("fast-start.mp4", 0.6),
        refused="input_truncated",
    ),
    Source(
        name="cut.mkv",
        special="a Matroska file, cut off",
        of=("ffv1.mkv",),
        make=_cut("ffv1.mkv", 0.6),
        refused="input_truncated",
    ),
    Source(
        name="cut.webm",
        special="a WebM file, cut off",
        of=("vp9.webm",),
        make=_cut("vp9.webm", 0.6),
        refused="input_truncated",
    ),
    Source(
        name="cut.avi",
        special="an AVI file, cut off",
        of=("mjpeg.avi",),
        make=_cut("mjpeg.avi", 0.6),
        refused="input_truncated",
    ),
    Source(
        name="cut.ts",
        special="a ts, cut off: what is there is the input",
        of=("mpeg2.ts",),
        make=_cut("mpeg2.ts", 0.6),
        frames=None,
        seconds=0.6,
        damaged=True,
        sound=("eng",),
    ),
    Source(
        name="cut.flv",
        special="an FLV, cut off: what is there is the input",
        of=("h264.flv",),
        make=_cut("h264.flv", 0.6),
        frames=None,
        seconds=0.6,
        damaged=True,
        sound=("",),
    ),
    Source(
        name="cut.ogv",
        special="an Ogg file, cut off: what is there is the input",
        of=("theora.ogv",),
        make=_cut("theora.ogv", 0.6),
        frames=None,
        seconds=0.6,
        damaged=True,
        sound=("",),
    ),
    Source(
        name="head-only.mp4",
        special="the first 40 bytes of an mp4",
        of=("h264.mp4",),
        make=lambda folder: (folder / "h264.mp4").read_bytes()[:40],
        refused="input_invalid",
    ),
    Source(
        name="flipped.mp4",
        special="damaged pictures in an mp4 whose index is whole",
        of=("fast-start.mp4",),
        make=_flipped("fast-start.mp4", 0.35, 0.9),
        frames=None,
        damaged=True,
        sound=("",),
    ),
    Source(
        name="flipped.mkv",
        special="a Matroska file with damaged bytes",
        of=("ffv1.mkv",),
        make=_flipped("ffv1.mkv", 0.2, 0.9),
        frames=None,
        damaged=True,
        sound=("eng",),
    ),
    Source(
        name="flipped.ts",
        special="a ts with damaged bytes",
        of=("mpeg2.ts",),
        make=_flipped("mpeg2.ts", 0.2, 0.9),
        frames=None,
        damaged=True,
        sound=("eng",),
    ),
    Source(
        name="overlap.ts",
        special="two recordings in one: the second begins before the first ends",
        of=("first-size.ts", "overlapping.ts"),
        make=lambda folder: (folder / "first-size.ts").read_bytes() + (folder / "overlapping.ts").read_bytes(),
        frames=None,
        damaged=True,
    ),
    Source(
        name="no-samples.mp4",
        special="an mp4 with an index of nothing",
        arguments=(*SIGHT, "-t", "0", *H264),
        refused="no_video_stream",
    ),
    Source(
        name="huge.avi",
        special="claims pictures of 16000x16000",
        arguments=("-f", "lavfi", "-i", "color=size=16000x16000", "-frames:v", "1", "-c:v", "mjpeg"),
        refused="input_invalid",
        says="16000x16000",
    ),
    Source(
        name="encrypted.mp4",
        special="encrypted (Common Encryption)",
        arguments=(
            *SIGHT,
            *SOUND,
            *H264,
            *AAC,
            "-encryption_scheme",
            "cenc-aes-ctr",
            "-encryption_key",
            "00112233445566778899aabbccddeeff",
            "-encryption_kid",
            "00112233445566778899aabbccddeeff",
        ),
        refused="input_invalid",
        says="encrypted",
    ),
    Source(name="sound-only.m4a", special="no picture", arguments=(*SOUND, *AAC), refused="no_video_stream"),
    Source(
        name="song.mp3",
        special="no picture but a cover",
        arguments=(
            *SOUND,
            "-i",
            "{folder}/cover.png",
            "-map",
            "0",
            "-map",
            "1",
            "-c:a",
            "mp3",
            "-c:v",
            "copy",
            "-disposition:v",
            "attached_pic",
        ),
        refused="no_video_stream",
    ),
)
#: what others are made of, and no sources themselves
PARTS = (
    Source(
        name="fast-start.mp4",
        special="",
        arguments=(*SIGHT, *SOUND, *H264, *AAC, "-movflags", "+faststart"),
        sound=("",),
    ),
)
