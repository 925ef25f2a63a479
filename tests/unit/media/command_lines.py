"""Specs, sources and the whole command lines that follow. $QUIET and $GUARD stand for what every command begins with."""

from ffrtmp.domain.spec import (
    Audio,
    AudioCodec,
    Codec,
    Container,
    Deinterlace,
    Input,
    InputKind,
    Pick,
    PixelFormat,
    Preset,
    Rate,
    RateMode,
    Spec,
    Tracks,
)
from ffrtmp.domain.units import Resolution
from ffrtmp.media.inspection import (
    Attachment,
    AudioStream,
    Colour,
    Inspection,
    LightLevel,
    Mastering,
    SubtitleStream,
    VideoStream,
    Window,
)

QUIET = "/ff -nostdin -hide_banner -nostats -v warning -y -progress pipe:1 -stats_period 0.5"
GUARD = (
    "-protocol_whitelist file"
    " -format_whitelist matroska,webm,mov,mp4,m4a,3gp,3g2,mj2,mpegts,mpeg,mpegvideo,avi,asf,flv,live_flv,ogg,ivf,obu,"
    "yuv4mpegpipe,h264,hevc,mxf,dv,wav,mp3,aac,ac3,eac3,flac"
    " -codec_whitelist h264,hevc,av1,libdav1d,vp8,vp9,mpeg1video,mpeg2video,mpeg4,msmpeg4v2,msmpeg4,h263,flv,wmv1,wmv2,"
    "wmv3,vc1,mjpeg,prores,dnxhd,dvvideo,ffv1,huffyuv,ffvhuff,utvideo,v210,rawvideo,theora,vp6,vp6f,cfhd,aac,aac_latm,"
    "ac3,eac3,mp2,mp2float,mp3,mp3float,opus,libopus,vorbis,flac,alac,dca,truehd,mlp,wmav1,wmav2,wmapro,amrnb,amrwb,"
    "adpcm_ms,adpcm_ima_wav,pcm_alaw,pcm_mulaw,pcm_u8,pcm_s16le,pcm_s16be,pcm_s24le,pcm_s24be,pcm_s32le,pcm_s32be,"
    "pcm_f32le,pcm_f32be,pcm_bluray,pcm_dvd,subrip,srt,ass,ssa,webvtt,mov_text,text,png"
    " -max_pixels 67108864 -max_streams 100"
)
VIDEO = VideoStream(
    index=0,
    codec="h264",
    width=1280,
    height=720,
    pixel_format="yuv420p",
    time_base="1/12800",
    frames=132,
    first_pts=0.0,
    last_pts=5.24,
    last_duration=0.04,
    rate="25",
    constant_rate=True,
)
SOUND = AudioStream(index=1, codec="aac", sample_rate=48000, channels=2, packets=249, first_pts=0.0, end_pts=5.312)
SOURCE = Inspection(
    container="mov,mp4,m4a,3gp,3g2,mj2", size_bytes=1055736, duration_seconds=5.312, video=[VIDEO], audio=[SOUND]
)
CUT = Window(
    start=2.0,
    duration=1.5,
    frames=38,
    first_pts=2.0,
    last_pts=3.48,
    last_duration=0.04,
    keyframe_pts=1.92,
)


def changed(base, **changes):
    return type(base)(**{**{name: getattr(base, name) for name in base.__struct_fields__}, **changes})


TAKEN = changed(SOURCE, window=CUT, audio=[changed(SOUND, window=(2.0, 3.5))])


def spec(**parts) -> Spec:
    made = {
        "input": Input(kind=InputKind.FILE, path="in.mp4"),
        "codec": Codec.H264,
        "container": Container.MP4,
        "rate": Rate(mode=RateMode.CRF, crf=23.0),
    }
    return Spec(**{**made, **parts})


HDR = changed(
    VIDEO,
    codec="hevc",
    pixel_format="yuv420p10le",
    bits=10,
    colour=Colour(primaries="bt2020", transfer="smpte2084", matrix="bt2020nc", range="tv"),
    mastering=Mastering(
        red=(34000, 16000),
        green=(13250, 34500),
        blue=(7500, 3000),
        white=(15635, 16450),
        max_luminance=10_000_000,
        min_luminance=50,
    ),
    light_level=LightLevel(max_content=900, max_average=400),
)
RICH = changed(
    SOURCE,
    audio=[
        changed(SOUND, language="eng"),
        changed(SOUND, index=2, codec="dts", channels=6, layout="5.1(side)", language="de"),
    ],
    subtitles=[SubtitleStream(index=3, codec="subrip", language="fre", events=9, window_events=2)],
    covers=[Attachment(index=4, codec="mjpeg")],
    chapters=2,
)
#: of a picture that says nothing, made so small that players would take it for BT.601
LABEL = ",setparams=color_primaries=bt709:color_trc=bt709:colorspace=bt709"
GENERATE = {"input": Input(kind=InputKind.GENERATE)}
KEEP = "-fps_mode:v passthrough -enc_time_base:v 1/25"
END = "-max_muxing_queue_size 4096 -f"
BITRATE = Rate(mode=RateMode.BITRATE, bitrate_bps=2_000_000)
CAPPED = Rate(mode=RateMode.CRF, crf=21.5, max_bitrate_bps=3_000_000)
VBR = Rate(mode=RateMode.BITRATE, bitrate_bps=2_000_000, max_bitrate_bps=3_000_000)

#: name → (spec, encoder, threads, source, the command line)
ONE_PASS = {
    "h264 in mp4": (
        spec(),
        "libx264",
        None,
        SOURCE,
        f"$QUIET $GUARD -i file:/in/in.mp4 -map 0:0 -c:v libx264 -preset medium -crf 23 -pix_fmt yuv420p {KEEP}"
        f" -map 0:1 -c:a copy -movflags +faststart {END} mp4 file:/out/.stage",
    ),
    "h265 in mp4 with threads": (
        spec(codec=Codec.H265, rate=CAPPED, preset=Preset.SLOW, tune="grain", profile="main10"),
        "libx265",
        3,
        SOURCE,
        "$QUIET $GUARD -threads 3 -i file:/in/in.mp4 -map 0:0 -c:v libx265 -preset slow -tune grain -profile:v main10"
        " -crf 21.5 -maxrate 3000000 -bufsize 6000000 -pix_fmt yuv420p10le -x265-params log-level=error:pools=3"
        f" {KEEP} -map 0:1 -c:a copy -tag:v hvc1 -movflags +faststart {END} mp4 file:/out/.stage",
    ),
    "h264 by bitrate in ts": (
        spec(container=Container.TS, rate=VBR, gop_seconds=2.0, pixel_format=PixelFormat.YUV422P, profile="high422"),
        "libx264",
        2,
        SOURCE,
        "$QUIET $GUARD -threads 2 -i file:/in/in.mp4 -map 0:0 -c:v libx264 -preset medium -profile:v high422"
        " -b:v 2000000 -maxrate 3000000 -bufsize 6000000 -pix_fmt yuv422p -g 50 -threads 2"
        f" {KEEP} -map 0:1 -c:a copy {END} mpegts file:/out/.stage",
    ),
    "vp8 by crf in webm": (
        spec(codec=Codec.VP8, container=Container.WEBM, rate=Rate(mode=RateMode.CRF, crf=10.0)),
        "libvpx",
        None,
        SOURCE,
        "$QUIET $GUARD -i file:/in/in.mp4 -map 0:0 -c:v libvpx -deadline good -cpu-used 3 -crf 10 -qmin 0 -qmax 63"
        f" -b:v 100000000 -pix_fmt yuv420p {KEEP} -map 0:1 -filter:a"
        " aformat=channel_layouts=stereo -c:a libopus -b:a 96000"
        f" {END} webm file:/out/.stage",
    ),
    "vp9 by crf, fastest": (
        spec(codec=Codec.VP9, container=Container.MKV, rate=Rate(mode=RateMode.CRF, crf=32.0), preset=Preset.ULTRAFAST),
        "libvpx-vp9",
        4,
        SOURCE,
        "$QUIET $GUARD -threads 4 -i file:/in/in.mp4 -map 0:0 -c:v libvpx-vp9 -deadline realtime -cpu-used 8 -row-mt 1"
        f" -crf 32 -b:v 0 -pix_fmt yuv420p -threads 4 {KEEP} -map 0:1 -c:a copy {END} matroska file:/out/.stage",
    ),
    "vp9 capped": (
        spec(codec=Codec.VP9, container=Container.WEBM, rate=CAPPED, audio=Audio(codec=AudioCodec.NONE)),
        "libvpx-vp9",
        None,
        SOURCE,
        "$QUIET $GUARD -i file:/in/in.mp4 -map 0:0 -c:v libvpx-vp9 -deadline good -cpu-used 3 -row-mt 1"
        f" -crf 21.5 -b:v 3000000 -pix_fmt yuv420p {KEEP} -an {END} webm file:/out/.stage",
    ),
    "av1 with SVT-AV1": (
        spec(codec=Codec.AV1, rate=Rate(mode=RateMode.CRF, crf=35.0), keep_metadata=False),
        "libsvtav1",
        2,
        SOURCE,
        "$QUIET $GUARD -threads 2 -i file:/in/in.mp4 -map 0:0 -c:v libsvtav1 -preset 8 -crf 35 -pix_fmt yuv420p"
        f" -svtav1-params lp=2 {KEEP} -map 0:1 -c:a copy -map_metadata -1 -map_chapters -1 -movflags +faststart"
        f" {END} mp4 file:/out/.stage",
    ),
    "av1 with SVT-AV1, by bitrate with a cap": (
        spec(codec=Codec.AV1, container=Container.MKV, rate=VBR, preset=Preset.VERYSLOW),
        "libsvtav1",
        None,
        SOURCE,
        "$QUIET $GUARD -i file:/in/in.mp4 -map 0:0 -c:v libsvtav1 -preset 2 -b:v 2000000 -pix_fmt yuv420p"
        f" -svtav1-params maxsection-pct=150 {KEEP} -map 0:1 -c:a copy {END} matroska file:/out/.stage",
    ),
    "av1 with libaom": (
        spec(codec=Codec.AV1, container=Container.WEBM, rate=BITRATE, audio=Audio(codec=AudioCodec.NONE)),
        "libaom-av1",
        2,
        SOURCE,
        "$QUIET $GUARD -threads 2 -i file:/in/in.mp4 -map 0:0 -c:v libaom-av1 -cpu-used 5 -row-mt 1 -b:v 2000000"
        f" -pix_fmt yuv420p -threads 2 {KEEP} -an {END} webm file:/out/.stage",
    ),
    "an exact size and mono AAC": (
        spec(resolution=Resolution(640, 480), audio=Audio(codec=AudioCodec.AAC, bitrate_bps=96_000, channels=1)),
        "libx264",
        None,
        SOURCE,
        "$QUIET $GUARD -i file:/in/in.mp4 -map 0:0 -filter:v scale=640:480:flags=bicubic,setsar=1/1"
        f"{LABEL} -c:v libx264"
        f" -preset medium -crf 23 -pix_fmt yuv420p {KEEP} -map 0:1 -c:a aac -b:a 96000 -ac 1 -movflags +faststart"
        f" {END} mp4 file:/out/.stage",
    ),
    "one side, NTSC rate": (
        spec(resolution=Resolution(None, 360), fps="30000/1001", gop_seconds=2.0, audio=Audio(codec=AudioCodec.NONE)),
        "libx264",
        None,
        SOURCE,
        "$QUIET $GUARD -i file:/in/in.mp4 -map 0:0 -filter:v fps=30000/1001,scale=640:360:flags=bicubic,setsar=1/1"
        f"{LABEL}"
        " -c:v libx264 -preset medium -crf 23 -pix_fmt yuv420p -g 60 -fps_mode:v passthrough"
        f" -enc_time_base:v 1001/30000 -an -movflags +faststart {END} mp4 file:/out/.stage",
    ),
    "a cut": (
        spec(start=2.0, duration=1.5),
        "libx264",
        None,
        TAKEN,
        "$QUIET $GUARD -copyts -noaccurate_seek -ss 1.420000 -i file:/in/in.mp4 -map 0:0"
        " -filter:v trim=start=1.999600:end=3.480600,setpts=round(PTS-2.000000/TB) -c:v libx264 -preset medium -crf 23"
        f" -pix_fmt yuv420p {KEEP} -map 0:1"
        " -filter:a atrim=start=2.000000:end=3.500000,asetpts=round(PTS-2.000000/TB) -c:a aac -b:a 128000"
        f" -map_chapters -1 -movflags +faststart {END} mp4 file:/out/.stage",
    ),
    "a cut at another rate, from a file that starts at 10 s": (
        spec(start=2.0, fps="50", audio=Audio(codec=AudioCodec.NONE)),
        "libx264",
        None,
        changed(
            SOURCE,
            start_seconds=10.0,
            window=changed(CUT, duration=None, frames=82, first_pts=12.0, last_pts=15.24, keyframe_pts=10.2),
            audio=[changed(SOUND, window=(12.0, 15.3))],
        ),
        "$QUIET $GUARD -copyts -noaccurate_seek -i file:/in/in.mp4 -map 0:0"
        " -filter:v setpts=round(PTS-12.000000/TB),fps=50:start_time=0,trim=end_frame=164"
        " -c:v libx264 -preset medium -crf 23 -pix_fmt yuv420p -fps_mode:v passthrough -enc_time_base:v 1/50 -an"
        f" -map_chapters -1 -movflags +faststart {END} mp4 file:/out/.stage",
    ),
    "interlaced HDR10, kept, a frame for each field": (
        spec(codec=Codec.H265, deinterlace=Deinterlace.FIELD, audio=Audio(codec=AudioCodec.NONE)),
        "libx265",
        None,
        changed(SOURCE, video=[changed(HDR, interlaced_frames=16, looked_at=16)]),
        "$QUIET $GUARD -i file:/in/in.mp4 -map 0:0 -filter:v bwdif=mode=send_field:parity=auto:deint=all"
        " -c:v libx265 -preset medium -crf 23 -pix_fmt yuv420p10le -x265-params"
        " log-level=error:master-display=G(13250,34500)B(7500,3000)R(34000,16000)WP(15635,16450)L(10000000,50)"
        ":max-cll=900,400 -fps_mode:v passthrough -enc_time_base:v 1/50 -an -tag:v hvc1 -movflags +faststart"
        f" {END} mp4 file:/out/.stage",
    ),
    "HDR10 by SVT-AV1": (
        spec(codec=Codec.AV1, container=Container.MKV, audio=Audio(codec=AudioCodec.NONE)),
        "libsvtav1",
        None,
        changed(SOURCE, video=[HDR]),
        "$QUIET $GUARD -i file:/in/in.mp4 -map 0:0 -c:v libsvtav1 -preset 8 -crf 23 -pix_fmt yuv420p10le -svtav1-params"
        " mastering-display=G(0.265,0.69)B(0.15,0.06)R(0.68,0.32)WP(0.3127,0.329)L(1000,0.005):content-light=900,400"
        f" {KEEP} -an {END} matroska file:/out/.stage",
    ),
    "HDR10, tone-mapped": (
        spec(audio=Audio(codec=AudioCodec.NONE)),
        "libx264",
        None,
        changed(SOURCE, video=[HDR]),
        "$QUIET $GUARD -i file:/in/in.mp4 -map 0:0 -filter:v"
        " zscale=tin=smpte2084:pin=bt2020:min=bt2020nc:rin=tv:transfer=linear:npl=100,format=gbrpf32le,"
        "zscale=primaries=bt709,tonemap=tonemap=hable:desat=0:peak=9,zscale=transfer=bt709:matrix=bt709:range=tv,"
        "format=yuv420p,sidedata=mode=delete:type=MASTERING_DISPLAY_METADATA,"
        "sidedata=mode=delete:type=CONTENT_LIGHT_LEVEL -c:v libx264 -preset medium -crf 23 -pix_fmt yuv420p"
        f" {KEEP} -an -movflags +faststart {END} mp4 file:/out/.stage",
    ),
    "two tracks, subtitles and a cover, without metadata but with languages": (
        spec(audio=Audio(tracks=Tracks(pick=Pick.ALL)), keep_metadata=False),
        "libx264",
        None,
        RICH,
        f"$QUIET $GUARD -i file:/in/in.mp4 -map 0:0 -c:v libx264 -preset medium -crf 23 -pix_fmt yuv420p {KEEP}"
        " -map 0:1 -c:a:0 copy -metadata:s:a:0 language=eng"
        " -map 0:2 -filter:a:1 aformat=channel_layouts=5.1 -c:a:1 aac -b:a:1 384000 -metadata:s:a:1 language=deu"
        " -map 0:3 -c:s:0 mov_text -metadata:s:s:0 language=fre -map_metadata -1 -map_chapters -1"
        f" -movflags +faststart {END} mp4 file:/out/.stage",
    ),
    "a cover in mp4": (
        spec(codec=Codec.H265, audio=Audio(codec=AudioCodec.NONE), subtitles=Tracks(pick=Pick.NONE)),
        "libx265",
        None,
        RICH,
        "$QUIET $GUARD -i file:/in/in.mp4 -map 0:0 -c:v:0 libx265 -preset medium -crf 23 -pix_fmt yuv420p -x265-params"
        " log-level=error -fps_mode:v:0 passthrough -enc_time_base:v:0 1/25 -an"
        " -map 0:4 -c:v:1 copy -disposition:v:1 attached_pic -tag:v:0 hvc1 -movflags +faststart"
        f" {END} mp4 file:/out/.stage",
    ),
    "a cover in Matroska, subtitles that were cut": (
        spec(container=Container.MKV, start=2.0, duration=1.5, audio=Audio(codec=AudioCodec.NONE)),
        "libx264",
        None,
        changed(RICH, window=CUT),
        "$QUIET $GUARD -copyts -noaccurate_seek -ss 1.420000 -i file:/in/in.mp4 -i file:/scratch/subtitles.mkv -map 0:0"
        " -filter:v trim=start=1.999600:end=3.480600,setpts=round(PTS-2.000000/TB) -c:v libx264 -preset medium -crf 23"
        f" -pix_fmt yuv420p {KEEP} -an -map 1:s:0 -c:s:0 copy -attach file:/scratch/cover4.jpg"
        " -metadata:s:t:0 mimetype=image/jpeg -metadata:s:t:0 filename=cover.jpg -map_chapters -1"
        f" {END} matroska file:/out/.stage",
    ),
    "an odd size with a variable rate": (
        spec(audio=Audio(codec=AudioCodec.NONE)),
        "libx264",
        None,
        changed(SOURCE, video=[changed(VIDEO, width=853, height=481, constant_rate=False)]),
        "$QUIET $GUARD -i file:/in/in.mp4 -map 0:0 -filter:v crop=852:480:0:0 -c:v libx264 -preset medium -crf 23"
        " -pix_fmt yuv420p -fps_mode:v passthrough -enc_time_base:v demux -an -movflags +faststart"
        f" {END} mp4 file:/out/.stage",
    ),
    "generated": (
        spec(**GENERATE, duration=2.5),
        "libx264",
        None,
        None,
        "$QUIET -f lavfi -i testsrc2=size=1280x720:rate=30:duration=2.5"
        " -f lavfi -i sine=frequency=440:beep_factor=4:sample_rate=48000:duration=2.5"
        " -map 0:v:0 -c:v libx264 -preset medium -crf 23 -pix_fmt yuv420p -map 1:a:0 -c:a aac -b:a 64000"
        f" -movflags +faststart {END} mp4 file:/out/.stage",
    ),
    "generated, all set, without sound": (
        spec(
            **GENERATE,
            codec=Codec.AV1,
            container=Container.MKV,
            resolution=Resolution(None, 360),
            fps="30000/1001",
            audio=Audio(codec=AudioCodec.NONE),
            rate=Rate(mode=RateMode.CRF, crf=0.0),
        ),
        "libsvtav1",
        None,
        None,
        "$QUIET -f lavfi -i testsrc2=size=640x360:rate=30000/1001:duration=10 -map 0:v:0 -c:v libsvtav1 -preset 8"
        f" -crf 1 -pix_fmt yuv420p -an {END} matroska file:/out/.stage",
    ),
}
