"""The main outputs of the corpus: what each asks, and of which sources."""

from dataclasses import dataclass, field
from typing import Any

from tests.corpus.source import Source


@dataclass(frozen=True, kw_only=True)
class Output:
    name: str
    parameters: dict[str, Any]
    codec: str = ""  #: libav's name of the picture's that must come out
    container: str = ""  #: extension
    texts: str = ""  #: libav's name of what text subtitles become; "": none is carried
    pictures: frozenset[str] = field(default_factory=frozenset)  #: of subtitles, that are carried
    ten_bits: bool = False  #: kept
    sound: str = ""  #: asked of sources that have any
    tracks: bool = False  #: all of them
    hdr_only: bool = False
    engine: str = "ffmpeg"
    part: tuple[float, int] | None = None  #: (seconds, frames) that come out of a source of one second
    measures: str = ""  #: the output that is measured

    def asks(self, source: Source) -> bool:
        return not self.hdr_only or bool(source.hdr)

    def submission(self, source: Source) -> dict[str, Any]:
        """Without its input and output."""
        parameters = {"preset": "ultrafast", **self.parameters}
        if self.sound and source.sound:
            parameters["audio"] = {"codec": self.sound, **({"tracks": "all"} if self.tracks else {})}
        elif self.tracks and source.sound:
            parameters["audio"] = {"tracks": "all"}
        return {"engine": self.engine, "parameters": parameters}

    @property
    def height(self) -> int | None:
        return self.parameters.get("resolution")


_PICTURES = frozenset({"hdmv_pgs_subtitle", "dvd_subtitle", "dvb_subtitle"})
_PART = {"start": 0.2, "duration": 0.6, "fps": 20, "resolution": 54}

OUTPUTS = (
    Output(
        name="mp4 h264",
        parameters={"codec": "h264", "container": "mp4"},
        codec="h264",
        container="mp4",
        texts="mov_text",
    ),
    Output(
        name="mp4 h265",
        parameters={"codec": "h265", "container": "mp4"},
        codec="hevc",
        container="mp4",
        texts="mov_text",
        ten_bits=True,
        tracks=True,
    ),
    Output(
        name="mkv av1 opus",
        parameters={"codec": "av1", "container": "mkv"},
        codec="av1",
        container="mkv",
        texts="any",
        pictures=_PICTURES,
        ten_bits=True,
        sound="opus",
        tracks=True,
    ),
    Output(
        name="webm vp9",
        parameters={"codec": "vp9", "container": "webm"},
        codec="vp9",
        container="webm",
        texts="webvtt",
        ten_bits=True,
        tracks=True,
    ),
    Output(
        name="ts h264",
        parameters={"codec": "h264", "container": "ts"},
        codec="h264",
        container="ts",
        pictures=frozenset({"dvb_subtitle"}),
        tracks=True,
    ),
    Output(
        name="h265 to SDR",
        parameters={"codec": "h265", "container": "mp4", "hdr": "tonemap"},
        codec="hevc",
        container="mp4",
        texts="mov_text",
        ten_bits=True,
        hdr_only=True,
    ),
    Output(
        name="part, 20 fps, 54 lines",
        parameters={"codec": "h264", "container": "mp4", **_PART},
        codec="h264",
        container="mp4",
        texts="mov_text",
        part=(0.6, 12),
        tracks=True,
    ),
    Output(
        name="GStreamer mp4 h264",
        parameters={"codec": "h264", "container": "mp4", "subtitles": "none"},
        codec="h264",
        container="mp4",
        engine="gstreamer",
    ),
    Output(name="measure", parameters={"measure": {"metrics": ["psnr"]}}, measures="mp4 h264"),
)
BY_NAME = {output.name: output for output in OUTPUTS}
