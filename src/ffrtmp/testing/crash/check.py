"""What must hold of a database that was opened again after a crash."""

import traceback
from typing import Any

import msgspec

from ffrtmp.domain import errors
from ffrtmp.store import calls
from ffrtmp.testing import factories, story
from ffrtmp.testing.crash.ledger import Ledger
from ffrtmp.testing.crash.load import Real
from ffrtmp.testing.story import Sql

#: acknowledged submissions that are sent again after each crash
_AGAIN = 20


async def after_a_crash(ledger: Ledger, store: Real, sql: Sql) -> None:
    """Compares with what was acknowledged, repeats what was not, and adds what is wrong to the ledger's violations."""
    await ledger.compare(sql)
    await _books(ledger, store, sql)
    unknown, ledger.unknown = ledger.unknown, []
    for call in unknown:
        await _repeat(ledger, store, sql, call)
    for new in list(ledger.submissions.values())[-_AGAIN:]:
        await _repeat(ledger, store, sql, calls.Submit(new))
    [(jobs,)] = await sql("SELECT count(*) FROM jobs")
    if jobs != len(ledger.keys):
        ledger.violations.append(f"{len(ledger.keys)} submissions made {jobs} jobs")
    await ledger.compare(sql)
    await _books(ledger, store, sql)


async def _books(ledger: Ledger, store: Real, sql: Sql) -> None:
    try:
        await story.check(store, sql)
    except Exception as error:  # noqa: BLE001 - whatever a check ends in is what is wrong with the tables
        where = traceback.extract_tb(error.__traceback__)[-1]
        ledger.violations.append(f"the tables disagree: {where.line} {error!r}")


async def _repeat(ledger: Ledger, store: Real, sql: Sql, call: Any) -> None:
    """A call whose outcome its caller does not know, again. What had been done must be the answer."""
    done: str | None = None
    match call:
        case calls.Submit(new):
            done = await _only(
                sql,
                f"SELECT id FROM jobs JOIN idempotency ON job_seq = seq WHERE key = '{new.idempotency_key}'",  # noqa: S608
            )
            tasks = tuple(msgspec.structs.replace(task, id=factories.new_id()) for task in new.tasks)
            call = calls.Submit(msgspec.structs.replace(new, id=factories.new_id(), tasks=tasks))
        case calls.Complete(attempt_id):
            done = await _only(sql, f"SELECT id FROM attempts WHERE id = '{attempt_id}' AND state = 'done'")  # noqa: S608
    try:
        answer = await store._write(call)
    except errors.Unavailable as error:
        ledger.violations.append(f"{type(call).__name__} cannot be repeated: {error}")
        return
    except errors.FfrtmpError as error:
        answer = error
    match call:
        case calls.Submit() if done is not None and (answer.created or answer.job.id != done):
            ledger.violations.append(f"a repeated submission made {answer.job.id} besides {done}")
        case calls.Complete(attempt_id) if done is not None and not getattr(answer, "replay", False):
            ledger.violations.append(f"attempt {attempt_id} was done, and its repeated report is answered {answer!r}")
        case calls.Lease(lease):
            ledger.learn(call, answer)
            await _granted_once(ledger, sql, lease.request_id, answer)
            return
    ledger.learn(call, answer)


async def _granted_once(ledger: Ledger, sql: Sql, request_id: str, answer: Any) -> None:
    """A lease request that is repeated grants nothing besides what its first run granted."""
    if isinstance(answer, errors.FfrtmpError):
        return
    rows = await sql(f"SELECT attempt_ids FROM lease_requests WHERE request_id = '{request_id}'")  # noqa: S608
    granted = {grant.attempt_id for grant in answer}
    if len(rows) > 1 or (granted and not (rows and granted <= set(msgspec.json.decode(rows[0][0])))):
        ledger.violations.append(f"the lease request {request_id} is recorded as {rows} and was granted {granted}")


async def _only(sql: Sql, text: str) -> str | None:
    rows = await sql(text)
    return None if not rows else str(rows[0][0])
