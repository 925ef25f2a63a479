"""`--dry-run`: what a submission would become, worked out here, without a master."""

from typing import Any

from ffrtmp.cli import output, show


def resolve(body: dict[str, Any]) -> dict[str, Any]:
    """The spec as JSON. Raises InvalidInput with every fault."""
    import msgspec

    from ffrtmp.planning import resolve as planning
    from ffrtmp.protocol import bodies

    parsed = bodies.parse(bodies.SubmitBody, msgspec.json.encode(body))
    spec: dict[str, Any] = msgspec.to_builtins(planning.resolve(parsed))
    return spec


def page(out: output.Output, title: str, spec: dict[str, Any]) -> None:
    """One resolved spec, with what was decided for the user."""
    out.text(title)
    show.pairs(out, show.spec_pairs(spec))
    for decision in spec.get("decisions", []):
        out.text(f"  ({decision})")
