"""Completion of scenarios and presets. Asks no master: a key that is pressed must be answered at once."""

import click
from click.shell_completion import CompletionItem

#: a shell shows no more at a time that anybody could read
_MOST = 60


def complete_preset(_ctx: click.Context, _parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """The presets that come along."""
    from ffrtmp.planning import library

    return [
        CompletionItem(preset.name, help=preset.description)
        for preset in library.shipped().all()
        if preset.name.startswith(incomplete.lower())
    ]


def complete_scenario(ctx: click.Context, parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Presets, and the names that say all by themselves as far as they begin like this."""
    from ffrtmp.planning import scenarios

    found = complete_preset(ctx, parameter, incomplete)
    begun = [name for name in scenarios.known() if incomplete and name.lower().startswith(incomplete.lower())]
    return found + [CompletionItem(name) for name in begun[:_MOST]]
