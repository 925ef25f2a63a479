"""What loudnorm says, and what is asked of it. The report is one that FFmpeg 9.0.2 printed."""

import math

import pytest

from ffrtmp.domain import errors
from ffrtmp.domain.spec import Loudness
from ffrtmp.media import loudness

REPORT = """[Parsed_loudnorm_0 @ 0x55c10f034200]
{
\t"input_i" : "-24.74",
\t"input_tp" : "-0.63",
\t"input_lra" : "2.70",
\t"input_thresh" : "-34.74",
\t"output_i" : "-22.67",
\t"output_tp" : "-1.00",
\t"output_lra" : "2.40",
\t"output_thresh" : "-32.72",
\t"normalization_type" : "dynamic",
\t"target_offset" : "6.67"
}
[out#0/null @ 0x55c10f0] video:0KiB audio:7500KiB
"""


def measured(integrated: float, true_peak: float = -6.0) -> loudness.Measured:
    return loudness.Measured(integrated=integrated, true_peak=true_peak, range=2.7, threshold=-34.74, offset=0.5)


def test_the_report_is_read() -> None:
    found = loudness.read(REPORT)
    assert (found.integrated, found.true_peak, found.range) == (-24.74, -0.63, 2.7)
    assert (found.threshold, found.offset) == (-34.74, 6.67)
    assert not found.silent


def test_silence_has_no_loudness_and_is_left_alone() -> None:
    found = loudness.read(REPORT.replace("-24.74", "-inf").replace("-0.63", "-inf"))
    assert found.silent
    assert loudness.normalising(Loudness(), found, 48_000) == ()
    assert loudness.problems(Loudness(), [(found, found)]) == []
    assert loudness.told(found) == {"lufs": None, "true_peak_db": None, "range_lu": 2.7}


def test_a_missing_report_is_a_failure_of_the_engine() -> None:
    with pytest.raises(errors.TaskError, match="reported no loudness"):
        loudness.read("frame=0")


def test_the_second_pass_is_told_what_the_first_found() -> None:
    assert loudness.measuring(Loudness()) == "loudnorm=I=-23:TP=-1:LRA=50:print_format=json"
    assert loudness.normalising(Loudness(range_lu=7.0), measured(-30.0), 44_100) == (
        "loudnorm=I=-23:TP=-1:LRA=7:measured_I=-30:measured_TP=-6:measured_LRA=2.7:measured_thresh=-34.74"
        ":offset=0.5:linear=true",
        "aresample=44100",
    )
    assert ":LRA=3:" in loudness.normalising(Loudness(), measured(-30.0), 44_100)[0], "the programme's own range"


@pytest.mark.parametrize(
    ("after", "peak", "problems"),
    [
        (-23.9, -1.0, []),
        (-22.1, -0.1, []),
        (-24.5, -1.0, ["the loudness of audio track 1 is -24.5 LUFS, not -23 (± 1 LU)"]),
        (-math.inf, -1.0, ["the loudness of audio track 1 is -inf LUFS, not -23 (± 1 LU)"]),
        (-23.0, 0.2, ["the true peak of audio track 1 is 0.2 dBTP, above -1 (and 1 dB for the codec)"]),
    ],
)
def test_an_output_that_misses_the_target(after: float, peak: float, problems: list[str]) -> None:
    assert loudness.problems(Loudness(), [(measured(-20.0), measured(after, peak))]) == problems


def test_peaks_that_leave_no_room_are_told() -> None:
    [problem] = loudness.problems(Loudness(integrated_lufs=-16.0), [(measured(-24.7, -0.6), measured(-22.7, -1.0))])
    assert problem.endswith("; its peaks leave room for -25.1")
