"""Flag beats environment beats file beats default, for each setting of master and agent."""

from pathlib import Path

import click
import pytest

from ffrtmp.cli import agent, main, master


@pytest.fixture
def parse(monkeypatch):
    """The settings that a command line makes, without starting anything."""

    def go(module, *arguments):
        found = {}

        def callback(**values):
            for name in ("generate_cert", "ready_file"):
                values.pop(name, None)
            found["settings"] = module.make_settings(values)

        monkeypatch.setattr(module.command, "callback", callback)
        code = main.run(module.command, list(arguments), "ffrtmp-x")
        assert code == 0
        return found["settings"]

    return go


def test_defaults_are_the_contracts(parse):
    settings = parse(master)
    assert (settings.host, settings.port, settings.db) == ("0.0.0.0", 8080, Path("master.db"))
    assert (settings.tls, settings.mtls, settings.metrics, settings.metrics_port) == (True, False, True, 9090)
    assert (settings.max_retries, settings.scheduler_interval_seconds, settings.retention_seconds) == (3, 5.0, 604800.0)
    assert (str(settings.cert), str(settings.key)) == ("certs/master.crt", "certs/master.key")


def test_defaults_of_options_and_of_settings_agree(parse):
    from ffrtmp.agent.settings import AgentSettings
    from ffrtmp.master.settings import MasterSettings

    assert parse(master) == MasterSettings()
    assert parse(agent) == AgentSettings()


def test_flag_beats_environment_beats_file(parse, monkeypatch, tmp_path):
    file = tmp_path / "ffrtmp.toml"
    file.write_text("[master]\nport = 1\nmetrics_port = 2\nretention = '1d'\ntls = false\n[agent]\nname = 'x'\n")
    monkeypatch.setenv("FFRTMP_MASTER_PORT", "3")
    monkeypatch.setenv("FFRTMP_MASTER_METRICS_PORT", "4")
    settings = parse(master, "--config", str(file), "--port", "5")
    assert (settings.port, settings.metrics_port, settings.retention_seconds, settings.tls) == (5, 4, 86400.0, False)


def test_the_file_may_be_named_in_the_environment(parse, monkeypatch, tmp_path):
    file = tmp_path / "ffrtmp.toml"
    file.write_text("[agent]\nlabel = { rack = 'b2' }\nmedia-root = ['/a', '/b']\nmax_concurrent_jobs = 3\n")
    monkeypatch.setenv("FFRTMP_CONFIG", str(file))
    settings = parse(agent)
    assert settings.labels == {"rack": "b2"}
    assert settings.media_roots == (Path("/a"), Path("/b"))
    assert settings.max_concurrent_jobs == 3


@pytest.mark.parametrize("written", ["'https://a,https://b'", "['https://a', 'https://b']"])
def test_several_masters_with_commas_repeated_or_as_a_list(parse, monkeypatch, tmp_path, written):
    both = ("https://a", "https://b")
    assert parse(agent, "--master", "https://a,https://b").masters == both
    assert parse(agent, "--master", "https://a", "--master=https://b").masters == both
    file = tmp_path / "ffrtmp.toml"
    file.write_text(f"[agent]\nmaster = {written}\n")
    assert parse(agent, "--config", str(file)).masters == both
    monkeypatch.setenv("FFRTMP_AGENT_MASTER", "https://a,https://b")
    assert parse(agent).masters == both


def test_one_value_in_the_file_for_a_setting_that_may_be_repeated(parse, tmp_path):
    file = tmp_path / "ffrtmp.toml"
    file.write_text("[agent]\nmedia_root = '/srv/video'\n")
    assert parse(agent, "--config", str(file)).media_roots == (Path("/srv/video"),)


@pytest.mark.parametrize("flag", ["--tls=false", "--no-tls"])
def test_the_references_switches(parse, flag):
    assert parse(master, flag).tls is False
    assert parse(master, "--tls").tls is True
    assert parse(master, "--tls=true", "--metrics=false").metrics is False
    assert parse(agent, "--register=true", "--generate-input=false").generate_input is False


def test_a_switch_that_is_off_on_the_command_line_stays_off(parse, monkeypatch):
    monkeypatch.setenv("FFRTMP_AGENT_REGISTER", "true")
    assert parse(agent).register is True
    assert parse(agent, "--register=false").register is False
    assert parse(agent, "--register=false", "--register").register is True


def test_keys_from_the_environment(parse, monkeypatch):
    monkeypatch.setenv("FFMPEG_RTMP_API_KEY", "k1")
    assert parse(master).api_key == "k1"
    assert parse(agent).api_key == "k1"
    monkeypatch.setenv("MASTER_API_KEY", "k2")
    assert parse(master).api_key == "k2"
    assert parse(agent).api_key == "k1"
    monkeypatch.setenv("DATABASE_DSN", "postgresql://x/y")
    assert parse(master).db_dsn == "postgresql://x/y"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[master]\nprot = 1\n", "did you mean port"),
        ("port = 1\n", "[master]"),
        ("[mster]\n", "is not a table"),
        ("[master]\nport = [1]\n", "one value"),
        ("[master\n", "not a TOML file"),
        ("[master]\nport = 'x'\n", "'x' is not a valid integer"),
        ("master = 1\n", "must be a table"),
    ],
)
def test_a_wrong_file_is_refused_by_name(run, tmp_path, text, said):
    file = tmp_path / "bad.toml"
    file.write_text(text)
    told = run("master", "--config", str(file))
    assert told.code == 2
    assert said in told.err


def test_every_setting_can_be_given(parse):
    """No field of the settings without an option, but what only programs set."""
    from ffrtmp.agent.settings import AgentSettings
    from ffrtmp.master.settings import MasterSettings

    renamed = {
        "scheduler_interval_seconds": "scheduler_interval",
        "retention_seconds": "retention",
        "poll_interval_seconds": "poll_interval",
        "heartbeat_interval_seconds": "heartbeat_interval",
        "stop_grace_seconds": "stop_grace",
        "masters": "master",
        "labels": "label",
        "media_roots": "media_root",
    }
    internal = {"unsatisfiable_grace_seconds", "ttl_seconds"}
    for kind, module in ((MasterSettings, master), (AgentSettings, agent)):
        names = {parameter.name for parameter in module.command.params if isinstance(parameter, click.Option)}
        assert {renamed.get(field, field) for field in kind.__struct_fields__ if field not in internal} <= names
