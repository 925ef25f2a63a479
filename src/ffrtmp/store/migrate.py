"""The schema's versions: a database is upgraded when it is opened, in one transaction; one from a newer ffrtmp is refused."""

import msgspec

from ffrtmp.domain import errors
from ffrtmp.store import statements
from ffrtmp.store.statements import Dialect


class SchemaTooNew(errors.Misconfigured):
    """This database was written by a newer ffrtmp."""

    code = "schema_too_new"


class NotOurs(errors.Misconfigured):
    """This database holds something else."""

    code = "not_a_store"


class Step(msgspec.Struct, frozen=True):
    number: int
    name: str
    script: str


VERSION_TABLE = """CREATE TABLE IF NOT EXISTS schema_version (
    number bigint PRIMARY KEY,
    name text NOT NULL,
    applied_at bigint NOT NULL
)"""


def pending(dialect: Dialect, where: str, present: int | None, *, empty: bool) -> list[Step]:
    """The steps that are missing. `present`: the version found, None without a version table; `empty`: no tables at all."""
    steps = [Step(*step) for step in statements.migrations(dialect)]
    newest = steps[-1].number
    if present is None:
        if not empty:
            raise NotOurs(f"{where} has tables that are not ffrtmp's: give an empty database, or another one.")
        present = 0
    if present > newest:
        raise SchemaTooNew(
            f"{where} has schema version {present}; this ffrtmp knows versions up to {newest}. Install the newer ffrtmp again, or"
            " open a database that this one wrote."
        )
    return [step for step in steps if step.number > present]
