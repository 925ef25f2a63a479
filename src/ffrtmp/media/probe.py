"""Which encoders work on this node: each really encodes a few frames. Being listed by `ffmpeg -encoders` means nothing."""

import re
from pathlib import Path

import msgspec

from ffrtmp.domain.command import Command, CommandLimits
from ffrtmp.domain.node import Encoder
from ffrtmp.domain.spec import Codec, Engine, Preset
from ffrtmp.media import codecs
from ffrtmp.media.tools import Tools

_SIZE = "256x256"
_FRAMES = "4"
#: libaom's first frames are the slowest; loading a GPU's driver takes seconds
_WALL_SECONDS = 30.0
_RENDER_NODES = "/dev/dri"
_NOISE = re.compile(
    r"Task finished with error|Terminating thread|Error sending frames to consumers|Conversion failed|Nothing was written"
    r"|Could not open encoder before EOF|Error while opening encoder|lookahead-slices|Last message repeated"
)
_MISSING = re.compile(r"failed to load library '([^']+)'")
_PREFIX = re.compile(r"^(\[[^\]]*\]\s*)+")


class Probe(msgspec.Struct, frozen=True, kw_only=True):
    """One encoder to try: run `command`, and give how it ended to `interpret`."""

    name: str
    codec: Codec
    hardware: bool
    command: Command


def _render_node() -> str:
    """The first render node; a system with none gets the usual name, so that the error says what is missing."""
    return next((str(path) for path in sorted(Path(_RENDER_NODES).glob("renderD*"))), f"{_RENDER_NODES}/renderD128")


def probes(tools: Tools) -> list[Probe]:
    """Software encoders first, then NVENC, QSV and VAAPI."""
    made = [_probe(tools, encoder.name, encoder.codec, False, (), (), encoder.env) for encoder in codecs.ENCODERS]
    for codec, name in ((Codec.H264, "h264"), (Codec.H265, "hevc"), (Codec.AV1, "av1")):
        made.append(_probe(tools, f"{name}_nvenc", codec, True, (), (), {}))
        qsv = ("-init_hw_device", "qsv=hw", "-filter_hw_device", "hw")
        made.append(
            _probe(tools, f"{name}_qsv", codec, True, qsv, ("-vf", "format=nv12,hwupload=extra_hw_frames=16"), {})
        )
        vaapi = ("-init_hw_device", f"vaapi=hw:{_render_node()}", "-filter_hw_device", "hw")
        made.append(_probe(tools, f"{name}_vaapi", codec, True, vaapi, ("-vf", "format=nv12,hwupload"), {}))
    return made


def _probe(
    tools: Tools,
    name: str,
    codec: Codec,
    hardware: bool,
    device: tuple[str, ...],
    upload: tuple[str, ...],
    env: dict[str, str],
) -> Probe:
    encoder = codecs.BY_NAME.get(name)
    fast = encoder.preset(Preset.ULTRAFAST, False) if encoder else []
    return Probe(
        name=name,
        codec=codec,
        hardware=hardware,
        command=Command(
            name=f"probe {name}",
            argv=(
                *(tools.ffmpeg, "-nostdin", "-hide_banner", "-v", "error", *device),
                *("-f", "lavfi", "-i", f"testsrc2=size={_SIZE}:rate=25", "-frames:v", _FRAMES, *upload),
                *(() if hardware else ("-pix_fmt", "yuv420p")),
                *("-c:v", name, *fast, "-f", "null", "-"),
            ),
            env=env,
            limits=CommandLimits(wall_seconds=_WALL_SECONDS),
        ),
    )


def interpret(probe: Probe, *, ok: bool, ended: str, exit_code: int | None, signal: int | None, log: str) -> Encoder:
    """How the probe ended (the fields of a `process.run.Outcome`) → what the node offers, with the reason when it does not."""
    return Encoder(
        name=probe.name,
        codec=probe.codec,
        engine=Engine.FFMPEG,
        works=ok,
        hardware=probe.hardware,
        detail="" if ok else _reason(ended, exit_code, signal, log),
    )


def _reason(ended: str, exit_code: int | None, signal: int | None, log: str) -> str:
    if ended != "exited":
        return f"did not end within {_WALL_SECONDS:g} s"
    for line in log.splitlines():
        said = _PREFIX.sub("", line.strip())
        if said and not _NOISE.search(said):
            missing = _MISSING.search(said)
            return f"{missing[1]} is not installed" if missing else said
    return f"was killed by signal {signal}" if signal is not None else f"ended with exit code {exit_code}"
