"""docs/cli.md and the commands say the same."""

import importlib.util
from pathlib import Path

import click
import pytest

ROOT = Path(__file__).parents[3]


@pytest.fixture(scope="module")
def tool():
    place = importlib.util.spec_from_file_location("cli_reference", ROOT / "tools" / "cli_reference.py")
    assert place
    assert place.loader
    module = importlib.util.module_from_spec(place)
    place.loader.exec_module(module)
    return module


def test_the_reference_is_current(tool):
    page = tool.PAGE.read_text(encoding="utf-8")
    assert page == tool.written(page), "run: python tools/cli_reference.py"


def test_every_command_and_option_is_named(tool):
    from ffrtmp.cli import main

    page = tool.PAGE.read_text(encoding="utf-8")
    for path, command in tool.leaves(main.tree()):
        assert f"### `ffrtmp {' '.join(path)}`" in page
        for parameter in command.params:
            for opt in (*parameter.opts, *parameter.secondary_opts):
                assert not opt.startswith("-") or opt in page, (path, opt)


def test_every_option_says_what_it_is_for(tool):
    from ffrtmp.cli import main

    for path, command in tool.leaves(main.tree()):
        for parameter in command.params:
            if isinstance(parameter, click.Option):
                assert parameter.help, (path, parameter.name)


def test_commands_in_the_documents_exist(tool):
    """Each `ffrtmp …` line of the prose names a command that is there."""
    from ffrtmp.cli import main

    known = {path for path, _ in tool.leaves(main.tree())}
    for page in (ROOT / "docs" / "cli.md", ROOT / "docs" / "quickstart.md"):
        for line in page.read_text(encoding="utf-8").splitlines():
            words = line.strip().removeprefix("$ ").split()
            if line.startswith("    ffrtmp ") and len(words) > 1 and not words[1].startswith(("-", "[", "C")):
                assert tuple(words[1:2]) in known or tuple(words[1:3]) in known, line
