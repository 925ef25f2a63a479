"""Write the reference tables of docs/api.md, docs/metrics.md, docs/job-spec.md and docs/presets.md between their markers.

python tools/reference.py          write
python tools/reference.py --check  exit 1 when a table is not what the code says
"""

import re
import sys
from pathlib import Path

from ffrtmp.master.api import routes
from ffrtmp.planning import library, unsupported
from ffrtmp.protocol import bodies
from ffrtmp.telemetry import metrics

BEGIN = "<!-- begin {name} (written by tools/reference.py) -->"
END = "<!-- end {name} -->"


def route_table() -> str:
    rows = ["| route | what it does | key | answers |", "|---|---|---|---|"]
    for route in routes.ROUTES:
        key = {"public": "none", "user": "API key", "node": "API key or node's own"}[route.access.value]
        answers = ", ".join(str(status) for status in (route.status, *route.also, *route.problems))
        aliases = "".join(f", also `{alias}`" for alias in route.aliases)
        rows.append(f"| `{route.method} {route.path}`{aliases} | {route.summary} | {key} | {answers} |")
    return "\n".join(rows)


def metric_table(definitions: tuple[metrics.Metric, ...]) -> str:
    rows = ["| metric | kind | labels | meaning |", "|---|---|---|---|"]
    for metric in definitions:
        labels = ", ".join(f"`{label}`" for label in metric.labels) or "–"
        rows.append(f"| `{metric.name}` | {metric.kind} | {labels} | {metric.help} |")
    return "\n".join(rows)


def unsupported_table() -> str:
    rows = ["| field | meanwhile |", "|---|---|"]
    rows += [f"| `{field}` | {instead} |" for field, instead in unsupported.FIELDS.items()]
    rows += [f"| `{field}` | {instead} |" for field, (_, instead) in unsupported.VALUES.items()]
    rows.append("| `input`, `output` as a URL | give a path on the node, or `upload:ID` |")
    return "\n".join(rows)


def field_list() -> str:
    known = [name for name in bodies.ParametersBody.model_fields if name not in unsupported.FIELDS]
    return ", ".join(f"`{name}`" for name in known)


def preset_table() -> str:
    rows = ["| preset | what it makes |", "|---|---|"]
    rows += [f"| `{preset.name}` | {preset.description} |" for preset in library.shipped().all()]
    return "\n".join(rows)


TABLES = {
    Path("docs/api.md"): {"routes": route_table},
    Path("docs/metrics.md"): {
        "master": lambda: metric_table(metrics.MASTER),
        "agent": lambda: metric_table(metrics.AGENT),
    },
    Path("docs/presets.md"): {"presets": preset_table},
    Path("docs/job-spec.md"): {"fields": field_list, "unsupported": unsupported_table},
}


def rendered(path: Path) -> str:
    text = path.read_text()
    for name, table in TABLES[path].items():
        begin, end = BEGIN.format(name=name), END.format(name=name)
        pattern = re.compile(f"{re.escape(begin)}.*?{re.escape(end)}", re.DOTALL)
        if not pattern.search(text):
            raise SystemExit(f"{path} has no markers for {name}")
        text = pattern.sub(lambda _, t=table, b=begin, e=end: f"{b}\n\n{t()}\n\n{e}", text)
    return text


def main() -> int:
    stale = [path for path in TABLES if rendered(path) != path.read_text()]
    if "--check" in sys.argv[1:]:
        for path in stale:
            print(f"{path} is not current; run python tools/reference.py")
        return 1 if stale else 0
    for path in stale:
        path.write_text(rendered(path))
    return 0


if __name__ == "__main__":
    sys.exit(main())
