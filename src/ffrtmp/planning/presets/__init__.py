"""Presets: parameters under a name. Those that ship stand beside this file; operators add folders of their own.

A preset is a TOML file NAME.toml with a `description` and the table `parameters`, which is what `parameters` of a submission is:
the same fields, the same checks. A submission names it as its `scenario`; its own parameters count more. `library` reads the files.
"""

import os
import re
import tomllib
from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

from ffrtmp.domain import errors, spec
from ffrtmp.planning import scenarios
from ffrtmp.protocol import bodies

_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}")
_LONGEST_DESCRIPTION = 300
#: what belongs to one job
_OF_A_JOB = frozenset({"input", "output", "outputs", "overwrite", "rtmp_url", "rtmp_urls", "stream_key"})
#: how many bits: one decision. A job that makes it anew gets nothing of what the preset says about it
_TARGETS = frozenset({"bitrate", "target_vmaf", "target_size"})
_RATE = _TARGETS | {"crf", "two_pass", "max_bitrate"}
#: what a preset says of its codec and of no other
_OF_A_CODEC = _RATE | {"container", "tune", "profile", "pixel_format", "audio"}


class Preset(msgspec.Struct, frozen=True, kw_only=True, eq=False):
    name: str
    description: str
    shipped: bool
    text: str  #: as it is written
    parameters: bodies.ParametersBody
    given: dict[str, Any]  #: the same, as the file says it


class Book:
    """Presets by name. What it holds never changes."""

    def __init__(self, presets: Iterable[Preset] = ()) -> None:
        self._presets = {preset.name: preset for preset in sorted(presets, key=lambda preset: preset.name)}
        self.names = tuple(self._presets)

    def get(self, name: str) -> Preset | None:
        return self._presets.get(name.strip().lower())

    def all(self) -> list[Preset]:
        return list(self._presets.values())

    def applied(self, body: bodies.SubmitBody) -> tuple[bodies.SubmitBody, list[str]]:
        """The submission with what its preset gives, and the sentence that tells it; as it is when it names none."""
        preset = self.get(body.scenario)
        if preset is None:
            return body, []
        parameters, told = under(preset, body.parameters)
        return body.model_copy(update={"parameters": parameters}), [told]


NONE = Book()


def read(name: str, text: str, *, shipped: bool) -> Preset:
    """One preset from its text. Raises InvalidInput with a fault for each thing that is wrong with it."""
    faults: list[errors.Fault] = []
    if not _NAME.fullmatch(name):
        faults.append(errors.Fault("", f"the name {name!r} has more than small letters, digits, dots and dashes"))
    if scenarios.matches(name):
        faults.append(errors.Fault("", f"{name} is a scenario already; choose another name"))
    try:
        document = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise errors.InvalidInput(faults=[*faults, errors.Fault("", f"it is not TOML: {error}")]) from None
    description = document.pop("description", "")
    given = document.pop("parameters", None)
    faults += [
        errors.Fault(other, "is not known; a preset has a description and the table [parameters]", "unknown_field")
        for other in sorted(document)
    ]
    if not isinstance(description, str) or not 0 < len(description.strip()) <= _LONGEST_DESCRIPTION:
        faults.append(errors.Fault("description", f"must be a sentence of at most {_LONGEST_DESCRIPTION} characters"))
    if not isinstance(given, dict):
        raise errors.InvalidInput(faults=[*faults, errors.Fault("parameters", "is missing: the table [parameters]")])
    faults += [
        errors.Fault(f"parameters.{field}", "belongs to a job, not to a preset")
        for field in sorted(_OF_A_JOB & set(given))
    ]
    try:
        parameters = bodies.parse(bodies.ParametersBody, msgspec.json.encode(given))
    except errors.InvalidInput as error:
        faults += [errors.Fault(f"parameters.{fault.path}", fault.message, fault.code) for fault in error.faults]
    if faults:
        raise errors.InvalidInput(faults=faults)
    return Preset(
        name=name,
        description=" ".join(description.split()),
        shipped=shipped,
        text=text,
        parameters=parameters,
        given=given,
    )


def under(preset: Preset, given: bodies.ParametersBody) -> tuple[bodies.ParametersBody, str]:
    """What a job asks, over what the preset says; and the sentence that tells it.

    A job that says how many bits, another codec, or a file name does not get what the preset says of that.
    """
    said = given.model_fields_set
    left_out = _left_out(preset.parameters, given) - said
    kept = {name: value for name, value in preset.given.items() if name not in left_out}
    below = bodies.ParametersBody.model_construct(
        _fields_set=set(kept), **{name: getattr(preset.parameters, name) for name in kept}
    )
    told = ", ".join(f"{name} {value}" for name, value in _flat(kept) if name.partition(".")[0] not in said)
    counted = [*sorted(said & set(kept)), *(f"{name} (left out)" for name in sorted(left_out))]
    instead = f"; the job counts more: {', '.join(counted)}" if counted else ""
    return _over(below, given), f"preset: {preset.name} gives {told}{instead}"


def _left_out(preset: bodies.ParametersBody, given: bodies.ParametersBody) -> set[str]:
    """Fields of the preset that do not go with what the job says."""
    said = given.model_fields_set
    fields: set[str] = set()
    if said & _TARGETS:
        fields |= _RATE
    elif "crf" in said:
        # a cap over a quality stays one; beside a bitrate it was something else
        fields |= _RATE if preset.model_fields_set & _TARGETS else _RATE - {"max_bitrate"}
    if given.codec is not None and given.codec is not preset.codec:
        fields |= _OF_A_CODEC
    if given.output is not None and os.path.splitext(given.output)[1].lower() in spec.EXTENSIONS:
        fields |= {"container"}
    if given.rtmp_url is not None:
        fields |= {"container", "two_pass", "verify"}
    return fields & preset.model_fields_set


def _over(below: bodies.B, above: bodies.B) -> bodies.B:
    """Each field that `above` says counts; tables are put over each other."""
    changes: dict[str, Any] = {}
    for name in above.model_fields_set:
        value, old = getattr(above, name), getattr(below, name)
        if isinstance(value, bodies.Body) and isinstance(old, bodies.Body):
            value = _over(old, value)
        elif isinstance(value, dict) and isinstance(old, dict):
            value = {**old, **value}
        changes[name] = value
    return below.model_copy(update=changes)


def _flat(values: Mapping[str, Any], prefix: str = "") -> list[tuple[str, Any]]:
    pairs: list[tuple[str, Any]] = []
    for name, value in values.items():
        pairs += _flat(value, f"{prefix}{name}.") if isinstance(value, Mapping) else [(f"{prefix}{name}", value)]
    return pairs
