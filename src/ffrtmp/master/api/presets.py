"""Presets: what a submission may name as its scenario."""

import difflib
import tomllib
from typing import Any

from ffrtmp.domain import errors
from ffrtmp.master.http.call import Call
from ffrtmp.planning import presets, scenarios
from ffrtmp.protocol import views


async def listing(call: Call) -> Any:
    found = [_view(preset) for preset in call.master.presets.all()]
    return views.PresetsView(presets=found, count=len(found))


async def one(call: Call) -> Any:
    name = call.path["name"]
    preset = call.master.presets.get(name)
    if preset is None and (text := scenarios.text(name)) is not None:
        return _of_scenario(name, text)
    if preset is None:
        near = difflib.get_close_matches(name.lower()[:64], call.master.presets.names, n=3, cutoff=0.4)
        offer = f"the nearest are {', '.join(near)}" if near else "GET /presets lists all"
        raise errors.NotFound(f"There is no preset {name[:64]!r}; {offer}.")
    return _view(preset)


def _of_scenario(name: str, text: str) -> views.PresetView:
    said = tomllib.loads(text)
    return views.PresetView(
        name=name, description=said["description"], source="scenario", parameters=said["parameters"], text=text
    )


def _view(preset: presets.Preset) -> views.PresetView:
    return views.PresetView(
        name=preset.name,
        description=preset.description,
        source="shipped" if preset.shipped else "operator",
        parameters=preset.given,
        text=preset.text,
    )
