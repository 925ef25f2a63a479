"""What is kept while a stream goes by."""

import pytest

from ffrtmp.media.measure import Marks


@pytest.mark.parametrize(
    ("count", "every"), [(0, 1), (3, 1), (4096, 1), (4097, 2), (8192, 2), (8193, 4), (100_000, 32)]
)
def test_times_are_thinned_out_evenly(count: int, every: int) -> None:
    marks = Marks()
    for pts in range(count):
        marks.add(pts)
    assert marks.times == list(range(0, count, every))
