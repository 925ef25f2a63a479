"""Sources that differ by when their frames and their sound come, and by their tracks."""

from tests.corpus.codecs import AAC, H264, SIGHT, SOUND
from tests.corpus.source import Source

_SHORT = ("-f", "lavfi", "-i", "sine=frequency=440:sample_rate=48000:duration=0.4")
_LONG = ("-f", "lavfi", "-i", "sine=frequency=440:sample_rate=48000:duration=2")
_DROPS = ("-vf", "select='not(eq(mod(n,5),3))',setpts='PTS+if(gt(N,10),0.3,0)/TB'", "-fps_mode", "vfr")
#: of the wrap of 33 bits, half a second before
_BEFORE_WRAP = str(2**33 / 90_000 - 0.5)


def _sound(layout: str, frequency: int = 440) -> tuple[str, ...]:
    return (
        "-f",
        "lavfi",
        "-i",
        f"sine=frequency={frequency}:sample_rate=48000:duration=1,aformat=channel_layouts={layout}",
    )


TIMES = (
    Source(
        name="vfr.mp4",
        special="a variable rate, with a gap of 0.3 s",
        arguments=(*SIGHT, *SOUND, *_DROPS, *H264, *AAC),
        frames=20,
        seconds=1.3,
        sound=("",),
        steady=False,
    ),
    Source(
        name="vfr.mkv",
        special="the same on a clock of milliseconds",
        arguments=("-i", "{folder}/vfr.mp4", "-c", "copy"),
        frames=20,
        seconds=1.3,
        sound=("",),
        steady=False,
    ),
    Source(
        name="box.mp4",
        special="real: a webcam by VLC, variable rate on microseconds, MP3 first and late",
        shipped="box.mp4",
        size=(640, 480),
        frames=36,
        seconds=1.202,
        sound=("eng",),
        steady=False,
    ),
    Source(
        name="cup.mp4",
        special="real: a telephone, 26.777 frames a second, BT.601 with the transfer of BT.709",
        shipped="cup.mp4",
        size=(640, 480),
        frames=33,
        seconds=1.232,
        sound=("zho",),
    ),
    Source(
        name="bunny.mp4",
        special="real: a film, H.264 with B-frames, AAC stereo",
        shipped="bunny.mp4",
        size=(640, 360),
        frames=132,
        seconds=5.28,
        sound=("",),
    ),
    Source(
        name="ntsc.mp4",
        special="30000/1001",
        arguments=("-f", "lavfi", "-i", "testsrc2=size=192x108:rate=30000/1001:duration=1", *H264),
        frames=30,
        seconds=1.001,
    ),
    Source(
        name="slow-motion.mp4",
        special="240 frames a second",
        arguments=("-f", "lavfi", "-i", "testsrc2=size=192x108:rate=240:duration=0.4", *H264),
        frames=96,
        seconds=0.4,
    ),
    Source(
        name="1000fps.mkv",
        special="1000 frames a second: one each tick of the clock",
        arguments=("-f", "lavfi", "-i", "testsrc2=size=64x64:rate=1000:duration=0.2", "-c:v", "ffv1"),
        size=(64, 64),
        frames=200,
        seconds=0.2,
    ),
    Source(
        name="slide.mp4",
        special="one frame each two seconds",
        arguments=("-f", "lavfi", "-i", "testsrc2=size=192x108:rate=1/2:duration=6", *H264),
        frames=3,
        seconds=6.0,
    ),
    Source(
        name="one-frame.mp4",
        special="one frame only",
        arguments=(*SIGHT, "-frames:v", "1", *H264),
        frames=1,
        seconds=0.04,
    ),
    Source(
        name="edit-list.mp4",
        special="an edit list hides the first 0.3 s",
        arguments=("-ss", "0.3", "-i", "{folder}/h264.mp4", "-map", "0", "-c", "copy"),
        frames=None,
        seconds=0.7,
        sound=("eng",),
    ),
    Source(
        name="offset.ts",
        special="begins at 10 hours",
        arguments=(*SIGHT, *SOUND, *H264, *AAC, "-output_ts_offset", "36000"),
        sound=("",),
    ),
    Source(
        name="wrap.ts",
        special="the clock of 33 bits begins anew in the middle",
        arguments=(*SIGHT, *SOUND, *H264, *AAC, "-output_ts_offset", _BEFORE_WRAP),
        sound=("",),
    ),
    Source(
        name="offset.mkv",
        special="begins at 1000 s",
        arguments=(*SIGHT, *SOUND, *H264, *AAC, "-output_ts_offset", "1000"),
        sound=("",),
    ),
    Source(
        name="negative.mkv",
        special="the sound begins before zero",
        arguments=(*("-itsoffset", "-0.2", *SOUND, *SIGHT), *H264, *AAC, "-avoid_negative_ts", "disabled"),
        sound=("",),
    ),
    Source(
        name="joined.ts",
        special="two recordings in one: the clock jumps back",
        of=("offset.ts",),
        make=lambda folder: 2 * (folder / "offset.ts").read_bytes(),
        frames=50,
        seconds=2.0,
        sound=("",),
    ),
    Source(
        name="late-sound.mp4",
        special="the sound begins 0.4 s late",
        arguments=(*SIGHT, "-itsoffset", "0.4", *SOUND, *H264, *AAC),
        sound=("",),
    ),
    Source(
        name="late-picture.mkv",
        special="the picture begins 0.4 s late",
        arguments=("-itsoffset", "0.4", *SIGHT, *SOUND, *H264, *AAC),
        sound=("",),
    ),
    Source(
        name="long-sound.mkv",
        special="the sound is twice as long as the picture",
        arguments=(*SIGHT, *_LONG, *H264, *AAC),
        sound=("",),
    ),
    Source(
        name="short-sound.mp4",
        special="the sound ends after 0.4 s",
        arguments=(*SIGHT, *_SHORT, *H264, *AAC),
        sound=("",),
    ),
    Source(
        name="hole.mkv",
        special="the sound is away from 0.3 to 0.6 s",
        arguments=(*SIGHT, *SOUND, "-af", "aselect='not(between(t,0.3,0.6))'", *H264, *AAC),
        sound=("",),
    ),
)
SOUNDS = (
    Source(name="silent.mp4", special="no sound", arguments=(*SIGHT, *H264)),
    *(
        Source(
            name=name,
            special=special,
            arguments=(*SIGHT, *_sound(layout), *H264, *codec),
            sound=("",),
            channels=channels,
        )
        for name, special, layout, codec, channels in (
            ("ac3.mkv", "AC-3 5.1(side)", "5.1(side)", ("-c:a", "ac3"), 6),
            ("eac3.mp4", "E-AC-3 5.1", "5.1(side)", ("-c:a", "eac3"), 6),
            ("dts.mkv", "DTS 5.1", "5.1(side)", ("-c:a", "dca", "-strict", "-2"), 6),
            ("truehd.mkv", "Dolby TrueHD 5.1", "5.1(side)", ("-c:a", "truehd", "-strict", "-2"), 6),
            ("flac-7.1.mkv", "FLAC 7.1", "7.1", ("-c:a", "flac"), 8),
            ("flac.mp4", "FLAC in mp4", "stereo", ("-c:a", "flac"), 2),
            ("alac.mov", "ALAC", "stereo", ("-c:a", "alac"), 2),
            ("opus.mp4", "Opus in mp4", "stereo", ("-c:a", "libopus"), 2),
            ("mp3.mkv", "MP3", "stereo", ("-c:a", "mp3"), 2),
            ("quad.mkv", "four channels, FLAC", "4.0", ("-c:a", "flac"), 4),
            ("2.1.mkv", "2.1, FLAC", "2.1", ("-c:a", "flac"), 3),
            ("8khz.mkv", "8 kHz mono, PCM", "mono", ("-ar", "8000", "-c:a", "pcm_s16le"), 1),
            (
                "192khz.mkv",
                "192 kHz 24 bits, FLAC",
                "stereo",
                ("-ar", "192000", "-c:a", "flac", "-sample_fmt", "s32"),
                2,
            ),
            ("alaw.mov", "A-law", "mono", ("-ar", "8000", "-c:a", "pcm_alaw"), 1),
        )
    ),
    Source(
        name="wavpack.mkv",
        special="WavPack: no decoder that is let in",
        arguments=(*SIGHT, *SOUND, *H264, "-c:a", "wavpack"),
        refused="input_invalid",
        says="wavpack is not accepted",
    ),
)
TRACKS = (
    Source(
        name="languages.mkv",
        special="three tracks of sound: English 5.1, German, Japanese; the second is the default",
        arguments=(
            *(*SIGHT, *_sound("5.1"), *_sound("stereo", 660), *_sound("mono", 880)),
            *(
                "-map",
                "0",
                "-map",
                "1",
                "-map",
                "2",
                "-map",
                "3",
                *H264,
                "-c:a:0",
                "ac3",
                "-c:a:1",
                "aac",
                "-c:a:2",
                "libopus",
            ),
            *("-metadata:s:a:0", "language=eng", "-metadata:s:a:1", "language=ger", "-metadata:s:a:2", "language=jpn"),
            *("-disposition:a:0", "0", "-disposition:a:1", "default", "-disposition:a:2", "0"),
        ),
        sound=("eng", "ger", "jpn"),
        default_sound=1,
    ),
    Source(
        name="two-videos.mkv",
        special="two tracks of pictures",
        arguments=(
            *(*SIGHT, "-f", "lavfi", "-i", "color=red:size=64x64:rate=25:duration=1", "-map", "0", "-map", "1"),
            *H264,
        ),
    ),
    Source(
        name="texts.mkv",
        special="SubRip in English, ASS in French with its font, chapters, an attached file",
        arguments=(
            *(*SIGHT, *SOUND, "-i", "{folder}/captions.srt", "-i", "{folder}/chapters.txt"),
            *("-map", "0", "-map", "1", "-map", "2", "-map", "2", "-map_metadata", "3", *H264, *AAC),
            *("-c:s:0", "srt", "-c:s:1", "ass", "-metadata:s:s:0", "language=eng", "-metadata:s:s:1", "language=fre"),
            *("-attach", "{folder}/font.ttf", "-metadata:s:t", "mimetype=font/ttf"),
        ),
        sound=("",),
        texts=2,
        chapters=2,
        fonts=1,
    ),
    Source(
        name="texts.mp4",
        special="mov_text, chapters, a cover",
        arguments=(
            *("-i", "{folder}/texts.mkv", "-i", "{folder}/cover.png", "-map", "0:v", "-map", "0:a", "-map", "0:s:0"),
            *("-map", "1", "-c", "copy", "-c:s", "mov_text", "-disposition:v:1", "attached_pic"),
        ),
        sound=("",),
        texts=1,
        chapters=2,
        covers=1,
    ),
    Source(
        name="texts.webm",
        special="WebVTT in WebM",
        arguments=(
            *(*SIGHT, "-i", "{folder}/captions.srt", "-c:v", "libvpx", "-deadline", "realtime", "-cpu-used", "8"),
            *("-c:s", "webvtt"),
        ),
        texts=1,
    ),
    Source(
        name="blu-ray.mkv",
        special="subtitles as pictures: PGS",
        arguments=(
            "-i",
            "{folder}/upright.mp4",
            "-i",
            "{folder}/pictures.sup",
            "-map",
            "0",
            "-map",
            "1:s",
            "-c",
            "copy",
        ),
        sound=("",),
        pictures=("hdmv_pgs_subtitle",),
    ),
    Source(
        name="dvd.mkv",
        special="subtitles as pictures: DVD",
        arguments=(
            *("-i", "{folder}/upright.mp4", "-i", "{folder}/pictures.sup", "-map", "0", "-map", "1:s", "-c", "copy"),
            *("-c:s", "dvdsub"),
        ),
        sound=("",),
        pictures=("dvd_subtitle",),
    ),
    Source(
        name="dvb.ts",
        special="subtitles as pictures: DVB",
        arguments=(
            *("-i", "{folder}/upright.mp4", "-i", "{folder}/pictures.sup", "-map", "0", "-map", "1:s", "-c", "copy"),
            *("-c:s", "dvbsub"),
        ),
        sound=("",),
        pictures=("dvb_subtitle",),
    ),
)
#: what others are made of, and no sources themselves
PARTS = (
    Source(
        name="cover.png",
        special="",
        arguments=("-f", "lavfi", "-i", "testsrc2=size=64x64", "-frames:v", "1"),
    ),
)
SOURCES = (*TIMES, *SOUNDS, *TRACKS)
