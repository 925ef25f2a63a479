"""What is said while a job runs, where no terminal is."""

import asyncio
from collections.abc import AsyncIterator, Callable

import pytest

from ffrtmp.cli import text, watch
from ffrtmp.domain.job import Progress
from ffrtmp.protocol import views


def lines_of(told, label):
    return [line.removeprefix(f"{label}: ") for line in told.err.splitlines() if line.startswith(f"{label}: ")]


def test_a_file_is_said_to_be_done_once_when_it_is_here(run, master, view, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "clip.mov").write_bytes(b"a clip")
    fetching = Progress(percent=0.0, phase="fetch 100%")
    master.on_submit = lambda made: [
        made,
        view(made.sequence_number, "running", progress_detail=fetching),
        view(made.sequence_number, "completed"),
    ]
    said = lines_of(run("transcode", "clip.mov", "small.mp4"), "small.mp4")
    assert said == [
        "sent 100% of 6 B",
        "waiting for a node",
        "node gets the input 100%",
        "fetched 100% of 10 B",
        "completed in 0:42, verified",
    ]


@pytest.mark.parametrize(
    ("phase", "said"),
    [("fetch 40%", "node gets the input 40%"), ("fetch", "node gets the input"), ("publish 5%", "publish 5%")],
)
def test_the_node_s_fetch_is_not_called_as_our_own(phase, said):
    assert text.speeds(Progress(phase=phase)) == said


@pytest.mark.parametrize("state", ["canceled", "failed", "rejected"])
def test_no_percent_is_claimed_for_a_job_that_did_not_complete(run, master, view, state):
    master.add(view(17, state))
    row = run("jobs", "status").out.splitlines()[1].split()
    assert row[:3] == ["17", state, "-"]
    assert "0%" not in run("jobs", "status", "17").out


@pytest.mark.parametrize("turns", range(4))
async def test_an_interrupt_that_comes_with_an_event_is_not_lost(
    view: Callable[..., views.JobView], turns: int
) -> None:
    class Client:
        async def job(self, _: str, *, follow: bool) -> views.JobView:
            return view(17, "running")

        async def events(self) -> AsyncIterator[object]:
            await asyncio.Event().wait()
            yield  # type: ignore[misc]

    watcher = watch.Watcher(Client(), ["17"], notice=print)  # type: ignore[arg-type]
    shown = asyncio.Event()
    following = asyncio.create_task(watch.wait(watcher, lambda _: shown.set()))
    await shown.wait()
    for _ in range(10):
        await asyncio.sleep(0)
    watcher.add(watcher.jobs[view(17).id])
    for _ in range(turns):
        await asyncio.sleep(0)
    following.cancel()
    for _ in range(20):
        await asyncio.sleep(0)
    ended = following.cancelled()
    following.cancel()
    assert ended
