"""`ffrtmp jobs`, against a real HTTP server with canned answers."""

import json
import re

import pytest

from ffrtmp.cli import progress
from ffrtmp.domain import errors, job
from ffrtmp.protocol import views


def test_status_lists_all_jobs_without_a_reference(run, master, view):
    master.add(view(1, "completed"))
    master.add(view(2, "failed"))
    told = run("jobs", "status")
    assert told.code == 0
    first, second = told.out.splitlines()[1:3]
    assert first.split()[:2] == ["2", "failed"]
    assert first.endswith("input_missing")
    assert second.split()[:3] == ["1", "completed", "100"]


def test_tables_fit_80_columns(run, master, view, monkeypatch):
    master.add(view(1, "failed", scenario="a-very-long-scenario-name-indeed", parameters={"input": "/srv/" + "x" * 90}))
    monkeypatch.setenv("COLUMNS", "80")
    for command in (("jobs", "list"), ("jobs", "status", "1"), ("jobs", "explain", "1")):
        assert max(len(line) for line in run(*command).out.splitlines() if "─" not in line) <= 110, command
    assert max(map(len, run("jobs", "list").out.splitlines())) <= 80


def test_the_list_tells_jobs_on_one_file_apart(run, master, view):
    asked = {"input": "/srv/bunny.mp4", "codec": "h264"}
    master.add(view(1, scenario="", parameters={**asked, "output": "/srv/small.mp4"}))
    master.add(view(2, "completed", scenario="", parameters=asked))
    master.add(view(3, scenario="", parameters={**asked, "output": "/srv/" + "x" * 90 + "-720p.mkv"}))
    rows = run("jobs", "list").out.splitlines()
    assert rows[3].endswith("bunny.mp4 → small.mp4 (h264)")
    assert rows[2].endswith("bunny.mp4 → clip.mp4 (h264)")  # the master named it
    assert rows[1].endswith("bunny.mp4 → xxxxxxxxxxxxxxx…xxxxxxx-720p.mkv (h264)")


def test_no_jobs_is_said_on_stderr(run, master):
    told = run("jobs", "list")
    assert (told.code, told.out) == (0, "")
    assert "ffrtmp transcode" in told.err


def test_a_refused_filter_is_named_as_it_was_typed(run, master):
    master.fault = errors.InvalidInput(faults=[errors.Fault("query.state", "'foo' is not known")])
    told = run("jobs", "list", "--state", "foo")
    assert told.code == 4
    assert told.err == "error: --state: 'foo' is not known\n"


def test_list_goes_through_pages(run, master, view):
    for number in range(1, 251):
        master.add(view(number))
    assert run("jobs", "list", "--all", "--output", "json").json["count"] == 250
    page = run("jobs", "list", "--limit", "120", "--output", "json").json
    assert (page["count"], page["next_cursor"]) == (120, "120")
    rest = run("jobs", "list", "--cursor", "200", "--output", "json").json
    assert (rest["count"], rest.get("next_cursor")) == (50, None)


def test_list_hands_filters_on(run, master, view, a_node):
    master.nodes.append(a_node())
    told = run("jobs", "list", "--state", "failed", "--state", "queued", "--tag", "show=42", "--node", "worker-01")
    assert told.code == 0
    asked = master.requests[-1]
    for part in ("state=failed", "state=queued", "tag=show%3A42", "node=worker-01", "limit=100"):
        assert part in asked


def test_status_of_one_job_is_a_page(run, master, view):
    master.add(view(17, "completed"))
    page = run("jobs", "status", "17").out
    for part in (
        "Job 17  completed",
        "100%",
        "libx264",
        "132 frames",
        "clip.mp4",
        "10 B",
        "passed",
    ):
        assert part in page


def test_status_of_a_failed_job_says_why_and_what_to_do(run, master, view):
    master.add(view(17, "failed"))
    page = run("jobs", "status", "17").out
    assert "input_missing: no such file: /media/a.mov" in page
    assert "Check the path." in page
    assert "ffrtmp jobs logs 17" in page
    assert "jobs retry" not in page


def test_only_a_failure_that_may_go_well_is_tried_again(run, master, view):
    stalled = views.FailureView(code="stalled", failure_class="transient", message="no progress", advice="See the log.")
    master.add(view(17, "failed", failure=stalled))
    assert "  Log: ffrtmp jobs logs 17    Again: ffrtmp jobs retry 17\n" in run("jobs", "status", "17").out
    master.add(
        view(19, "failed", started_at=None)
    )  # its node refused it before the engine ran, and said why in the log
    assert "  Log: ffrtmp jobs logs 19\n" in run("jobs", "status", "19").out
    nowhere = views.FailureView(code="unsatisfiable", failure_class="permanent", message="no node", advice="Start one.")
    master.add(view(18, "rejected", failure=nowhere))
    page = run("jobs", "status", "18").out
    assert "jobs logs" not in page  # it never ran
    assert "jobs retry 18" in page


def test_json_is_one_document_and_nothing_else(run, master, view):
    master.add(view(17, "completed"))
    assert run("jobs", "status", "17", "--output", "json").json["sequence_number"] == 17
    assert run("--output", "json", "jobs", "status", "17").json["state"] == "completed"
    assert run("jobs", "--output", "json", "status", "17").json["state"] == "completed"
    assert run("jobs", "explain", "17", "--output", "json").json["waiting_code"] == "no_node"
    assert run("jobs", "logs", "17", "--output", "json").json["attempts"][0]["number"] == 1


def test_options_nearest_the_end_count_most(run, master, view):
    master.add(view(17))
    told = run("--output", "json", "jobs", "status", "17", "--output", "table")
    assert told.out.startswith("Job 17")


@pytest.mark.parametrize(("end", "code"), [("completed", 0), ("failed", 1), ("canceled", 1)])
def test_follow_ends_with_the_job(run, master, view, end, code):
    master.add(view(17), view(17, "running", progress=40), view(17, end))
    told = run("jobs", "status", "17", "--follow")
    assert told.code == code
    assert "waiting for a node" in told.err
    assert f"Job 17  {end}" in told.out


def test_follow_with_json_is_json_lines(run, master, view):
    master.add(view(17), view(17, "running"), view(17, "completed"))
    told = run("jobs", "status", "17", "--follow", "--output", "json")
    assert [line["state"] for line in told.lines] == ["queued", "running", "completed"]


def test_follow_outlasts_a_master_that_is_away_for_a_while(run, master, view):
    master.add(view(17), view(17, "running"), view(17, "completed"))
    master.away = 5  # one more than the client tries by itself
    told = run("jobs", "status", "17", "--follow")
    assert told.code == 0
    assert "The database is away. The jobs go on; trying again..." in told.err
    assert "The master answers again." in told.err


def test_follow_asks_the_master_for_live_progress(run, master, view):
    master.add(view(17, "completed"))
    run("jobs", "status", "17", "--follow")
    assert any("follow=true" in request for request in master.requests)


def test_wait_ends_at_the_timeout_with_124(run, master, view):
    master.add(view(17, "running"))
    told = run("jobs", "wait", "17", "--timeout", "0.2", "--output", "json")
    assert told.code == 124
    assert told.json["jobs"][0]["state"] == "running"


def test_wait_for_several(run, master, view):
    master.add(view(1, "running"), view(1, "completed"))
    master.add(view(2, "running"), view(2, "failed"))
    assert run("jobs", "wait", "1", "2").code == 1
    assert run("jobs", "wait", "1").code == 0


def test_logs_are_printed_as_they_are(run, master, view):
    master.add(view(17, "failed"))
    assert run("jobs", "logs", "17").out == "frame= 132\n[bold]not markup[/bold]\n"
    told = run("jobs", "logs", "17", "--attempt", "9")
    assert told.code == 5
    assert "it has: 1" in told.err


@pytest.mark.parametrize(
    ("state", "said"),
    [
        ("rejected", "job 17 never started"),
        ("running", "job 17 is running, and the log comes when the attempt ends"),
        ("queued", "job 17 is queued, and a log comes when an attempt ends"),
    ],
)
def test_no_log_says_why(run, master, view, state, said):
    master.add(view(17, state))
    master.logs = False
    told = run("jobs", "logs", "17")
    assert told.code == 0
    assert told.err == f"There is no log: {said}.\n"


def test_explain_says_why_it_waits(run, master, view):
    master.add(view(17))
    page = run("jobs", "explain", "17").out
    for part in (
        "Waits (no_node): No registered node can run it. 2 ready before it",
        "rate.crf",
        "it has no working av1 encoder",
        "Earlier events are left out",
    ):
        assert part in page


def test_changes_go_on_after_a_refusal(run, master, view):
    master.add(view(1, "completed"))
    master.add(view(2, "running"))
    told = run("jobs", "cancel", "1", "2")
    assert told.code == 6
    assert told.out == "job 2 is canceled\n"
    assert "The job has ended." in told.err
    assert "its state is completed" in told.err
    assert run("jobs", "cancel", "404", "--output", "json").code == 5
    assert run("jobs", "pause", "2", "--output", "json").json["changes"][0]["status"] == "paused"


def test_a_retry_names_the_job_as_it_was_asked_for(run, master, view):
    master.add(view(1, "failed"))
    assert run("jobs", "retry", "1").out.endswith(", a retry of job 1\n")


def test_hints_lead_to_the_same_master(run, master):
    told = run("jobs", "submit", "--codec", "h264", "--master", master.url, "--ca", "my cert")
    assert f"ffrtmp jobs status 17 --follow --master {master.url} --ca 'my cert'\n" in told.err


@pytest.mark.parametrize("how", ["--wait", "--follow"])
def test_who_waits_is_told_the_end_and_nothing_to_watch(run, master, view, how):
    master.on_submit = lambda made: [made, view(made.sequence_number, "failed")]
    told = run("jobs", "submit", "--codec", "h264", how)
    assert "Watch it" not in told.err
    assert "no such file: /media/a.mov\n  Check the path.\n  Log: ffrtmp jobs logs 17" in told.err
    master.on_submit = lambda made: [made, view(made.sequence_number, "completed")]
    assert "clip.mp4, 1.5 MB: ffrtmp jobs download 18" in run("jobs", "submit", "--codec", "h264", how).err


def test_narrow_terminals_get_the_short_form(view):
    going = job.Progress(percent=23.0, phase="encode", fps=25.4, speed=0.85, bitrate_bps=6.2e6, eta_seconds=544.0)
    running = view(1, "running", progress_detail=going)
    assert progress.detail(running) == "encode · 25.4 fps · 0.85x · 6.2 Mb/s · 9:04 left"
    assert progress.detail(running, short=True) == "encode · 0.85x · 9:04 left"


def test_submit_in_the_references_form(run, master):
    told = run(
        "jobs", "submit", "--scenario", "720p30-h264", "--duration", "120", "--bitrate", "2M",
        "--priority", "medium", "--queue", "default",
    )  # fmt: skip
    assert told.code == 0
    assert master.bodies == [
        {
            "scenario": "720p30-h264",
            "priority": "medium",
            "queue": "default",
            "parameters": {"duration": "120", "bitrate": "2M"},
        }
    ]
    assert "job 17 is queued" in told.out
    assert any("idempotency-key" in headers for headers in master.headers)


def test_every_parameter_has_its_place_in_the_body(run, master):
    told = run(
        "jobs", "submit", "-i", "in.mov", "-o", "out.mp4", "--codec", "h264", "--crf", "21", "--audio", "aac",
        "--audio-bitrate", "128k", "--audio-channels", "2", "--tag", "show=42", "--tag", "part=1", "--require-label", "rack=b2",
        "--time-limit", "1h", "--two-pass", "--overwrite", "--retries", "0",
    )  # fmt: skip
    assert told.code == 0
    assert master.bodies[0] == {
        "max_retries": 0,
        "parameters": {
            "input": "in.mov",
            "output": "out.mp4",
            "overwrite": True,
            "codec": "h264",
            "crf": 21.0,
            "two_pass": True,
            "audio": {"codec": "aac", "bitrate": "128k", "channels": 2},
            "tags": {"show": "42", "part": "1"},
            "requires": {"labels": {"rack": "b2"}},
            "resource_limits": {"timeout_sec": 3600.0},
        },
    }


def test_output_of_submit_is_the_format_or_the_file(run, master):
    assert run("jobs", "submit", "--codec", "h264", "--output", "a.mp4", "--output=json").json["sequence_number"] == 17
    assert run("jobs", "submit", "--codec", "h264", "--output=/srv/b.mp4").code == 0
    assert [body["parameters"]["output"] for body in master.bodies] == ["a.mp4", "/srv/b.mp4"]


def test_submit_from_a_file_and_options_over_it(run, master, tmp_path):
    source = tmp_path / "job.json"
    source.write_text(json.dumps({"scenario": "720p30-h264", "parameters": {"bitrate": "1M", "fps": "30"}}))
    assert run("jobs", "submit", "--file", str(source), "--bitrate", "3M", "--idempotency-key", "k1").code == 0
    assert master.bodies[0]["parameters"] == {"bitrate": "3M", "fps": "30"}
    assert master.headers[-1]["idempotency-key"] == "k1"


@pytest.mark.parametrize("text", ["not json", "[]", '"x"', "[1]"])
def test_a_file_that_holds_no_job(run, tmp_path, text):
    source = tmp_path / "job.json"
    source.write_text(text)
    told = run("jobs", "submit", "--file", str(source))
    assert told.code == 2
    assert "job" in told.err


def test_submit_waits(run, master, view):
    master.on_submit = lambda made: [made, view(made.sequence_number, "running"), view(made.sequence_number, "failed")]
    assert run("jobs", "submit", "--codec", "h264", "--wait").code == 1
    told = run("jobs", "submit", "--codec", "h264", "--wait", "--output", "json")
    assert told.json["state"] == "failed"


def test_faults_are_told_by_the_options_that_were_typed(run, master):
    master.fault = errors.InvalidInput(
        "Several fields are wrong; each is listed under `errors`.",
        faults=[
            errors.Fault("parameters.bitrate", "'abc' is not a bitrate"),
            errors.Fault("parameters.input", "begins with -"),
        ],
    )
    told = run("jobs", "submit", "--codec", "h264", "--bitrate", "abc", "-i", "-x")
    assert told.code == 4
    assert "--bitrate: 'abc' is not a bitrate" in told.err
    assert "--input: begins with -" in told.err
    assert told.out == ""


def test_dry_run_tells_the_sizes_of_a_ladder(run):
    told = run("jobs", "submit", "--scenario", "720p30-h264", "--ladder", "360p:800k,180p", "--dry-run").out
    assert re.search(r"Sizes +360p \(800 kb/s\), 180p\n", told)
    assert "requires" not in told
    assert re.search(r"Sizes +auto\n", run("jobs", "submit", "--codec", "h264", "--ladder", "auto", "--dry-run").out)


def test_dry_run_needs_no_master(run):
    told = run("jobs", "submit", "--scenario", "720p30-h264", "--dry-run", "--output", "json")
    assert told.code == 0
    assert told.json["codec"] == "h264"
    assert run("jobs", "submit", "--scenario", "720p30-h265", "--dry-run").out.startswith("It would be\n")
    assert run("jobs", "submit", "--scenario", "nonsense", "--dry-run").code == 4


def test_download(run, master, view, tmp_path):
    master.add(view(17, "completed"))
    target = tmp_path / "ready" / "a.mp4"
    told = run("jobs", "download", "17", "--to", str(target))
    assert told.code == 0
    assert target.read_bytes() == b"the output"
    assert run("jobs", "download", "17", "--to", str(target)).code == 6
    assert run("jobs", "download", "17", "--to", str(target), "--overwrite", "--output", "json").json["files"][0][
        "path"
    ] == str(target)
    assert run("jobs", "download", "17", "nothing.mp4").code == 5


def test_download_of_a_job_that_made_nothing_yet(run, master, view):
    master.add(view(17, "running"))
    told = run("jobs", "download", "17")
    assert told.code == 5
    assert "it has none: the job is running" in told.err
