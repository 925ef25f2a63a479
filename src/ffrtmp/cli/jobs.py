"""`ffrtmp jobs`"""

from ffrtmp.cli import connection

_READ, _CHANGE = "ffrtmp.cli.jobs_read", "ffrtmp.cli.jobs_change"

command = connection.Group(
    "jobs",
    help="Submit jobs, see and steer them, fetch what they made.\n\nA job is named by its number (17) or its id.",
    no_args_is_help=True,
    lazy={
        "submit": ("ffrtmp.cli.submit", "Submit a job."),
        "list": (f"{_READ}:list_", "List jobs, newest first."),
        "status": (f"{_READ}:status", "Show one job in full, or all jobs."),
        "logs": (f"{_READ}:logs", "Print what the engine said, attempt by attempt."),
        "cancel": (f"{_CHANGE}:cancel", "Cancel jobs."),
        "pause": (f"{_CHANGE}:pause", "Pause jobs: running ones keep their place and stop using the CPU."),
        "resume": (f"{_CHANGE}:resume", "Let paused jobs go on."),
        "retry": (f"{_CHANGE}:retry", "Submit ended jobs again, each as a new job."),
        "wait": (f"{_READ}:wait", "Wait until jobs have ended; the exit code tells how."),
        "explain": (f"{_READ}:explain", "Say why a job waits, where it can run, and what was decided."),
        "download": ("ffrtmp.cli.download", "Fetch what a job made."),
    },
)
