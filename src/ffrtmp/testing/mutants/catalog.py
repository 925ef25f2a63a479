"""All deliberate faults by name."""

import contextlib
from collections.abc import Iterator

from ffrtmp.testing.mutants import agents, databases, masters, stores
from ffrtmp.testing.mutants.patches import Mutant

MUTANTS: dict[str, Mutant] = {
    **agents.MUTANTS,
    **stores.REPORTS,
    **stores.LEASES,
    **stores.RETRIES,
    **stores.MEMORY,
    **stores.HISTORY,
    **masters.MUTANTS,
    **databases.MUTANTS,
}


@contextlib.contextmanager
def applied(name: str) -> Iterator[None]:
    """ "" changes nothing."""
    with contextlib.ExitStack() as stack:
        if name:
            MUTANTS[name].apply(stack)
        yield
