"""What may be opened.

Playlists (HLS, DASH, ffconcat) under an innocent name would read other files, and rare decoders are where the holes are.
"""

PROTOCOLS = "file"
#: demuxers by FFmpeg's names; nothing that opens further files or devices
FORMATS = (
    "matroska,webm,mov,mp4,m4a,3gp,3g2,mj2,mpegts,mpeg,mpegvideo,avi,asf,flv,live_flv,ogg,ivf,obu,"
    "yuv4mpegpipe,h264,hevc,mxf,dv,wav,mp3,aac,ac3,eac3,flac"
)
#: decoders by FFmpeg's names
CODECS = (
    "h264,hevc,av1,libdav1d,vp8,vp9,mpeg1video,mpeg2video,mpeg4,msmpeg4v2,msmpeg4,h263,flv,wmv1,wmv2,"
    "wmv3,vc1,mjpeg,prores,dnxhd,dvvideo,ffv1,huffyuv,ffvhuff,utvideo,v210,rawvideo,theora,vp6,vp6f,cfhd,"
    "aac,aac_latm,ac3,eac3,mp2,mp2float,mp3,mp3float,opus,libopus,vorbis,flac,alac,dca,truehd,mlp,wmav1,"
    "wmav2,wmapro,amrnb,amrwb,adpcm_ms,adpcm_ima_wav,pcm_alaw,pcm_mulaw,pcm_u8,pcm_s16le,pcm_s16be,"
    "pcm_s24le,pcm_s24be,pcm_s32le,pcm_s32be,pcm_f32le,pcm_f32be,pcm_bluray,pcm_dvd,"
    "subrip,srt,ass,ssa,webvtt,mov_text,text"
)
#: of pictures that belong to a file, which FFmpeg must look at to copy them, within MAX_PIXELS; the inspector needs not
COVERS = "png"
#: width × height: 8192×8192. A 746 kB PNG once took 864 MB and 15 s.
MAX_PIXELS = 64 * 1024 * 1024

#: a hostile header may announce thousands of streams
MAX_STREAMS = 100

#: for FFmpeg's command line, before an input
ARGUMENTS = (
    *("-protocol_whitelist", PROTOCOLS),
    *("-format_whitelist", FORMATS),
    *("-codec_whitelist", f"{CODECS},{COVERS}"),
    *("-max_pixels", str(MAX_PIXELS)),
    *("-max_streams", str(MAX_STREAMS)),
)
#: the same for libav's `avformat_open_input`
OPTIONS = {
    "protocol_whitelist": PROTOCOLS,
    "format_whitelist": FORMATS,
    "codec_whitelist": CODECS,
    "max_streams": str(MAX_STREAMS),
}


def decodable(decoder: str) -> bool:
    return decoder in CODECS.split(",")
