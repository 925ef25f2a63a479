import msgspec

from ffrtmp.domain import node, spec
from ffrtmp.scheduling import waiting
from ffrtmp.scheduling.waiting import WaitingCode

_CAPABLE = node.Capabilities(
    engines={"ffmpeg": "9.0"},
    encoders=[
        node.Encoder(name="libx264", codec=spec.Codec.H264, engine=spec.Engine.FFMPEG, works=True),
        node.Encoder(
            name="h264_nvenc", codec=spec.Codec.H264, engine=spec.Engine.FFMPEG, works=False, hwaccel=spec.Hwaccel.NVENC
        ),
    ],
    media_roots=["/srv/media"],
)


def _node(name: str = "a", **changes: object) -> node.Node:
    plain = node.Node(
        id=name,
        name=name,
        address="",
        type=node.NodeType.SERVER,
        status=node.NodeStatus.AVAILABLE,
        cpu_threads=8,
        cpu_model="",
        has_gpu=False,
        gpu_type="",
        ram_total_bytes=8 << 30,
        labels={"zone": "b"},
        capabilities=_CAPABLE,
        slots=1,
        active_attempts=0,
        draining=False,
        incarnation="i",
        version="",
        registered_at=0,
        last_heartbeat=0,
    )
    return msgspec.structs.replace(plain, **changes)


_PLAIN = spec.Requires(codec=spec.Codec.H264, local_path=True)


def test_rivals_are_what_the_same_nodes_could_run() -> None:
    zone, vp9 = spec.Requires(labels={"zone": "b"}), spec.Requires(codec=spec.Codec.VP9)
    classes = [(1, _PLAIN), (2, zone), (3, vp9)]
    both, elsewhere = _node("a"), _node("b", labels={"zone": "c"})
    assert waiting.rivals(_PLAIN, classes, [both, elsewhere]) == (1, 2)
    assert waiting.rivals(_PLAIN, classes, [elsewhere]) == (1,)
    away = msgspec.structs.replace(both, status=node.NodeStatus.OFFLINE)
    assert waiting.rivals(_PLAIN, classes, [away, elsewhere]) == (1,)  # who is there, while somebody is
    assert waiting.rivals(_PLAIN, classes, [away]) == (1, 2)
    assert waiting.rivals(vp9, classes, [both]) == ()


def test_the_reason_follows_from_the_nodes() -> None:
    busy = _node(active_attempts=1, status=node.NodeStatus.BUSY)
    offline = _node(status=node.NodeStatus.OFFLINE)
    assert waiting.why(_PLAIN, []).code is WaitingCode.NO_NODES
    assert waiting.why(_PLAIN, [_node()]).code is WaitingCode.NEXT
    assert waiting.why(_PLAIN, [busy]).code is WaitingCode.NODES_BUSY
    assert waiting.why(_PLAIN, [busy]).reason == f"The only slot of node {busy.name}, which could run it, is taken."
    assert waiting.why(_PLAIN, [busy, busy]).reason == "All 2 slots of the 2 nodes that could run it are taken."
    assert waiting.why(_PLAIN, [offline]).code is WaitingCode.NODES_OFFLINE
    assert waiting.why(_PLAIN, [busy, offline]).code is WaitingCode.NODES_BUSY


def test_what_no_node_offers_is_named_with_the_nearest_node() -> None:
    asked = spec.Requires(labels={"zone": "a"}, min_threads=64)
    near = _node("near", labels={"zone": "a"})
    why = waiting.why(asked, [_node("far"), near])
    assert why.code is WaitingCode.NO_NODE_FITS
    assert "near: it has 8 CPU threads, fewer than 64" in why.reason


def test_each_requirement_is_checked() -> None:
    def unmet(**asked: object) -> list[str]:
        return node.unmet(spec.Requires(**asked), _node())  # type: ignore[arg-type]

    assert not unmet(
        codec=spec.Codec.H264, encoder="libx264", labels={"zone": "b"}, min_threads=8, engine=spec.Engine.FFMPEG
    )
    assert unmet(codec=spec.Codec.AV1) == ["it has no working av1 encoder"]
    assert unmet(encoder="h264_nvenc") == ["its h264_nvenc encoder does not work or is missing"]
    assert unmet(labels={"zone": "a"}) == ["its label zone is 'b', not 'a'"]
    assert unmet(labels={"rack": "1"}) == ["it has no label rack=1"]
    assert len(unmet(min_memory_bytes=1 << 40)) == 1
    assert unmet(engine=spec.Engine.GSTREAMER)


def test_gstreamer_must_have_been_seen_to_do_it() -> None:
    x264 = node.Encoder(name="x264enc", codec=spec.Codec.H264, engine=spec.Engine.GSTREAMER, works=True)
    gpu = msgspec.structs.replace(x264, name="nvh264enc", hwaccel=spec.Hwaccel.NVENC)
    mp4 = node.Muxer(
        container=spec.Container.MP4,
        engine=spec.Engine.GSTREAMER,
        video=[spec.Codec.H264],
        audio=[spec.AudioCodec.AAC],
    )
    offered = msgspec.structs.replace(
        _CAPABLE,
        engines={"ffmpeg": "9.0", "gstreamer": "1.22.0"},
        encoders=[*_CAPABLE.encoders, x264, gpu],
        muxers=[mp4],
    )

    def unmet(container: spec.Container = spec.Container.MP4, **asked: object) -> list[str]:
        asked = {"engine": spec.Engine.GSTREAMER, "codec": spec.Codec.H264, "container": container, **asked}
        return node.unmet(spec.Requires(**asked), _node(capabilities=offered))  # type: ignore[arg-type]

    assert unmet() == []
    assert unmet(audio=spec.AudioCodec.AAC) == []
    assert unmet(audio=spec.AudioCodec.OPUS) == ["its gstreamer cannot put opus into mp4"]
    assert unmet(spec.Container.TS) == ["its gstreamer writes no ts"]
    assert unmet(codec=spec.Codec.AV1) == ["it has no working av1 encoder"]
    assert unmet(encoder="libx264") == ["its libx264 encoder does not work or is missing"]
    assert unmet(engine=spec.Engine.AUTO, encoder="x264enc") == []
    # its elements for hardware are only shown
    assert unmet(engine=spec.Engine.AUTO, hwaccel=spec.Hwaccel.NVENC) == ["it has no working nvenc encoder for h264"]
    assert unmet(engine=spec.Engine.AUTO, encoder="nvh264enc")


def test_a_reference_agent_takes_only_what_its_protocol_can_say() -> None:
    old = _node(capabilities=msgspec.structs.replace(_CAPABLE, reference_protocol=True, media_roots=[]))
    assert not node.unmet(spec.Requires(local_path=True, container=spec.Container.MP4), old)
    assert node.unmet(spec.Requires(local_path=True, container=spec.Container.WEBM), old)
    assert node.unmet(spec.Requires(local_path=True, container=spec.Container.FLV), old)
    assert node.unmet(spec.Requires(), old)
    more = spec.Requires(local_path=True, container=spec.Container.MP4, beyond_reference=True)
    assert node.unmet(more, old) == [
        "it is a reference agent: it reads only input, output, duration, bitrate, codec and preset"
    ]
    assert not node.unmet(more, _node())


def test_a_node_satisfies_classes_by_id() -> None:
    classes = [(1, _PLAIN), (2, spec.Requires(codec=spec.Codec.AV1)), (3, spec.Requires())]
    assert waiting.satisfied(classes, _node()) == (1, 3)
