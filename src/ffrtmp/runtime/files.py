"""How many files and connections a program may have open."""

import contextlib
import resource


def raise_limit() -> None:
    """As many as the system lets this process have. The usual 1,024 are for programs that use select(2), and each agent takes up
    to two connections of its master."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    with contextlib.suppress(ValueError, OSError):  # where the kernel's own limit is lower; the usual one stays then
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
