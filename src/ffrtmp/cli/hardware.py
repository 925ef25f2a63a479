"""What `config recommend` says: the reference's Performance Tuning as a function of cores, memory and GPU."""

import dataclasses

#: (from so many cores, kind of machine, jobs at once: least, most); the reference's table, Performance Tuning
_TIERS = ((16, "server", 8, 12), (8, "desktop", 4, 6), (4, "laptop", 2, 3), (1, "small machine", 1, 1))
#: what a 1080p encode of the heavier codecs needs; 4K needs about four times that
_BYTES_PER_JOB = 1_500_000_000


@dataclasses.dataclass(frozen=True)
class Recommendation:
    """`jobs`: for --max-concurrent-jobs. `presets`: codec → preset. `reasons` explain both."""

    kind: str
    jobs: int
    presets: dict[str, str]
    reasons: tuple[str, ...]
    avoid: tuple[str, ...]


def recommend(cores: int, memory_bytes: int, *, gpu: str = "") -> Recommendation:
    """Pure: the same machine always gets the same advice. `cores`: those this process may use."""
    floor, kind, least, most = next(tier for tier in _TIERS if cores >= tier[0])
    # within its tier a machine with more cores takes more: 8 cores 4 jobs, 12 cores 5, 15 cores 6
    ceiling = {16: 32, 8: 16, 4: 8, 1: 4}[floor]
    by_cores = min(most, least + round((most - least) * (cores - floor) / max(1, ceiling - 1 - floor)))
    by_memory = max(1, memory_bytes // _BYTES_PER_JOB)
    jobs = min(by_cores, by_memory)
    reasons = [
        f"{cores} cores ({kind}): {'one job at a time uses' if most == 1 else f'{least} to {most} jobs at once use'} them well"
    ]
    if by_memory < by_cores:
        reasons.append(
            f"{memory_bytes / 1024**3:.1f} GiB of memory: not more than {by_memory}, at about 1.4 GiB for a 1080p job"
        )
    if gpu:
        reasons.append(f"{gpu}: hardware encoders are tried first where they really work (see ffrtmp doctor)")
    return Recommendation(kind, jobs, _presets(cores), tuple(reasons), _avoid(cores, gpu))


def _presets(cores: int) -> dict[str, str]:
    if cores >= 16:
        return {"h264": "slow", "h265": "medium", "vp9": "medium", "av1": "medium"}
    if cores >= 8:
        return {"h264": "medium", "h265": "medium", "vp9": "fast", "av1": "fast"}
    if cores >= 4:
        return {"h264": "medium", "h265": "fast", "vp9": "fast", "av1": "faster"}
    return {"h264": "fast", "h265": "veryfast", "vp9": "veryfast", "av1": "veryfast"}


def _avoid(cores: int, gpu: str) -> tuple[str, ...]:
    if gpu or cores >= 32:
        return ()
    avoid = ["4K in h265 or av1 on the CPU: very slow"]
    if cores < 8:
        avoid.append("1080p60 and more in h265, vp9 or av1; h264 up to 720p30 is what keeps up with real time")
    return tuple(avoid)
