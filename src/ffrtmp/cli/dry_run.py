"""`--dry-run`: what a submission would become, worked out here, without a master."""

import contextlib
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from ffrtmp.cli import connection, output, placing, show, text
from ffrtmp.domain import errors

if TYPE_CHECKING:
    from ffrtmp.cli.transcoding import Item
    from ffrtmp.planning import presets

_AS_INPUT = "as the input"


async def book(session: connection.Session, bodies: Sequence[dict[str, Any]]) -> "presets.Book":
    """The presets that come along, and what these submissions name beside them, as the master has it. A master that does not answer
    or does not know it is not a fault here: who reads the submission says so."""
    from ffrtmp.planning import library, presets, scenarios

    known = library.shipped()
    named = dict.fromkeys(body["scenario"] for body in bodies if isinstance(body.get("scenario"), str))
    missing = [name for name in named if name and known.get(name) is None and not scenarios.matches(name)]
    if not missing:
        return known
    found = []
    try:
        async with session.open() as client:
            for name in missing:
                with contextlib.suppress(errors.NotFound):
                    one = await client.preset(name)
                    found.append(presets.read(one.name, one.text, shipped=False))
    except errors.FfrtmpError as error:
        session.out.say(f"Presets of the master's operator are not known here: {error}")
    return presets.Book([*known.all(), *found])


def resolve(body: dict[str, Any], known: "presets.Book") -> dict[str, Any]:
    """The spec as JSON. Raises InvalidInput with every fault."""
    import msgspec

    from ffrtmp.domain.spec import shown
    from ffrtmp.planning import resolve as planning
    from ffrtmp.protocol import bodies

    parsed = bodies.parse(bodies.SubmitBody, msgspec.json.encode(body))
    spec: dict[str, Any] = msgspec.to_builtins(shown(planning.resolve(parsed, known)))
    return spec


def files(
    session: connection.Session, items: Sequence["Item"], specs: Sequence[dict[str, Any]], *, upload: bool | None
) -> None:
    """What `transcode` would make of each file. `upload` None: it has yet to be found out."""
    named = [
        {
            **spec,
            "input": {**spec["input"], "path": str(item.source)},
            **({} if item.target is None else {"output": str(item.target)}),
        }
        for item, spec in zip(items, specs, strict=True)
    ]
    if session.out.json:
        session.out.document({"specs": named, "count": len(named)})
        return
    where = _where(session.connection.master, upload)
    for item, spec in zip(items, named, strict=True):
        told = {name: value for name, value in spec.items() if name not in ("input", "output")}
        becomes = "a stream" if item.target is None else item.target
        page(session.out, f"{item.source} would become {becomes}", told, file=where)


def _where(written: Sequence[str], upload: bool | None) -> str:
    from ffrtmp.client import masters

    urls = [url for one in masters.addresses(written) for url in masters.candidates(one)]
    if upload is None and not all(placing.is_loopback(url) for url in urls):
        return "sent to the master and fetched, because the master is another machine"
    if upload is None:
        return "used where it is if this machine surely runs the job, else sent to the master (--upload, --no-upload)"
    return "sent to the master and fetched" if upload else "used where it is"


def page(out: output.Output, title: str, spec: dict[str, Any], *, file: str = "") -> None:
    """One resolved spec, with what was decided for the user. `file`: whether it is sent."""
    out.text(title)
    show.pairs(out, [*_rows(spec), ("File", file)])
    for decision in spec.get("decisions", []):
        if not decision.startswith("chunking: "):  # it is always off
            out.text(f"  ({decision})")


def _rows(spec: dict[str, Any]) -> list[tuple[str, str]]:
    if spec["kind"] == "measure":
        return show.spec_pairs(spec)
    audio, size, source = spec.get("audio", {}), spec.get("resolution"), spec.get("input") or {}
    known = (
        "codec",
        "container",
        "rate",
        "preset",
        "resolution",
        "ladder",
        "fps",
        "audio",
        "start",
        "duration",
        "output",
        "input",
        "kind",
        "target",
    )
    more = {name: value for name, value in spec.items() if name not in (*known, "decisions")}
    length = spec.get("duration")
    return [
        ("Input", source.get("path") or source.get("upload_id") or ("a generated clip" if source else "")),
        ("Output", spec.get("output") or ""),
        ("Streams to", _server(spec["target"]) if spec.get("target") else ""),
        (
            "Video",
            f"{spec['codec']} in {spec['container']}, {text.asked_rate(spec['rate'])}, preset {spec.get('preset', 'medium')}",
        ),
        ("Size", text.resolution(size) if size else "" if "ladder" in spec else _AS_INPUT),
        ("Sizes", text.ladder(spec["ladder"]) if "ladder" in spec else ""),
        ("Frame rate", spec.get("fps") or _AS_INPUT),
        ("Audio", _audio(audio, spec)),
        ("Start", f"{spec['start']:g} s" if spec.get("start") else ""),
        ("Duration", f"{length:g} s" if length is not None else ""),
        *show.spec_pairs(more),
    ]


def _server(target: dict[str, Any]) -> str:
    import msgspec

    from ffrtmp.domain.streaming import Target

    return str(msgspec.convert(target, Target))


def _audio(audio: dict[str, Any], spec: dict[str, Any]) -> str:
    from ffrtmp.domain.spec import Container
    from ffrtmp.media.audio import USUAL

    codec, usual = audio.get("codec", "auto"), USUAL[Container(spec["container"])].value
    if codec in ("none", "copy"):
        return "none" if codec == "none" else "copied"
    asked = "".join(
        (
            f" at {text.asked_bitrate(audio['bitrate_bps'])}" if audio.get("bitrate_bps") else "",
            f", channels: {audio['channels']}" if audio.get("channels") else "",
        )
    )
    if codec != "auto" or asked or spec.get("start") or spec.get("duration") is not None:
        return f"encoded as {usual if codec == 'auto' else codec}{asked}"
    return f"copied where {spec['container']} can hold it, else encoded as {usual}"
