"""Which encoders and decoders work on this node: each really does a few frames. What `ffmpeg -encoders` lists means nothing."""

import re
from collections.abc import Sequence
from pathlib import Path

import msgspec

from ffrtmp.domain.command import Command, CommandLimits
from ffrtmp.domain.node import Decoder, Encoder
from ffrtmp.domain.spec import HARDWARE, Codec, Engine, Hwaccel, PixelFormat, Preset
from ffrtmp.media import choice, codecs, hardware
from ffrtmp.media.tools import Tools

_SIZE = "256x256"
_FRAMES = "4"
#: libaom's first frames are the slowest; loading a GPU's driver takes seconds
_WALL_SECONDS = 30.0
#: a system with none gets the usual name, so that the error says what is missing
_USUAL = {
    Hwaccel.NVENC: ("0",),
    Hwaccel.QSV: ("/dev/dri/renderD128",),
    Hwaccel.VAAPI: ("/dev/dri/renderD128",),
}
_NOISE = re.compile(
    r"Task finished with error|Terminating thread|Error sending frames to consumers|Conversion failed|Nothing was written"
    r"|Could not open encoder before EOF|Error while opening encoder|lookahead-slices|Last message repeated"
)
_MISSING = re.compile(r"failed to load library '([^']+)'")
_PREFIX = re.compile(r"^(\[[^\]]*\]\s*)+")
#: the software encoder that makes what a hardware decoder is tried with
_SAMPLES = {
    Codec.H264: "libx264",
    Codec.H265: "libx265",
    Codec.VP9: "libvpx-vp9",
    Codec.AV1: "libsvtav1",
}


class Devices(msgspec.Struct, frozen=True):
    """What GPUs this machine shows: NVIDIA's by their number, others by their render nodes."""

    nvidia: tuple[str, ...] = ()
    render_nodes: tuple[str, ...] = ()

    def of(self, family: Hwaccel) -> tuple[str, ...]:
        return self.nvidia if family is Hwaccel.NVENC else self.render_nodes


class Probe(msgspec.Struct, frozen=True, kw_only=True):
    """One encoder to try on one device: run `command`, and give how it ended to `interpret`. `device` "": software."""

    encoder: codecs.Encoder
    device: str = ""
    low_power: bool = False
    command: Command


class DecoderProbe(msgspec.Struct, frozen=True, kw_only=True):
    family: Hwaccel
    codec: Codec
    device: str
    command: Command


class Ended(msgspec.Struct, frozen=True, kw_only=True):
    """The fields of a `process.run.Outcome`. (`media` and `process` do not know each other.)"""

    ok: bool
    how: str
    exit_code: int | None
    signal: int | None
    log: str


def probes(tools: Tools, devices: Devices) -> list[Probe]:
    """Software encoders first, then NVENC, QSV and VAAPI on each of their devices."""
    made = [_probe(tools, encoder, None) for encoder in codecs.ENCODERS]
    for encoder in hardware.ENCODERS:
        assert encoder.hwaccel is not None
        there = devices.of(encoder.hwaccel) or _USUAL[encoder.hwaccel]
        made += [_probe(tools, encoder, hardware.Use(device=device)) for device in there]
    return made


def again(tools: Tools, failed: Probe) -> Probe | None:
    """What else may work where that did not: some of Intel's GPUs encode in their low-power mode only."""
    if failed.encoder.hwaccel not in (Hwaccel.QSV, Hwaccel.VAAPI) or failed.low_power:
        return None
    return _probe(tools, failed.encoder, hardware.Use(device=failed.device, low_power=True))


def _probe(tools: Tools, encoder: codecs.Encoder, use: hardware.Use | None) -> Probe:
    family = encoder.hwaccel
    filters, pixels = encoder.picture(PixelFormat.YUV420P)
    return Probe(
        encoder=encoder,
        device=use.device if use else "",
        low_power=use.low_power if use else False,
        command=Command(
            name=f"probe {encoder.name}",
            argv=(
                *(tools.ffmpeg, "-nostdin", "-hide_banner", "-v", "error"),
                *(hardware.device_arguments(family, use.device) if family and use else ()),
                *("-f", "lavfi", "-i", f"testsrc2=size={_SIZE}:rate=25", "-frames:v", _FRAMES),
                *(("-vf", ",".join(filters)) if filters else ()),
                *pixels,
                *("-c:v", encoder.name),
                *(hardware.encode_arguments(encoder, use) if use else ()),
                *encoder.preset(Preset.ULTRAFAST, False),
                *("-f", "null", "-"),
            ),
            env=encoder.env,
            limits=CommandLimits(wall_seconds=_WALL_SECONDS),
        ),
    )


def interpret(tried: Sequence[tuple[Probe, Ended]]) -> list[Encoder]:
    """What the node offers: each encoder once, with the devices on which it works, and the reason where it works on none."""
    found: dict[str, Encoder] = {}
    for probe, ended in tried:
        name = probe.encoder.name
        before = found.get(name)
        works = [probe.device] if ended.ok and probe.device else []
        if before is not None and before.works:
            if works:
                found[name] = msgspec.structs.replace(before, devices=[*before.devices, *works])
            continue
        found[name] = Encoder(
            name=name,
            codec=probe.encoder.codec,
            engine=Engine.FFMPEG,
            works=ended.ok,
            hwaccel=probe.encoder.hwaccel,
            devices=works,
            low_power=ended.ok and probe.low_power,
            # of several tries the first says why: the others are makeshifts
            detail="" if ended.ok else (before.detail if before else reason(ended)),
        )
    return list(found.values())


def samples(tools: Tools, folder: Path, working: Sequence[Encoder]) -> dict[Codec, tuple[Path, Command]]:
    """Short files to try decoders with, as far as software here can make them."""
    made: dict[Codec, tuple[Path, Command]] = {}
    for codec, name in _SAMPLES.items():
        if any(one.name == name and one.works for one in working):
            path = folder / f"sample-{codec}.mkv"
            encoder = choice.BY_NAME[name]
            argv = (
                *(tools.ffmpeg, "-nostdin", "-hide_banner", "-v", "error", "-y"),
                *("-f", "lavfi", "-i", f"testsrc2=size={_SIZE}:rate=25", "-frames:v", _FRAMES, "-pix_fmt", "yuv420p"),
                *("-c:v", name, *encoder.preset(Preset.ULTRAFAST, False), "-f", "matroska", f"file:{path}"),
            )
            limits = CommandLimits(wall_seconds=_WALL_SECONDS)
            made[codec] = path, Command(name=f"sample {codec}", argv=argv, env=encoder.env, limits=limits)
    return made


def decoder_probes(tools: Tools, devices: Devices, sources: dict[Codec, Path]) -> list[DecoderProbe]:
    """Only on devices that are there. Where Quick Sync encodes VAAPI decodes: it is tried as QSV's own."""
    made: list[DecoderProbe] = []
    for family in HARDWARE:
        for device in devices.of(family):
            for codec, path in sources.items():
                kind = "cuda" if family is Hwaccel.NVENC else "vaapi"
                argv = (
                    *(tools.ffmpeg, "-nostdin", "-hide_banner", "-v", "error"),
                    *hardware.device_arguments(family, device),
                    *hardware.decode_arguments(family, device),
                    # frames that stay on the device: one that software decoded is none that can be downloaded
                    *("-hwaccel_output_format", kind, "-i", f"file:{path}"),
                    *("-vf", "hwdownload,format=nv12", "-f", "null", "-"),
                )
                limits = CommandLimits(wall_seconds=_WALL_SECONDS)
                command = Command(name=f"probe {family} decoding {codec}", argv=argv, limits=limits)
                made.append(DecoderProbe(family=family, codec=codec, device=device, command=command))
    return made


def interpret_decoders(tried: Sequence[tuple[DecoderProbe, Ended]]) -> list[Decoder]:
    found: dict[tuple[Hwaccel, Codec], Decoder] = {}
    for probe, ended in tried:
        key = probe.family, probe.codec
        before = found.get(key, Decoder(hwaccel=probe.family, codec=probe.codec, works=False))
        if ended.ok:
            found[key] = msgspec.structs.replace(before, works=True, devices=[*before.devices, probe.device], detail="")
        elif not before.works:
            found[key] = msgspec.structs.replace(before, detail=before.detail or reason(ended))
    return list(found.values())


def reason(ended: Ended) -> str:
    """Why a probe did not succeed, from how it ended and the first line that says something."""
    if ended.how != "exited":
        return f"did not end within {_WALL_SECONDS:g} s"
    for line in ended.log.splitlines():
        said = _PREFIX.sub("", line.strip())
        if said and not _NOISE.search(said):
            missing = _MISSING.search(said)
            return f"{missing[1]} is not installed" if missing else said
    return (
        f"was killed by signal {ended.signal}"
        if ended.signal is not None
        else f"ended with exit code {ended.exit_code}"
    )
