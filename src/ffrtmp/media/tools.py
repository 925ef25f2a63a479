"""Where ffmpeg is, and which one."""

import re
import shutil
import sys
from pathlib import Path

import msgspec

from ffrtmp.domain import errors
from ffrtmp.domain.command import Command, CommandLimits

_VERSION = re.compile(r"ffmpeg version (\S+)")


class Tools(msgspec.Struct, frozen=True, kw_only=True):
    """The programs that commands name. `version` is "" until somebody has run `version_command`."""

    ffmpeg: str
    version: str = ""


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
