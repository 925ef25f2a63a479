"""Some cells of the kill matrix, on both databases. All of them: `make kill-matrix`."""

from pathlib import Path

import pytest

from ffrtmp.testing.kills import matrix

_CELLS = (
    "submit / before commit / master",
    "lease / after commit / agent",
    "publish / after commit / master",
    "end an upload / after commit / agent",
    "complete / before send / agent",
    "complete / before commit / database",
    "complete / after commit / master",
    "fail / after commit / master",
    "cancel / after commit / database",
    "remove a node / after commit / database",
    "promote / before commit / master",
)


@pytest.mark.parametrize("database", ["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)])
async def test_the_farm_recovers_from_a_kill_at_that_point(database: str, tmp_path: Path) -> None:
    chosen = [cell for cell in matrix.cells() if cell.name in _CELLS]
    assert len(chosen) == len(_CELLS)
    outcome = await matrix.run(database, chosen, tmp_path, lambda _: None)
    assert outcome.broken == []
    assert list(outcome.cells) == [cell.name for cell in chosen]


def test_every_transition_moment_and_victim_has_a_cell() -> None:
    cells = matrix.cells()
    assert len(cells) == len({cell.name for cell in cells}) == 23 * 3 * 3
    assert all(cell.victim == "agent" for cell in cells if cell.senseless)
