"""The program as a whole: help, exit codes, errors, options before and after, settings in layers."""

import contextlib
import sqlite3
import subprocess
import sys

import click
import pytest

from ffrtmp.cli import exits, main
from ffrtmp.domain import errors
from ffrtmp.store import migrate

HEAVY = ("httpx", "pydantic", "asyncpg", "rich", "msgspec", "uvicorn", "structlog", "asyncio", "typer")


def walk(command: click.Command, path: tuple[str, ...] = ()):
    yield path, command
    if isinstance(command, click.Group):
        ctx = click.Context(command)
        for name in command.list_commands(ctx):
            found = command.get_command(ctx, name)
            assert found is not None
            yield from walk(found, (*path, name))


TREE = dict(walk(main.tree()))


@pytest.mark.parametrize("arguments", [["--help"], [], ["jobs", "--help"], ["--version"]])
def test_help_loads_nothing_heavy(arguments):
    code = (
        "import sys; from ffrtmp.cli import main; main.run(main.tree(), sys.argv[1:], 'ffrtmp');"
        f"print([name for name in {HEAVY} if name in sys.modules], file=sys.stderr)"
    )
    told = subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True, text=True, check=True)
    assert told.stderr.splitlines()[-1] == "[]"


@pytest.mark.parametrize("path", TREE, ids=" ".join)
def test_every_command_has_help(run, path):
    told = run(*path, "--help")
    assert told.code == 0
    assert told.err == ""
    assert told.out.startswith("Usage: ffrtmp")
    assert max(map(len, told.out.splitlines())) <= 100


def test_short_help_of_lazy_commands_is_their_own_first_line():
    for path, command in TREE.items():
        if isinstance(command, click.Group):
            for name, (_, first) in getattr(command, "lazy", {}).items():
                own = TREE[(*path, name)].help or ""
                assert own.split("\n")[0].strip() == first, (*path, name)


def test_every_leaf_command_has_examples_with_options_that_exist():
    for path, command in TREE.items():
        if isinstance(command, click.Group):
            continue
        name = "ffrtmp " + " ".join(path)
        examples = [example.split(" | ")[0].split(" || ")[0] for example in getattr(command, "examples", ())]
        assert examples, path
        assert any(name in example for example in examples)
        known = {opt for parameter in command.params for opt in (*parameter.opts, *parameter.secondary_opts)}
        for example in examples:
            if name in example:
                used = {word.partition("=")[0] for word in example.partition(name)[2].split() if word.startswith("-")}
                assert used <= known, example


def test_settings_commands_name_all_three_ways(run):
    for program in ("master", "agent"):
        told = run(program, "--help").out
        squeezed = " ".join(told.split())
        assert f"FFRTMP_{program.upper()}_METRICS_PORT" in squeezed
        assert "file: metrics_port" in squeezed
        for parameter in TREE[(program,)].params:
            if getattr(parameter, "key", None):
                assert parameter.envvar, parameter.name


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (errors.InvalidInput("x"), 4),
        (errors.PayloadTooLarge("x"), 4),
        (errors.IdempotencyMismatch("x"), 4),
        (errors.NotFound("x"), 5),
        (errors.Conflict("x", state="completed"), 6),
        (errors.Unauthenticated("x"), 7),
        (errors.Forbidden("x"), 7),
        (errors.Unavailable("x"), 3),
        (errors.Misconfigured("x"), 2),
        (errors.FfrtmpError("x"), 1),
        (RuntimeError("x"), 70),
    ],
)
def test_exit_codes(error, code):
    assert exits.of(error) == code


def test_a_database_that_cannot_be_used_is_a_wrong_setting(run, tmp_path, monkeypatch):
    monkeypatch.setenv("FFRTMP_STATE_DIR", str(tmp_path))
    start = ("master", "--host=127.0.0.1", "--port=0", "--no-tls", "--no-metrics", "--db", str(tmp_path / "other.db"))
    with contextlib.closing(sqlite3.connect(tmp_path / "other.db")) as connection:
        connection.execute("CREATE TABLE accounts (id int)")
    told = run(*start)
    assert told.code == 2
    assert "has tables that are not ffrtmp's" in told.err
    with contextlib.closing(sqlite3.connect(tmp_path / "other.db")) as connection, connection:
        connection.executescript(f"DROP TABLE accounts; {migrate.VERSION_TABLE};")
        connection.execute("INSERT INTO schema_version VALUES (9999, 'later', 0)")
    told = run(*start)
    assert told.code == 2
    assert "schema version 9999" in told.err


def test_an_unreachable_master_is_one_clear_line(run, monkeypatch):
    told = run("jobs", "list", "--master", "127.0.0.1:1")
    assert told.code == 3
    assert told.out == ""
    assert told.err.count("\n") == 1
    assert "ffrtmp up" in told.err


def test_a_cause_is_told_once_however_many_ways_were_tried(run, monkeypatch):
    told = run("jobs", "list", "--master", "no-such-host.invalid:8080")
    assert told.code == 3
    assert told.err.count("Cannot reach") == 1
    assert "no-such-host.invalid:8080: " in told.err


def test_tls_where_there_is_none_is_said_in_words(run, master):
    told = run("jobs", "list", "--master", master.url.replace("http:", "https:"))
    assert told.code == 3
    assert "speaks no TLS (http:// instead of https://?)" in told.err


def test_a_refused_key_says_what_to_do(run, master):
    master.fault = errors.Unauthenticated("The key is not known to this master.")
    told = run("jobs", "list")
    assert told.code == 7
    assert "--api-key" in told.err


def test_a_refused_key_is_named_by_where_it_came_from(run, master, monkeypatch, tmp_path):
    master.fault = errors.Unauthenticated("Missing Authorization header.", code="missing_authorization")
    missing = run("jobs", "list").err
    assert "asks for an API key, and none was found" in missing
    assert f" or {tmp_path / 'state' / 'api-key'}." in missing
    assert "Authorization" not in missing
    (tmp_path / "state").mkdir()
    (tmp_path / "state" / "api-key").write_text("old\n")
    assert f"the API key from the file {tmp_path / 'state' / 'api-key'}." in run("jobs", "list").err
    monkeypatch.setenv("MASTER_API_KEY", "wrong")
    assert "the API key from the variable MASTER_API_KEY." in run("jobs", "list").err
    assert "the API key from --api-key." in run("--api-key", "worse", "jobs", "list").err
    (tmp_path / "c.toml").write_text('[client]\napi_key = "worst"\n')
    monkeypatch.delenv("MASTER_API_KEY")
    assert "the API key from the --config file." in run("jobs", "list", "--config", str(tmp_path / "c.toml")).err


def test_a_server_that_is_no_master_is_called_so(run, master):
    master.fault = errors.NotFound("There is no /jobs here; GET /schema lists the routes.", code="no_route")
    told = run("jobs", "list")
    assert told.code == 3
    assert f"What answers at {master.url} is not a master's API" in told.err
    assert len(master.requests) == 2  # its health, the list, and no other try


def test_the_key_is_sent(run, master):
    run("jobs", "list", "--api-key", "k1")
    assert master.headers[-1]["authorization"] == "Bearer k1"
    run("--api-key", "k2", "nodes", "list")
    assert master.headers[-1]["authorization"] == "Bearer k2"


def test_a_fault_of_ours_is_no_traceback(run, master, monkeypatch):
    from ffrtmp.cli import show

    monkeypatch.setattr(show, "jobs_table", lambda *_: 1 / 0)
    told = run("jobs", "list")
    assert told.code == 70
    assert "Traceback" not in told.err
    assert "FFRTMP_DEBUG=1" in told.err


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["jbs"], "Did you mean jobs"),
        (["jobs", "lst"], "Did you mean list"),
        (["jobs", "list", "--quue", "live"], "--queue"),
        (["jobs", "submit"], "--scenario 720p30-h264"),
        (["jobs", "status", "--follow"], "needs a job"),
        (["--api-key", "k", "master"], "must come after `master`"),
        (["master", "--tls=maybe"], "takes true or false"),
        (["master", "--port", "70000"], "70000"),
        (["master", "--retention", "soon"], "is not a time"),
        (["agent", "--label", "rack"], "rack=b2"),
        (["agent", "--max-concurrent-jobs", "0"], "1 to 1024"),
        (["completion", "tcsh"], "bash"),
        (["transcode", "in.mov"], "ffrtmp transcode in.mov OUT"),
        (["nodes", "list", "--master", "https://localhost", "--ca", "missing.crt"], "missing.crt cannot be used"),
        (["nodes", "list", "--master", "http://"], "must be host:port"),
    ],
)
def test_a_wrong_command_line_is_exit_2(run, arguments, said):
    told = run(*arguments)
    assert told.code == 2
    assert said in told.err
    assert told.out == ""


def test_a_wrong_value_is_blamed_on_what_gave_it(run, monkeypatch):
    assert "env var" not in run("master", "--port", "70000").err
    monkeypatch.setenv("FFRTMP_MASTER_PORT", "70000")
    assert "env var: 'FFRTMP_MASTER_PORT'" in run("master").err


def test_nodes(run, master, a_node):
    assert "ffrtmp agent --register" in run("nodes", "list").err
    master.nodes.append(a_node())
    assert "worker-01" in run("nodes", "list").out
    page = run("nodes", "describe", "worker-01").out
    for part in ("16 threads", "32.0 GiB", "rack=b2", "/srv/video", "no libcuda"):
        assert part in page
    assert "is draining" in run("nodes", "drain", "worker-01").out
    assert run("nodes", "describe", "worker-01", "--output", "json").json["slots"] == 4
    assert run("nodes", "remove", "worker-01").out == "worker-01 is removed\n"
    assert run("nodes", "describe", "worker-01").code == 5


def test_queue(run, master):
    from ffrtmp.protocol import views

    assert "empty" in run("queue").err
    row = views.QueueRow(
        queue="default", class_id=1, state="queued", count=7, requires={"codec": "av1", "local_path": True},
        waiting_code="no_node", waiting_reason="No registered node can run it.",
    )  # fmt: skip
    master.queue = views.QueueView(rows=[row], total=7)
    told = run("queue").out
    assert "av1 local_path" in told
    assert "7 in all" in told
    assert run("queue", "--output", "json").json["total"] == 7


def test_no_colours_without_a_terminal(run, master, view):
    master.add(view(17, "failed"))
    for command in (("jobs", "list"), ("jobs", "status", "17")):
        assert "\x1b" not in run(*command).out


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_prints_a_script(run, shell):
    assert "_FFRTMP_COMPLETE" in run("completion", shell).out


@pytest.mark.parametrize(
    "arguments",
    [["version"], ["certs", "generate"], ["config", "recommend"], ["jobs", "submit", "--codec", "av1", "--dry-run"]],
)
def test_programs_can_read_what_needs_no_master(run, arguments, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert run(*arguments, "--output", "json").json


def test_file_names_are_completed():
    types = {parameter.name: parameter.type for parameter in TREE[("transcode",)].params}
    assert isinstance(types["inputs"], click.Path)
    assert isinstance(types["out"], click.Path)


def test_certs_are_not_overwritten_by_chance(run, tmp_path):
    where = ("--cert", str(tmp_path / "a.crt"), "--key", str(tmp_path / "a.key"))
    assert run("certs", "generate", *where, "--cert-hosts", "a.local,b.local", "--cert-ips", "10.0.0.1").code == 0
    assert (tmp_path / "a.key").stat().st_mode & 0o777 == 0o600
    assert run("certs", "generate", *where).code == 6
    assert run("master", "--generate-cert", *where).code == 6
    assert run("certs", "generate", *where, "--overwrite").code == 0
    assert run("certs", "generate", *where, "--overwrite", "--cert-ips", "x").code == 4


@pytest.mark.parametrize(
    ("cores", "memory", "jobs"),
    [(1, 64, 1), (2, 64, 1), (4, 64, 2), (8, 64, 4), (12, 64, 5), (16, 64, 8), (32, 64, 12), (16, 4, 2)],
)
def test_recommendation(run, cores, memory, jobs):
    told = run("config", "recommend", "--cores", str(cores), "--memory", str(memory), "--output", "json")
    assert told.json["jobs"] == jobs
    assert (
        f"--max-concurrent-jobs {jobs}"
        in run("config", "recommend", "--cores", str(cores), "--memory", str(memory)).out
    )
