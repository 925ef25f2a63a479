"""The one list of what a submission may name but this version cannot do yet. Each is refused with `not_supported_yet`."""

from typing import Any

from ffrtmp.domain.errors import Fault
from ffrtmp.protocol import bodies

CODE = "not_supported_yet"

#: field of `parameters` → what to use meanwhile
FIELDS: dict[str, str] = {
    "outputs": "submit one job per output",
    "rtmp_urls": "submit one job per server, each with its `rtmp_url`",
    "deadline": "use `priority`",
    "webhook": "follow `GET /events`",
}
#: field → (values that work, what to use meanwhile)
VALUES: dict[str, tuple[frozenset[str], str]] = {
    "chunking": (frozenset({"auto", "off"}), "`auto` and `off` work"),
}
#: values that name nothing at all are plain errors, not features to come
KNOWN_VALUES: dict[str, frozenset[str]] = {
    "chunking": frozenset({"auto", "on", "off"}),
}
#: inputs and outputs that are URLs
SCHEMES = ("http", "https", "s3", "gs", "az", "rtmp", "rtmps", "srt", "ftp", "sftp", "rtsp", "udp", "tcp")


def _value(parameters: bodies.ParametersBody, path: str) -> Any:
    value: Any = parameters
    for part in path.split("."):
        value = getattr(value, part, None)
    return value


def faults(parameters: bodies.ParametersBody) -> list[Fault]:
    """A fault for each field that is set but cannot be done yet."""
    found = [
        Fault(f"parameters.{path}", f"is not supported yet; {instead}", CODE)
        for path, instead in FIELDS.items()
        if _value(parameters, path) is not None
    ]
    for path, (working, instead) in VALUES.items():
        value = _value(parameters, path)
        if value in working:
            continue
        if value in KNOWN_VALUES[path]:
            found.append(Fault(f"parameters.{path}", f"{value!r} is not supported yet; {instead}", CODE))
        else:
            choices = ", ".join(sorted(KNOWN_VALUES[path]))
            found.append(Fault(f"parameters.{path}", f"{value!r} is not known; choose one of {choices}"))
    return found


def scheme(location: str) -> str | None:
    """The URL scheme of an input or output that needs a feature to come; None for paths."""
    head, separator, _ = location.partition("://")
    return head.lower() if separator and head.lower() in SCHEMES else None
