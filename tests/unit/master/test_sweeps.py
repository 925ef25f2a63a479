"""The sweeps over a real store, one turn at a time, with a clock that the test moves."""

import os
import time

import msgspec
import pytest

from ffrtmp.domain import errors, node, spec
from ffrtmp.domain.errors import Code
from ffrtmp.domain.states import JobState
from ffrtmp.master import app, auth
from ffrtmp.master.loops import hints, sweeps
from ffrtmp.store import interface
from ffrtmp.testing import factories

from .conftest import Bench, both_databases

pytestmark = both_databases


_ABLE = node.Capabilities(
    engines={"ffmpeg": "9"},
    encoders=[node.Encoder(name="libx264", codec=spec.Codec.H264, engine=spec.Engine.FFMPEG, works=True)],
)


async def test_jobs_that_no_node_can_run_are_rejected_after_the_grace(bench: Bench) -> None:
    made = await bench.world.submit()
    await hints.refresh(bench.master)
    bench.clock.now = 1000.0
    await sweeps.reject(bench.master)  # with no node at all a farm is starting
    assert await bench.world.state(made) is JobState.QUEUED
    await bench.world.agent("a", capabilities=msgspec.structs.replace(_ABLE, encoders=[]))
    await sweeps.reject(bench.master)
    assert await bench.world.state(made) is JobState.QUEUED
    bench.clock.now += 1.0
    await sweeps.reject(bench.master)
    found = await bench.store.get_job(made.id)
    assert found.state is JobState.REJECTED
    assert found.failure is not None
    assert found.failure.code is Code.UNSATISFIABLE


async def test_a_job_that_waited_long_keeps_its_grace_when_the_one_node_is_away(bench: Bench) -> None:
    """It may be registered again without an encoder that fails for the moment, or come back under another name."""
    made = await bench.world.submit()
    await hints.refresh(bench.master)
    await bench.world.agent("a", capabilities=_ABLE)
    await sweeps.reject(bench.master)
    for _ in range(3):
        bench.clock.now += 1000.0
        await bench.world.agent("a", capabilities=msgspec.structs.replace(_ABLE, encoders=[]))
        await sweeps.reject(bench.master)
        await bench.world.agent("a", capabilities=_ABLE)
        bench.clock.now += 1000.0
        await sweeps.reject(bench.master)
        assert await bench.world.state(made) is JobState.QUEUED


async def test_orphans_go_when_nobody_went_on_with_them_for_a_day(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    fresh, stale, sealed, named = [await bench.store.create_upload(factories.an_upload()) for _ in range(4)]
    await bench.store.finish_upload(sealed.id)
    await bench.store.finish_upload(named.id)
    await bench.world.submit(
        factories.a_spec(input=spec.Input(kind=spec.InputKind.UPLOAD, upload_id=named.id), duration=None)
    )
    folder = bench.master.artifacts.root
    files = [folder / f"{fresh.id}.part", folder / f"{stale.id}.part", folder / sealed.id, folder / named.id]
    for file in files:
        file.write_bytes(b"x")
    for file in files[1:]:
        os.utime(file, (time.time() - 2 * 86400,) * 2)
    await sweeps.orphans(bench.master)
    assert all(file.exists() for file in files)  # they were announced a moment ago
    now = await bench.store.now_us() + int(2 * 86400e6)

    async def tomorrow() -> int:
        return now

    monkeypatch.setattr(bench.store, "now_us", tomorrow)
    await sweeps.orphans(bench.master)
    assert [file.exists() for file in files] == [True, False, False, True]
    for gone in (stale, sealed):
        with pytest.raises(errors.NotFound):
            await bench.store.get_upload(gone.id)


async def test_retention_removes_the_bytes_with_the_job(bench: Bench) -> None:
    bench.master.settings = msgspec.structs.replace(bench.master.settings, retention_seconds=-1.0)
    upload = await bench.store.create_upload(factories.an_upload())
    await bench.store.finish_upload(upload.id)
    file = bench.master.artifacts.path(upload.id)
    file.write_bytes(b"x")
    made = await bench.world.submit()
    await bench.store.classes()
    agent = await bench.world.agent(capabilities=_ABLE)
    grant = await agent.take()
    output = factories.an_output(path=None, upload_id=upload.id)
    await agent.complete(grant.attempt_id, factories.a_result(outputs=[output]))
    await sweeps.expire(bench.master)
    assert not file.exists()
    with pytest.raises(errors.NotFound):
        await bench.store.get_job(made.id)


async def test_bytes_that_a_killed_master_left_go_with_the_next_sweep(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench.master.settings = msgspec.structs.replace(bench.master.settings, retention_seconds=-1.0)
    upload = await bench.store.create_upload(factories.an_upload())
    await bench.store.finish_upload(upload.id)
    file = bench.master.artifacts.path(upload.id)
    file.write_bytes(b"x")
    await bench.world.submit()
    agent = await bench.world.agent()
    output = factories.an_output(path=None, upload_id=upload.id)
    await agent.complete((await agent.take()).attempt_id, factories.a_result(outputs=[output]))

    class Killed(BaseException):
        pass

    async def killed(_: object) -> None:
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(bench.master.artifacts, "remove", killed)
        with pytest.raises(Killed):
            await sweeps.expire(bench.master)
    with pytest.raises(errors.NotFound):
        await bench.store.get_upload(upload.id)
    assert file.exists()
    await sweeps.orphans(bench.master)
    assert not file.exists()
    assert await bench.store.removed_uploads(limit=10) == []


async def test_what_another_master_changed_is_seen(bench: Bench, kind: str) -> None:
    """Only PostgreSQL has other masters."""
    if kind == "sqlite":
        pytest.skip("one master at a time")
    agent = await bench.world.agent("a", capabilities=_ABLE)
    await bench.store.set_credential(agent.id, auth.digest("ffn_old"))
    master = bench.master
    master.auth = auth.Auth("the-admin-key", bench.store)
    old = auth.credential_for(agent.id, "old")
    await bench.store.set_credential(agent.id, auth.digest(old))
    headers = {b"x-api-key": old.encode()}
    assert (await master.auth.check(headers, auth.Access.NODE)).node_id == agent.id
    assert not (await master.classes.node(agent.id)).draining
    other = app.open_store(master.settings)  # as the other master does
    await other.open()
    await other.drain(agent.id, on=True)
    await other.set_credential(agent.id, auth.digest(auth.credential_for(agent.id, "new")))
    await other.close()
    await hints.refresh(master)
    assert (await master.classes.node(agent.id)).draining
    with pytest.raises(errors.Unauthenticated):
        await master.auth.check(headers, auth.Access.NODE)


async def test_a_sweep_that_found_the_database_away_does_not_hurry(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A retry that was due when the database went away must not make it ask a hundred times a second."""
    master = bench.master
    tries: list[float] = []
    waits: list[float] = []

    async def promote(limit: int) -> interface.Promoted:
        tries.append(limit)
        if len(tries) == 1:
            return interface.Promoted(count=0, ready_class_ids=(), next_due_us=0)
        raise errors.Unavailable

    async def pause(_: object, seconds: float) -> None:
        waits.append(seconds)
        if len(waits) == 3:
            master.stopping.set()

    monkeypatch.setattr(bench.store, "promote", promote)
    monkeypatch.setattr(sweeps, "_pause", pause)
    await sweeps._promote(master)
    assert waits == [0.01, master.settings.scheduler_interval_seconds, master.settings.scheduler_interval_seconds]
