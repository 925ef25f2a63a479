"""The corpus in small: every source into one output, and what was found in it. `make corpus` runs all of it."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from tests.corpus import page, run
from tests.corpus.outputs import BY_NAME, OUTPUTS
from tests.corpus.source import Source
from tests.corpus.sources import FAMILIES, SOURCES

from ffrtmp.agent.kit import Kit

#: source → the output at which ffrtmp once failed: a wrong picture, a sound source that was refused, or a wrong reason
FOUND = {
    "grey.mkv": "mp4 h264",  # said to be of full range, and was not
    "tiny.mkv": "mp4 h265",  # the encoder's own words, as a fault of the engine
    "point.mkv": "mkv av1 opus",  # the other encoder of AV1 can do it
    "1000fps.mkv": "mkv av1 opus",
    "box.mp4": "mp4 h265",  # a real file whose frames came out of order, and passed
    "truehd.mkv": "part, 20 fps, 54 lines",  # its sound was lost, and nobody told
    "dvb.ts": "ts h264",  # a complaint about what is copied
    "cut.flv": "mp4 h264",  # the input's damage was called the output's, and tried again
    "cut.ogv": "mp4 h264",
    "flipped.mp4": "webm vp9",
    "encrypted.mp4": "mp4 h264",
    "mjpeg.avi": "GStreamer mp4 h264",
    "flac.mp4": "GStreamer mp4 h264",
    "camera.m2ts": "GStreamer mp4 h264",  # waited for ever
    "mpeg2.vob": "GStreamer mp4 h264",
    "negative.mkv": "GStreamer mp4 h264",
}
#: and one of them at a second
ALSO = (("box.mp4", "ts h264"), ("box.mp4", "part, 20 fps, 54 lines"), ("tiny.mkv", "GStreamer mp4 h264"))


def _outputs(number: int, source: Source) -> list[str]:
    """One of them, each in turn; measuring comes after what it measures, and is tried by itself."""
    able = [output.name for output in OUTPUTS if output.asks(source) and not output.measures]
    return [
        FOUND.get(source.name, able[number % len(able)]),
        *(output for name, output in ALSO if name == source.name),
    ]


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("corpus")


@pytest.fixture
async def corpus(folder: Path) -> AsyncIterator[tuple[run.Corpus, Kit]]:
    made = run.Corpus(folder)
    yield made, await made.open()
    await made.close()


@pytest.mark.parametrize("family", FAMILIES)
async def test_each_source_becomes_what_it_must_or_is_refused_with_its_reason(
    corpus: tuple[run.Corpus, Kit], family: str
) -> None:
    agent, kit = corpus
    pairs = [
        (source, BY_NAME[name])
        for number, source in enumerate(FAMILIES[family])
        for name in _outputs(number, source)
        if BY_NAME[name].engine == "ffmpeg" or kit.tools.gst_version
    ]
    came = await run.run(agent, pairs)
    assert {one.name: one.problems for one in came if one.problems} == {}


async def test_what_was_decided_over_a_file_whose_times_are_in_no_order_is_told(
    corpus: tuple[run.Corpus, Kit],
) -> None:
    agent, _ = corpus
    came = await agent.pair(SOURCES["box.mp4"], BY_NAME["mp4 h264"])
    assert came.problems == []
    assert [note for note in came.notes if note.startswith("times: ")] == [
        "times: the file's are not in the order of its pictures, which come at a steady 29.95 per second now"
    ]


async def test_the_refusal_of_a_picture_that_is_too_small_names_the_nearest(corpus: tuple[run.Corpus, Kit]) -> None:
    agent, _ = corpus
    came = await agent.pair(SOURCES["tiny.mkv"], BY_NAME["mp4 h265"])
    assert came.message == "libx265 needs 16 pixels each way, and the picture has 2x2: set resolution to 16x16"


async def test_damage_of_the_input_is_told_as_such(corpus: tuple[run.Corpus, Kit]) -> None:
    agent, _ = corpus
    came = await agent.pair(SOURCES["cut.flv"], BY_NAME["mp4 h264"])
    assert came.code == "input_invalid"
    assert came.message.startswith("The input is damaged (1 of 15 frames cannot be decoded; ")


async def test_an_output_is_measured_against_its_source(corpus: tuple[run.Corpus, Kit]) -> None:
    agent, _ = corpus
    source = SOURCES["h264.mp4"]
    came = [await agent.pair(source, BY_NAME[name]) for name in ("mp4 h264", "measure")]
    assert [one.problems for one in came] == [[], []]
    assert float(came[1].cell.split()[1]) > 35


def test_the_page_lists_the_corpus() -> None:
    sources, heads = page.listed((Path(__file__).parents[2] / page.PAGE).read_text())
    assert sources == SOURCES.keys()
    assert heads == [[output.name for output in OUTPUTS]] * len(FAMILIES)
