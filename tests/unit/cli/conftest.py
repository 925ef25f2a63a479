"""A master that is not one: a real HTTP server with canned answers, so that the whole way of a command is tested."""

import dataclasses
import hashlib
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

from ffrtmp.cli import main
from ffrtmp.domain import errors, job, node, spec
from ffrtmp.protocol import agent, problems, views

STAMP = "2026-01-05T12:00:00Z"


def job_view(number: int = 17, state: str = "queued", **more: Any) -> views.JobView:
    fields: dict[str, Any] = {
        "id": f"01890000-0000-7000-8000-{number:012d}",
        "sequence_number": number,
        "state": state,
        "status": state,
        "scenario": "720p30-h264",
        "confidence": "auto",
        "engine": "auto",
        "queue": "default",
        "priority": "medium",
        "parameters": {"bitrate": "2M"},
        "created_at": STAMP,
        "updated_at": STAMP,
        "retry_count": 0,
        "max_retries": 3,
        "progress": 100 if state == "completed" else 0,
    }
    if state not in ("queued", "rejected"):
        fields |= {"started_at": STAMP, "node_id": "n1", "node_name": "worker-01"}
    if state in ("completed", "failed", "canceled"):
        fields["completed_at"] = "2026-01-05T12:00:42Z"
    if state == "completed":
        fields["result"] = job.Result(
            outputs=[job.OutputFile(name="clip.mp4", size_bytes=1_500_000, sha256="ab" * 32)],
            verdict=job.Verdict(level="standard", passed=True, checks={"frames": 132, "frames_expected": 132}),
            engine=spec.Engine.FFMPEG,
            encoder="libx264",
            frames=132,
            speed=2.5,
        )
    if state == "failed":
        fields["failure"] = views.FailureView(
            code="input_missing",
            failure_class="permanent",
            message="no such file: /media/a.mov",
            advice="Check the path.",
        )
    return views.JobView(**{**fields, **more})


def node_view(**more: Any) -> views.NodeView:
    fields: dict[str, Any] = {
        "id": "n1",
        "name": "worker-01",
        "address": "10.0.0.9",
        "type": "server",
        "status": "available",
        "cpu_threads": 16,
        "cpu_model": "Some CPU",
        "has_gpu": False,
        "ram_total_bytes": 34359738368,
        "slots": 4,
        "active_jobs": 1,
        "last_heartbeat": STAMP,
        "registered_at": STAMP,
        "labels": {"rack": "b2"},
        "engines": {"ffmpeg": "9.0.2"},
        "encoders": [
            node.Encoder(name="libx264", codec=spec.Codec.H264, engine=spec.Engine.FFMPEG, works=True),
            node.Encoder(
                name="h264_nvenc", codec=spec.Codec.H264, engine=spec.Engine.FFMPEG, works=False, detail="no libcuda"
            ),
        ],
        "media_roots": ["/srv/video"],
    }
    return views.NodeView(**{**fields, **more})


@dataclasses.dataclass
class FakeMaster:
    """`script`: job id → the states it goes through, one for each look. What came in is in `bodies` and `requests`."""

    url: str = ""
    jobs: dict[str, views.JobView] = dataclasses.field(default_factory=dict)
    script: dict[str, list[views.JobView]] = dataclasses.field(default_factory=dict)
    nodes: list[views.NodeView] = dataclasses.field(default_factory=list)
    queue: views.QueueView = dataclasses.field(default_factory=lambda: views.QueueView(rows=[], total=0))
    presets: list[views.PresetView] = dataclasses.field(default_factory=list)
    fault: errors.FfrtmpError | None = None
    bodies: list[dict[str, Any]] = dataclasses.field(default_factory=list)
    requests: list[str] = dataclasses.field(default_factory=list)
    headers: list[dict[str, str]] = dataclasses.field(default_factory=list)
    uploads: dict[str, bytes] = dataclasses.field(default_factory=dict)
    output: bytes = b"the output"
    logs: bool = True
    away: int = 0  #: so many looks at a job are answered with 503 once it runs
    on_submit: Callable[[views.JobView], list[views.JobView]] = lambda job: [job]

    def add(self, *steps: views.JobView) -> views.JobView:
        self.jobs[steps[0].id] = steps[0]
        self.script[steps[0].id] = list(steps[1:])
        return steps[0]

    def find(self, ref: str) -> views.JobView:
        for found in self.jobs.values():
            if ref in (found.id, str(found.sequence_number)):
                return found
        raise errors.NotFound(f"There is no job {ref}.")


def _reply(value: Any, status: int = 200) -> Response:
    return Response(msgspec.json.encode(value), status, media_type="application/json")


def application(master: FakeMaster) -> Starlette:
    def route(path: str, method: str, act: Callable[[Request], Any], status: int = 200) -> Route:
        async def endpoint(request: Request) -> Response:
            master.requests.append(f"{method} {request.url.path}?{request.url.query}".rstrip("?"))
            master.headers.append(dict(request.headers))
            try:
                if master.fault and path != "/health":
                    raise master.fault
                found = act(request)
                value = await found if hasattr(found, "__await__") else found
            except errors.FfrtmpError as error:
                return _reply(problems.problem(error), problems.status_of(error))
            return value if isinstance(value, Response) else _reply(value, status)

        return Route(path, endpoint, methods=[method])

    def look(request: Request) -> views.JobView:
        found = master.find(request.path_params["ref"])
        if master.away and found.state == "running":
            master.away -= 1
            raise errors.Unavailable("The database is away.")
        if steps := master.script.get(found.id):
            master.jobs[found.id] = steps.pop(0)
        return found

    def ref(request: Request) -> views.JobView:
        return master.find(request.path_params["ref"])

    async def submit(request: Request) -> views.JobView:
        body = await request.json()
        master.bodies.append(body)
        made = job_view(17 + len(master.jobs), parameters=body.get("parameters", {}), scenario=body.get("scenario", ""))
        return master.add(*master.on_submit(made))

    def change(state: str) -> Callable[[Request], views.ChangeView]:
        def act(request: Request) -> views.ChangeView:
            found = ref(request)
            if found.state == "completed" and state != "queued":
                raise errors.Conflict("The job has ended.", state="completed")
            now = master.jobs[found.id] = job_view(found.sequence_number, state)
            master.script[found.id] = []
            return views.ChangeView(status=state, job_id=found.id, job=now)

        return act

    async def create_upload(request: Request) -> agent.UploadStatus:
        asked = msgspec.json.decode(await request.body(), type=agent.UploadCreate)
        upload_id = f"u{len(master.uploads) + 1}"
        master.uploads[upload_id] = b""
        return agent.UploadStatus(
            id=upload_id, name=asked.name, size_bytes=asked.size_bytes, sha256=asked.sha256, offset=0, complete=False
        )

    async def put_upload(request: Request) -> agent.UploadStatus:
        upload_id = request.path_params["ref"]
        master.uploads[upload_id] += await request.body()
        data = master.uploads[upload_id]
        return agent.UploadStatus(
            id=upload_id,
            name="x",
            size_bytes=len(data),
            sha256=hashlib.sha256(data).hexdigest(),
            offset=len(data),
            complete=True,
        )

    def outputs(request: Request) -> views.OutputsView:
        found = ref(request)
        made = (
            []
            if found.state != "completed"
            else [
                views.OutputView(
                    name="clip.mp4",
                    size_bytes=len(master.output),
                    sha256=hashlib.sha256(master.output).hexdigest(),
                    url=f"/jobs/{found.id}/outputs/clip.mp4",
                )
            ]
        )
        return views.OutputsView(job_id=found.id, outputs=made, verdict=found.result.verdict if found.result else None)

    def tasks(request: Request) -> views.TasksView:
        found = ref(request)
        attempt = views.AttemptView(
            id="a1", task_id="t1", number=1, state=found.state, node_id="n1", node_name="worker-01", assigned_at=STAMP,
            failure=found.failure,
        )  # fmt: skip
        return views.TasksView(tasks=[], attempts=[attempt] if found.started_at else [])

    def logs(request: Request) -> views.LogsView:
        log = views.AttemptLog(
            attempt_id="a1", number=1, node_name="worker-01", text="frame= 132\n[bold]not markup[/bold]\n"
        )
        if not master.logs:
            return views.LogsView(job_id=ref(request).id, logs="", attempts=[])
        return views.LogsView(job_id=ref(request).id, logs=log.text, attempts=[log])

    def explain(request: Request) -> views.ExplainView:
        found = ref(request)
        return views.ExplainView(
            job_id=found.id,
            state=found.state,
            spec={"codec": "h264", "rate": {"mode": "crf", "crf": 23}},
            decisions=["rate: crf 23, the default for h264"],
            nodes=[
                views.NodeFit(node_name="worker-01", status="busy", fits=False, unmet=["it has no working av1 encoder"])
            ],
            history=["12:00:00 submitted"],
            earlier_left_out=True,
            waiting_code="no_node",
            waiting_reason="No registered node can run it.",
            ahead=2,
        )

    def listing(request: Request) -> views.JobPage:
        limit = int(request.query_params.get("limit", 100))
        start = int(request.query_params.get("cursor", 0))
        every = sorted(master.jobs.values(), key=lambda found: -found.sequence_number)
        page = every[start : start + limit]
        after = str(start + limit) if start + limit < len(every) else None
        return views.JobPage(jobs=page, count=len(page), next_cursor=after)

    def one_node(request: Request) -> views.NodeView:
        wanted = request.path_params["ref"]
        for found in master.nodes:
            if wanted in (found.id, found.name):
                return found
        raise errors.NotFound(f"There is no node {wanted}.")

    def remove_node(request: Request) -> Response:
        master.nodes.remove(one_node(request))
        return Response(status_code=204)

    def one_preset(request: Request) -> views.PresetView:
        wanted = request.path_params["ref"]
        for found in master.presets:
            if found.name == wanted:
                return found
        raise errors.NotFound(f"There is no preset {wanted}.")

    async def events(_request: Request) -> Response:
        return StreamingResponse(iter([b": nothing happens\n\n"]), media_type="text/event-stream")

    def health(_request: Request) -> views.HealthView:
        return views.HealthView(status="ok", version="0.1.0", database="sqlite", uptime_seconds=1.0)

    routes = [
        route("/health", "GET", health),
        route("/events", "GET", events),
        route("/queue", "GET", lambda _request: master.queue),
        route("/nodes", "GET", lambda _request: views.NodePage(nodes=master.nodes, count=len(master.nodes))),
        route("/nodes/{ref}", "GET", one_node),
        route("/nodes/{ref}", "DELETE", remove_node),
        route("/nodes/{ref}/drain", "POST", one_node),
        route("/presets", "GET", lambda _request: views.PresetsView(presets=master.presets, count=len(master.presets))),
        route("/presets/{ref}", "GET", one_preset),
        route("/jobs", "POST", submit, 201),
        route("/jobs", "GET", listing),
        route("/jobs/{ref}", "GET", look),
        route("/jobs/{ref}/tasks", "GET", tasks),
        route("/jobs/{ref}/logs", "GET", logs),
        route("/jobs/{ref}/explain", "GET", explain),
        route("/jobs/{ref}/outputs", "GET", outputs),
        route("/jobs/{ref}/outputs/{name}", "GET", lambda _request: Response(master.output)),
        route("/jobs/{ref}/cancel", "POST", change("canceled")),
        route("/jobs/{ref}/pause", "POST", change("paused")),
        route("/jobs/{ref}/resume", "POST", change("queued")),
        route("/jobs/{ref}/retry", "POST", change("queued")),
        route("/uploads", "POST", create_upload, 201),
        route("/uploads/{ref}", "PUT", put_upload),
    ]
    return Starlette(routes=routes)


@pytest.fixture
def master() -> Iterator[FakeMaster]:
    fake = FakeMaster()
    server = uvicorn.Server(uvicorn.Config(application(fake), port=0, log_level="error", lifespan="off"))
    listener = server.config.bind_socket()
    listener.listen(64)  # connections wait in line until the thread serves them
    fake.url = f"http://127.0.0.1:{listener.getsockname()[1]}"
    thread = threading.Thread(target=server.run, args=([listener],), daemon=True)
    thread.start()
    yield fake
    server.should_exit = True
    thread.join()
    listener.close()


@dataclasses.dataclass
class Ran:
    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return msgspec.json.decode(self.out)

    @property
    def lines(self) -> list[Any]:
        return [msgspec.json.decode(line) for line in self.out.splitlines()]


Run = Callable[..., Ran]


@pytest.fixture
def run(
    capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path, request: pytest.FixtureRequest
) -> Run:
    """Run a command line in this process. Where the test has a master, it is the one the commands find."""
    for name in ("MASTER_API_KEY", "FFMPEG_RTMP_API_KEY", "FFRTMP_CONFIG", "COLUMNS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("FFRTMP_STATE_DIR", str(tmp_path / "state"))
    if "master" in request.fixturenames:
        monkeypatch.setenv("FFRTMP_MASTER_URL", request.getfixturevalue("master").url)

    def go(*arguments: str) -> Ran:
        capfd.readouterr()
        code = main.run(main.tree(), list(arguments), "ffrtmp")
        told = capfd.readouterr()
        return Ran(int(code), told.out, told.err)

    return go


@pytest.fixture
def view() -> Callable[..., views.JobView]:
    return job_view


@pytest.fixture
def a_node() -> Callable[..., views.NodeView]:
    return node_view
