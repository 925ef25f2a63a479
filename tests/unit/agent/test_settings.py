"""Settings that cannot work are refused by name."""

from pathlib import Path

import pytest

from ffrtmp.agent.settings import AgentSettings, cores
from ffrtmp.domain import errors


@pytest.mark.parametrize(
    ("wrong", "named"),
    [
        ({"masters": ("ftp://x",)}, "master's address"),
        ({"masters": ("http://a:1", "b:x")}, "master's address 'b:x'"),
        ({"masters": ()}, "master's address ''"),
        ({"max_concurrent_jobs": 0}, "--max-concurrent-jobs 0"),
        ({"max_concurrent_jobs": "many"}, "--max-concurrent-jobs many"),
        ({"poll_interval_seconds": 0.0}, "--poll-interval 0s"),
        ({"poll_interval_seconds": 60.0}, "--poll-interval 60s"),
        ({"heartbeat_interval_seconds": 0.5}, "--heartbeat-interval 0.5s"),
        ({"metrics_port": 70000}, "--metrics-port 70000"),
        ({"stop_grace_seconds": -1.0}, "--stop-grace"),
        ({"name": "a b"}, "--name 'a b'"),
        ({"key": Path("k")}, "--key needs --cert"),
        ({"media_roots": (Path("/not/there"),)}, "--media-root /not/there"),
    ],
)
def test_refused(wrong: dict[str, object], named: str) -> None:
    with pytest.raises(errors.InvalidInput, match=named.replace("(", r"\(")):
        AgentSettings(**wrong).check()  # type: ignore[arg-type]


def test_defaults_work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    settings = AgentSettings()
    settings.check()
    assert settings.roots == (tmp_path.resolve(),)
    assert settings.slots == 1
    assert settings.work.name == settings.node_name


@pytest.mark.parametrize(
    ("count", "slots", "threads"), [(2, 1, None), (2, 2, None), (8, 2, None), (16, 4, 8), (64, 16, 8), (4, 9, 2)]
)
def test_many_slots_share_the_cores(
    monkeypatch: pytest.MonkeyPatch, count: int, slots: int, threads: int | None
) -> None:
    monkeypatch.setattr("ffrtmp.agent.settings.cores", lambda: count)
    assert AgentSettings(max_concurrent_jobs=slots).threads == threads


def test_auto_follows_the_cores() -> None:
    assert AgentSettings(max_concurrent_jobs="auto").slots == max(1, cores() // 4)
