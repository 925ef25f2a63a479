"""Where ffmpeg and gst-launch-1.0 are, and which ones."""

import os
import re
import shutil
import sys
from pathlib import Path

import msgspec

from ffrtmp.domain import errors
from ffrtmp.domain.command import Command, CommandLimits

_GST_VERSION = re.compile(r"GStreamer (\d+\.\d+\.\d+)")
_LIBS = (Path("/usr/lib"), Path("/usr/lib64"), Path("/usr/local/lib"))
_GST_LAUNCH = "gst-launch-1.0"
_VERSION = re.compile(r"ffmpeg version (\S+)")


class Tools(msgspec.Struct, frozen=True, kw_only=True):
    """The programs that commands name. `version` is "" until somebody has run `version_command`."""

    ffmpeg: str
    version: str = ""
    gst_launch: str = ""  #: "": there is no GStreamer here
    gst_version: str = ""


def find(named: str | None = None) -> Tools:
    """The ffmpeg that `--ffmpeg` names, else the one of the imageio-ffmpeg package, else the one in PATH.

    Raises TaskError(encoder_unavailable) with what to do when there is none.
    """
    if named is not None:
        found = shutil.which(named)
        if found is None:
            raise errors.TaskError(errors.Code.ENCODER_UNAVAILABLE, f"--ffmpeg {named}: there is no such program")
        return Tools(ffmpeg=str(Path(found).absolute()))
    if bundled := _bundled():
        return Tools(ffmpeg=bundled)
    if found := shutil.which("ffmpeg"):
        return Tools(ffmpeg=found)
    raise errors.TaskError(
        errors.Code.ENCODER_UNAVAILABLE,
        "there is no ffmpeg: install the imageio-ffmpeg package or your system's ffmpeg, or name one with --ffmpeg",
    )


def find_gstreamer(named: str | None = None) -> str | None:
    """The gst-launch-1.0 that `--gst-launch` names, else the one in PATH; None when there is none, which is no fault.

    Raises TaskError(encoder_unavailable) when the one that was named is not there.
    """
    found = shutil.which(named or _GST_LAUNCH)
    if found is None and named is not None:
        raise errors.TaskError(errors.Code.ENCODER_UNAVAILABLE, f"--gst-launch {named}: there is no such program")
    return None if found is None else str(Path(found).absolute())


def _bundled() -> str | None:
    """Found by its file, so that importing the package's Python (numpy and more) is not needed."""
    for folder in sys.path:
        for binary in sorted(Path(folder or ".", "imageio_ffmpeg", "binaries").glob("ffmpeg-linux-*")):
            if binary.is_file():
                return str(binary.absolute())
    return None


def version_command(tools: Tools) -> Command:
    """Prints the version in a few milliseconds; give its log to `version_of`."""
    return Command(
        name="ffmpeg -version",
        argv=(tools.ffmpeg, "-hide_banner", "-nostdin", "-version"),
        limits=CommandLimits(wall_seconds=20.0),
    )


def version_of(log: str) -> str:
    """`ffmpeg version n9.0.2-17-g2a571b6068 …` → `9.0.2-17-g2a571b6068`; "" when the text is not ffmpeg's."""
    match = _VERSION.search(log)
    return match[1].removeprefix("n") if match else ""


def gst_version_command(gst_launch: str) -> Command:
    """Prints the version; give its log to `gst_version_of`."""
    return Command(
        name="gst-launch-1.0 --version", argv=(gst_launch, "--version"), limits=CommandLimits(wall_seconds=20.0)
    )


def gst_version_of(log: str) -> str:
    """`gst-launch-1.0 version 1.22.0\\nGStreamer 1.22.0` → `1.22.0`; "" when the text is not GStreamer's."""
    match = _GST_VERSION.search(log)
    return match[1] if match else ""


def gst_plugins() -> list[tuple[str, int]]:
    """The folders of plugins that are there, with the time of their last change: with other plugins, encoders are probed anew."""
    named = [Path(part) for name in ("GST_PLUGIN_PATH", "GST_PLUGIN_SYSTEM_PATH") for part in _paths(name)]
    usual = [folder for lib in _LIBS for folder in (lib / "gstreamer-1.0", *lib.glob("*/gstreamer-1.0"))]
    return [(str(folder), folder.stat().st_mtime_ns) for folder in (*named, *usual) if folder.is_dir()]


def _paths(variable: str) -> list[str]:
    return [part for part in os.environ.get(variable, "").split(os.pathsep) if part]
