"""The exit codes: one table, which `--help` and docs/cli.md print and the tests hold."""

import enum


class Exit(enum.IntEnum):
    OK = 0
    FAILED = 1
    USAGE = 2
    UNREACHABLE = 3
    REFUSED = 4
    NOT_FOUND = 5
    CONFLICT = 6
    DENIED = 7
    INTERNAL = 70
    TIMED_OUT = 124
    INTERRUPTED = 130


MEANING: dict[Exit, str] = {
    Exit.OK: "done; every job that was waited for completed",
    Exit.FAILED: "a job did not complete, a check of `doctor` failed, or a program broke down",
    Exit.USAGE: "the command line, a setting or the database is not usable; nothing was done",
    Exit.UNREACHABLE: "the master (or a part of it) cannot be reached",
    Exit.REFUSED: "a value is wrong: the request was refused",
    Exit.NOT_FOUND: "there is no such job, node or output",
    Exit.CONFLICT: "the present state does not allow it; or an output exists",
    Exit.DENIED: "the key is missing, unknown, or may not do this",
    Exit.INTERNAL: "a fault in ffrtmp itself: please report it",
    Exit.TIMED_OUT: "--timeout passed before the jobs ended; they go on",
    Exit.INTERRUPTED: "interrupted (Ctrl-C)",
}


def of(error: Exception) -> Exit:
    """The exit code that tells of `error`."""
    from ffrtmp.domain import errors

    by_kind: tuple[tuple[type[Exception], Exit], ...] = (
        (errors.Misconfigured, Exit.USAGE),
        (errors.InvalidInput, Exit.REFUSED),
        (errors.PayloadTooLarge, Exit.REFUSED),
        (errors.IdempotencyMismatch, Exit.REFUSED),
        (errors.Unauthenticated, Exit.DENIED),
        (errors.Forbidden, Exit.DENIED),
        (errors.NotFound, Exit.NOT_FOUND),
        (errors.Conflict, Exit.CONFLICT),
        (errors.Unavailable, Exit.UNREACHABLE),
        (errors.FfrtmpError, Exit.FAILED),
    )
    return next((code for kind, code in by_kind if isinstance(error, kind)), Exit.INTERNAL)
