"""What a person at a terminal sees: the program in a process of its own, with a pseudo-terminal as its terminal."""

import contextlib
import io
import os
import pty
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from rich.console import Console

from ffrtmp.cli import output, progress
from ffrtmp.domain.job import Progress

HIDDEN, SHOWN = "\x1b[?25l", "\x1b[?25h"
QUESTION = "[k]eep watching (Enter)? "
CTRL_C = "\x03"


class Terminal:
    def __init__(self, arguments: list[str], environment: dict[str, str], directory: Path) -> None:
        self._screen, theirs = pty.openpty()
        program = f"import sys\nfrom ffrtmp.cli import main\nsys.argv[1:] = {arguments!r}\nsys.exit(main.main())"
        self._process = subprocess.Popen(
            [sys.executable, "-c", f"import fcntl, termios\nfcntl.ioctl(0, termios.TIOCSCTTY, 0)\n{program}"],
            stdin=theirs, stdout=theirs, stderr=theirs, cwd=directory, env=environment, start_new_session=True,
        )  # fmt: skip
        os.close(theirs)
        self.seen = ""
        self._passed = 0

    def until(self, text: str) -> None:
        """Reads on until `text` comes, after what was waited for before."""
        while (at := self.seen.find(text, self._passed)) < 0:
            assert self._read(), f"{text!r} did not come: {self.seen!r}"
        self._passed = at + len(text)

    def type(self, keys: str) -> None:
        os.write(self._screen, keys.encode())

    def end(self) -> int:
        while self._read():
            pass
        return self._process.wait()

    def close(self) -> None:
        self._process.kill()
        self._process.wait()
        os.close(self._screen)

    @property
    def lines(self) -> list[str]:
        """What stands on the screen, as far as rich moves on it: by line, never within one."""
        shown, row = [""], 0
        for code, text in re.findall(r"(\x1b\[[0-9;?]*[A-Za-z]|\r(?!\n)|\n)|([^\x1b\r\n]+)", self.seen):
            if code == "\n":
                row += 1
                shown += [""] * (row == len(shown))
            elif code.endswith("A"):
                row -= 1
            elif code in ("\r", "\x1b[2K"):
                shown[row] = ""
            shown[row] += text
        return [line.rstrip() for line in shown]

    def _read(self) -> bool:
        try:
            read = os.read(self._screen, 4096).decode(errors="replace")
        except OSError:  # EIO: the program has ended
            return False
        self.seen += read
        return bool(read)


@pytest.fixture
def at_terminal(master, tmp_path: Path) -> Iterator[Callable[..., Terminal]]:
    (tmp_path / "clip.mov").write_bytes(b"a clip")
    environment = {
        "PATH": os.environ["PATH"], "TERM": "xterm", "COLUMNS": "120", "FFRTMP_STATE_DIR": str(tmp_path / "state"),
        "FFRTMP_MASTER_URL": master.url, "PYTHONPATH": os.environ.get("PYTHONPATH", ""),
    }  # fmt: skip
    with contextlib.ExitStack() as open_ones:

        def start(*arguments: str) -> Terminal:
            made = Terminal(list(arguments), environment, tmp_path)
            open_ones.callback(made.close)
            return made

        yield start


@pytest.fixture
def running(master, view, at_terminal) -> Terminal:
    """`transcode` whose job runs and does not end by itself."""
    master.on_submit = lambda made: [made, view(made.sequence_number, "running")]
    made = at_terminal("transcode", "clip.mov", "small.mp4")
    made.until("starting")
    return made


def tidy(terminal: Terminal) -> None:
    assert terminal.seen.rfind(SHOWN) > terminal.seen.rfind(HIDDEN)
    assert terminal.seen.endswith("\n")


def test_a_job_that_ends_under_the_question_withdraws_it(master, view, running):
    running.type(CTRL_C)
    running.until(QUESTION)
    (job,) = master.jobs.values()
    master.jobs[job.id] = view(job.sequence_number, "completed")
    assert running.end() == 0
    tidy(running)
    assert sum(line.endswith(QUESTION.rstrip()) for line in running.lines) == 1
    assert "small.mp4" in running.lines[-2]


def test_what_is_noted_under_the_question_waits_for_its_answer():
    out = output.Output(json=False)
    screen = io.StringIO()
    out.messages = Console(file=screen, force_terminal=True)
    with progress.Bars(out) as bars:
        bars.suspend()
        bars.note("The master is away.")
        assert "away" not in screen.getvalue()
        bars.resume()
        assert "away" in screen.getvalue()


@pytest.mark.parametrize(
    ("answer", "said"),
    [("d\n", "is running"), ("\x04", "is running"), ("c\n", "canceled"), (CTRL_C, "canceled")],
    ids=["detach", "end-of-input", "cancel", "ctrl-c"],
)
def test_every_answer_leaves_the_terminal_as_it_was(running, answer, said):
    running.type(CTRL_C)
    running.until(QUESTION)
    running.type(answer)
    assert running.end() == 130
    tidy(running)
    assert said in "\n".join(running.lines)
    assert "" not in running.lines[:-1]


def test_an_unknown_answer_is_asked_again_and_enter_goes_on(master, view, running):
    running.type(CTRL_C)
    running.until(QUESTION)
    running.type("x\n")
    running.until("'x' is no answer here")
    running.until(QUESTION)
    running.type("\n")
    running.until("starting")
    (job,) = master.jobs.values()
    master.jobs[job.id] = view(job.sequence_number, "completed")
    assert running.end() == 0
    tidy(running)


def test_a_canceled_job_keeps_the_percent_that_was_seen(master, view, at_terminal):
    going = Progress(percent=40.0, phase="encode")
    master.on_submit = lambda made: [made, view(made.sequence_number, "running", progress=40, progress_detail=going)]
    terminal = at_terminal("transcode", "clip.mov", "small.mp4")
    terminal.until("40% encode")
    terminal.type(CTRL_C)
    terminal.until(QUESTION)
    terminal.type("c\n")
    assert terminal.end() == 130
    assert "40% canceled" in terminal.lines[-3]


def test_a_followed_job_is_shown_once(master, view, at_terminal):
    master.add(view(17), view(17, "running"), view(17, "completed"))
    terminal = at_terminal("jobs", "status", "17", "--follow")
    assert terminal.end() == 0
    tidy(terminal)
    assert "\n".join(terminal.lines).count("100%") == 1


def test_who_stops_following_reads_that_the_job_goes_on(master, view, at_terminal):
    master.add(view(17, "running"))
    terminal = at_terminal("jobs", "status", "17", "--follow")
    terminal.until("starting")
    terminal.type(CTRL_C)
    assert terminal.end() == 130
    tidy(terminal)
    assert terminal.lines[-2:] == ["The jobs go on.", ""]
