"""How values are written for people. Times of the API are RFC 3339 in UTC; people get their own clock."""

import datetime
from typing import TYPE_CHECKING, Any

from ffrtmp.domain import units

if TYPE_CHECKING:
    from ffrtmp.domain.job import Progress
    from ffrtmp.protocol.views import JobView

#: phases with a word of their own: `fetched` is what we get from the master
_PHASES = {"fetch": "node gets the input"}


def moment(stamp: str) -> datetime.datetime:
    return datetime.datetime.fromisoformat(stamp)


def clock(stamp: str) -> str:
    """`2026-01-05 13:00:07`, in this machine's time zone."""
    return moment(stamp).astimezone().strftime("%Y-%m-%d %H:%M:%S")


def with_clock(line: str) -> str:
    """A line that begins with a time of the API, with ours."""
    stamp, space, rest = line.partition(" ")
    try:
        return f"{clock(stamp)}{space}{rest}"
    except ValueError:
        return line


def ago(stamp: str) -> str:
    """`12s ago`, `3 min ago`, `5 h ago`, `2 d ago`."""
    passed = (datetime.datetime.now(datetime.UTC) - moment(stamp)).total_seconds()
    for limit, size, unit in ((90, 1, "s"), (5400, 60, " min"), (129600, 3600, " h")):
        if passed < limit:
            return f"{max(0, round(passed / size))}{unit} ago"
    return f"{round(passed / 86400)} d ago"


def taken(job: "JobView") -> str:
    """How long it ran, or has run so far."""
    if not job.started_at:
        return ""
    end = moment(job.completed_at) if job.completed_at else datetime.datetime.now(datetime.UTC)
    return units.human_seconds(max(0.0, (end - moment(job.started_at)).total_seconds()))


def between(start: str | None, end: str | None) -> str:
    if not start or not end:
        return ""
    return units.human_seconds(max(0.0, (moment(end) - moment(start)).total_seconds()))


def bitrate(bps: float) -> str:
    return f"{bps / 1e6:.1f} Mb/s" if bps >= 1e6 else f"{bps / 1e3:.0f} kb/s"


def memory(size: int) -> str:
    """In powers of 1024, as memory is sold."""
    return f"{size / 1024**3:.1f} GiB"


def what(job: "JobView") -> str:
    """The job in few words: its file, what is made of it as far as the submission says, and its scenario or codec."""
    return _few_words(job, str(job.parameters.get("output") or ""))


def made(job: "JobView") -> str:
    """The same, with the name that the master gave where the submission gave none."""
    outputs = job.result.outputs if job.result else []
    return _few_words(job, str(job.parameters.get("output") or (outputs[0].name if outputs else "")))


def _few_words(job: "JobView", output: str) -> str:
    name = str(job.parameters.get("input") or "generated clip")
    source = cut(job.tags.get("file") or _file(name))
    how = job.scenario or str(job.parameters.get("codec") or ("measure" if job.parameters.get("measure") else ""))
    if streams := job.parameters.get("rtmp_url"):
        return f"{source} → {streams}"
    if output:
        return f"{source} → {cut(_file(output))}" + (f" ({how})" if how else "")
    return f"{source} → {how}" if how else source


def _file(location: str) -> str:
    return location.removeprefix("file://").rsplit("/", 1)[-1]


def cut(name: str, width: int = 32) -> str:
    """A long name without its middle: the end tells the kind, and often what makes it another than its neighbour."""
    return name if len(name) <= width else f"{name[: width // 2 - 1]}…{name[-(width // 2) :]}"


def name(job: "JobView") -> str:
    return f"job {job.sequence_number}"


def speeds(progress: "Progress | None", *, short: bool = False) -> str:
    """`encode · 31.2 fps · 1.3x · 2.1 Mb/s`, as far as it is known; short: `encode · 1.3x`."""
    if progress is None:
        return ""
    phase, space, percent = progress.phase.partition(" ")
    parts = [
        _PHASES.get(phase, phase) + space + percent,
        f"{progress.fps:.1f} fps" if progress.fps and not short else "",
        f"{progress.speed:.2f}x" if progress.speed else "",
        bitrate(progress.bitrate_bps) if progress.bitrate_bps and progress.bitrate_bps >= 1000 and not short else "",
        f"{progress.dropped_frames} dropped" if progress.dropped_frames else "",
    ]
    return " · ".join(part for part in parts if part)


def asked_rate(rate: dict[str, Any]) -> str:
    """`crf 23, at most 3 Mb/s`, of a spec."""
    most = f", at most {asked_bitrate(rate['max_bitrate_bps'])}" if rate.get("max_bitrate_bps") else ""
    if rate.get("crf") is not None:
        return f"crf {rate['crf']:g}{most}"
    if rate.get("target_vmaf") is not None:
        return f"the crf that gives a VMAF of {rate['target_vmaf']:g}{most}"
    passes = " in two passes" if rate.get("mode") == "two_pass" else ""
    if rate.get("target_bytes") is not None:
        return f"at most {units.human_bytes(rate['target_bytes'])}{passes}{most}"
    return f"{asked_bitrate(rate['bitrate_bps'])}{passes}{most}"


def asked_bitrate(bps: int) -> str:
    """Exactly as it was asked for."""
    return f"{bps / 1e6:g} Mb/s" if bps >= 1_000_000 else f"{bps / 1e3:g} kb/s"


def resolution(size: dict[str, Any]) -> str:
    return str(units.Resolution(size.get("width"), size["height"]))


def ladder(asked: dict[str, Any]) -> str:
    """`auto`, or `1080p, 720p (3 Mb/s)`, of a spec."""
    rungs = (
        resolution(rung["resolution"]) + (f" ({asked_rate(rung['rate'])})" if rung.get("rate") else "")
        for rung in asked.get("rungs", [])
    )
    return ", ".join(rungs) or "auto"
