"""Encodes that take as long as their film and hardly any processor: what is to be there still when its lease is long over."""

import shlex
from pathlib import Path
from typing import Any

from ffrtmp.media import tools

#: no other job of the test kit has so many pictures a second: the script knows them by it
_RATE = 4


def clip(seconds: float) -> dict[str, Any]:
    """Parameters of a job whose encode takes so long."""
    return {"input": "generate", "resolution": "64x36", "fps": _RATE, "duration": seconds}


def ffmpeg(folder: Path) -> Path:
    """A program for `--ffmpeg`: the one that comes along, which reads the input of such a job no faster than it plays."""
    real = shlex.quote(tools.find().ffmpeg)
    script = folder / "ffmpeg"
    script.write_text(f'#!/bin/sh\ncase "$*" in *:rate={_RATE}:*) set -- -re "$@" ;; esac\nexec {real} "$@"\n')
    script.chmod(0o755)
    return script
