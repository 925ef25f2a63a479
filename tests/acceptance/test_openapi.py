"""schemathesis against a real master: whatever its own description allows or forbids, its answers are the ones described."""

import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import schemathesis
from hypothesis import HealthCheck, settings
from schemathesis.config import SchemathesisConfig
from schemathesis.specs.openapi.checks import positive_data_acceptance

from ffrtmp.master.api import routes
from ffrtmp.master.http import openapi
from ffrtmp.protocol import agent

_KEY = "the-admin-key"
#: requests for each operation; more by hand: FFRTMP_OPENAPI_CASES=1000
_CASES = int(os.environ.get("FFRTMP_OPENAPI_CASES", "20"))
_DOCUMENT = openapi.document(routes.ROUTES)


class Master:
    """A master in a process of its own, with a little of everything in it."""

    def __init__(self, root: Path) -> None:
        self._process = subprocess.Popen(
            [
                *(Path(sys.executable).parent / "ffrtmp", "master", "--host", "127.0.0.1", "--port", "0"),
                *("--no-tls", "--metrics-port", "0", "--db", root / "master.db", "--log-format", "json"),
            ],
            env={**os.environ, "FFRTMP_STATE_DIR": str(root / "state"), "MASTER_API_KEY": _KEY},
            cwd=root,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        self.lines: list[str] = []
        self.url = self._ready()
        threading.Thread(target=self._drain, daemon=True).start()
        with httpx.Client(base_url=self.url, headers={"X-API-Key": _KEY}, trust_env=False) as client:
            self.names = self._fill(client)

    def _ready(self) -> str:
        assert self._process.stderr is not None
        for line in self._process.stderr:
            self.lines.append(line)
            if line.startswith("{") and (found := json.loads(line)).get("event") == "the master is ready":
                return str(found["url"])
        raise AssertionError("the master did not start:\n" + "".join(self.lines))

    def _drain(self) -> None:
        assert self._process.stderr is not None
        self.lines.extend(self._process.stderr)

    def _fill(self, client: httpx.Client) -> dict[str, list[str]]:
        """Names of things that are there, by the parameter that they stand for."""

        def send(path: str, body: Any) -> Any:
            answer = client.post(path, json=body)
            assert answer.status_code < 300, answer.text
            return answer.json()

        encoders = [{"name": "libx264", "codec": "h264", "engine": "ffmpeg", "works": True}]
        capabilities = {"engines": {"ffmpeg": "9"}, "encoders": encoders, "media_roots": ["/srv"]}
        node = send("/nodes/register", {"name": "a", "incarnation": "i", "slots": 9, "capabilities": capabilities})
        reference = send("/nodes/register", {"address": "http://reference:9091", "cpu_threads": 4})
        jobs = [send("/jobs", {"scenario": "720p30-h264"})["id"] for _ in range(9)]
        asked = {"incarnation": "i", "request_id": "r", "free_slots": 4, "wait_seconds": 0}
        attempts = [grant["attempt_id"] for grant in send(f"/nodes/{node['id']}/lease", asked)["grants"]]
        send(f"/jobs/{jobs[0]}/cancel", None)
        uploads = [send("/uploads", {"name": "x.mp4", "size_bytes": 9, "sha256": "0" * 64})["id"] for _ in range(3)]
        return {
            "ref": [*jobs, "1", "2", "7"],
            "node_id": [node["id"], reference["id"], "a"],
            "attempt_id": attempts,
            "upload_id": uploads,
            "name": ["x.mp4"],
        }

    def stop(self) -> int:
        self._process.terminate()
        return self._process.wait(60)


@pytest.fixture(scope="module")
def master(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Master]:
    running = Master(tmp_path_factory.mktemp("openapi"))
    yield running
    assert running.stop() == 0
    assert not [line for line in running.lines if '"level": "error"' in line], "".join(running.lines)


def _schema() -> Any:
    config = SchemathesisConfig()
    # every request has our key: a key of its own would be replaced by it
    config.projects.default.generation.with_security_parameters = False
    # a log that is too long is 413
    config.projects.default.checks.negative_data_rejection.expected_statuses = ["4xx"]
    schema = schemathesis.openapi.from_dict(_DOCUMENT, config=config)
    # a stream of events never ends: tests/unit/master has it
    return schema.exclude(path="/events")


schema = _schema()


def _settle(case: Any, names: dict[str, list[str]]) -> None:
    """Half of the names become ones that are there, always the same for the same case; no long-poll waits; no disk fills."""
    for name, value in (case.path_parameters or {}).items():
        choice = sum(str(value).encode(errors="replace"))
        if choice % 2 and name in names:
            case.path_parameters[name] = names[name][choice // 2 % len(names[name])]
    if isinstance(case.body, dict) and case.path.endswith("/lease"):
        case.body["wait_seconds"] = 0
    size = case.body.get("size_bytes") if isinstance(case.body, dict) else None
    if isinstance(size, int) and 1 << 20 < size <= agent.LARGEST_UPLOAD_BYTES:
        case.body["size_bytes"] = 1 << 20  # more than the disk has is 503


@schema.parametrize()
@settings(
    max_examples=_CASES,
    derandomize=True,
    deadline=None,
    database=None,
    suppress_health_check=list(HealthCheck),
)
def test_answers_are_as_described(case: Any, master: Master) -> None:
    _settle(case, master.names)
    case.call_and_validate(
        base_url=master.url,
        headers={"Authorization": f"Bearer {_KEY}"},
        # that a body fits the schema does not make it a job: codec and container must go together, a file must be named …
        excluded_checks=[positive_data_acceptance],
        timeout=30,
    )


def test_the_document_is_the_one_that_is_served(master: Master) -> None:
    served = httpx.get(f"{master.url}/schema", trust_env=False)
    assert served.json() == json.loads(json.dumps(_DOCUMENT))
