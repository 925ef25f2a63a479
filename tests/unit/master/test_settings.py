"""Settings of a master that cannot work are refused by name."""

import pytest

from ffrtmp.domain import errors
from ffrtmp.master.settings import MasterSettings


@pytest.mark.parametrize("workers", [0, -1, 2000, "many"])
def test_workers_are_a_number_or_auto(workers: int | str) -> None:
    with pytest.raises(errors.InvalidInput, match=f"--workers {workers} must be auto, or 1 to"):
        MasterSettings(workers=workers, db_dsn="postgresql://x/y").check()


def test_several_workers_need_postgresql() -> None:
    with pytest.raises(errors.InvalidInput, match=r"--workers 2 needs PostgreSQL.*--db-dsn"):
        MasterSettings(workers=2).check()
    for fits in (MasterSettings(workers="auto"), MasterSettings(workers=2, db_dsn="postgresql://x/y")):
        fits.check()
