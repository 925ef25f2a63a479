"""What a fleet is asked to do."""

import resource

import msgspec

#: of each process beside the agents' connections
_OTHER_FILES = 256


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    agents: int = 5_000
    seconds: float = 600.0  #: of steady load, after all agents have registered
    database: str = "sqlite"
    jobs_per_second: float = 50.0
    job_seconds: tuple[float, float] = (2.0, 6.0)  #: that an attempt takes
    long_share: float = 0.1  #: of the jobs take longer, so that their leases are renewed some times
    long_seconds: tuple[float, float] = (15.0, 45.0)
    agents_per_second: float = 200.0  #: that start
    heartbeat_seconds: float = 30.0  #: of idle agents, as the program's own default
    poll_seconds: float = 10.0
    lease_seconds: float = 30.0
    beat_p99_seconds: float = 0.25  #: what must hold
    growth_share: float = 0.05  #: by which the master's memory may grow over the second half of the load
    seed: int = 1


def raise_file_limit(agents: int) -> None:
    """For this process and those that it starts: an agent has up to two connections (long-poll, and beat or report). Raises
    ValueError when the system allows fewer."""
    wanted = 2 * agents + _OTHER_FILES
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and wanted > hard:
        raise ValueError(
            f"--agents {agents} needs {wanted} open files in a process, and the limit is {hard}: raise it with"
            f" `ulimit -Hn {wanted}` as root, or take at most {max(0, hard - _OTHER_FILES) // 2} agents."
        )
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
