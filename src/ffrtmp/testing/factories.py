"""Records for tests, with every field that a test does not care about filled in."""

import hashlib
import itertools
import uuid
from collections.abc import Sequence

import msgspec
import uuid_utils

from ffrtmp.domain import job, node, spec
from ffrtmp.store import interface

_numbers = itertools.count(1)


def new_id() -> str:
    return str(uuid_utils.uuid7())


def a_spec(**fields: object) -> spec.Spec:
    base = spec.Spec(
        input=spec.Input(kind=spec.InputKind.GENERATE),
        codec=spec.Codec.H264,
        container=spec.Container.MP4,
        rate=spec.Rate(mode=spec.RateMode.CRF, crf=23),
        duration=2.0,
        requires=spec.Requires(codec=spec.Codec.H264, generates_input=True),
    )
    return msgspec.structs.replace(base, **fields)


def a_measurement(**fields: object) -> spec.Measurement:
    base = spec.Measurement(
        input=spec.Input(kind=spec.InputKind.FILE, path="made.mp4"),
        reference=spec.Input(kind=spec.InputKind.FILE, path="source.mkv"),
        metrics=[spec.Metric.VMAF],
        requires=spec.Requires(metrics=[spec.Metric.VMAF], local_path=True),
    )
    return msgspec.structs.replace(base, **fields)


def a_task(of: spec.Work | None = None, *, depends_on: Sequence[int] = (), payload: bytes | None = None) -> job.NewTask:
    of = of or a_spec()
    return job.NewTask(
        id=new_id(),
        kind=job.kind_of(of),
        requires_key=of.requires.key(),
        payload=payload or msgspec.json.encode(of),
        depends_on=tuple(depends_on),
    )


def a_job(of: spec.Work | None = None, **fields: object) -> job.NewJob:
    """One task, unless `tasks` says otherwise."""
    of = of or a_spec()
    base = job.NewJob(
        id=new_id(),
        scenario="720p30-h264",
        confidence="auto",
        engine=spec.Engine.AUTO,
        queue=spec.Queue.DEFAULT,
        priority=spec.Priority.MEDIUM,
        parameters=b'{"duration": 2}',
        spec=msgspec.json.encode(of),
        tasks=(a_task(of),),
        head_start_us=0,
        max_retries=3,
    )
    return msgspec.structs.replace(base, **fields)


def a_node(name: str | None = None, **fields: object) -> interface.NewNode:
    base = interface.NewNode(
        id=new_id(),
        name=f"node-{next(_numbers)}" if name is None else name,
        address="127.0.0.1",
        type=node.NodeType.SERVER,
        cpu_threads=8,
        cpu_model="test",
        has_gpu=False,
        gpu_type="",
        ram_total_bytes=16 * 2**30,
        labels={"site": "lab"},
        capabilities=node.Capabilities(engines={"ffmpeg": "9.0"}),
        slots=4,
        incarnation=uuid.uuid4().hex,
        version="0",
        ttl_us=30_000_000,
        heartbeat_interval_us=10_000_000,
    )
    return msgspec.structs.replace(base, **fields)


def an_output(name: str = "out.mp4", **fields: object) -> job.OutputFile:
    digest = hashlib.sha256(name.encode()).hexdigest()
    base = job.OutputFile(name=name, size_bytes=1000, sha256=digest, path=f"/media/{name}")
    return msgspec.structs.replace(base, **fields)


def a_result(**fields: object) -> job.Result:
    base = job.Result(
        outputs=[an_output()],
        verdict=job.Verdict(level="standard", passed=True),
        engine=spec.Engine.FFMPEG,
        encoder="libx264",
        frames=60,
    )
    return msgspec.structs.replace(base, **fields)


def an_upload(**fields: object) -> interface.Upload:
    base = interface.Upload(
        id=new_id(),
        name="clip.mp4",
        size_bytes=10,
        sha256=hashlib.sha256(b"").hexdigest(),
        complete=False,
        created_at=0,
    )
    return msgspec.structs.replace(base, **fields)
