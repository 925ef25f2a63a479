"""A task of kind `encode`: input → commands → verification → publication."""

import asyncio
from pathlib import Path

from ffrtmp.agent import engines, ladder, source, verification, ways
from ffrtmp.agent import messages as m
from ffrtmp.agent.aim import Aim
from ffrtmp.agent.attempt import Attempt
from ffrtmp.agent.publication import Publication
from ffrtmp.agent.running import check_size, run_all
from ffrtmp.domain.job import Result
from ffrtmp.media import verify
from ffrtmp.media.choice import Choice
from ffrtmp.runtime.threads import in_thread
from ffrtmp.transfer import local


async def encode(attempt: Attempt) -> Result:
    """Raises TaskError, Dropped, OSError."""
    kit = attempt.kit
    scratch = await asyncio.to_thread(kit.work.scratch, attempt.id)
    publication = await Publication.resolve(attempt)
    output = publication.output
    path = await source.fetched(attempt, scratch)
    if path is not None and output is not None:
        await in_thread(local.refuse_same_file, path, output)
    found = await source.looked_into(attempt, path)
    if attempt.spec.many:
        return await ladder.encode(attempt, scratch, found, publication)
    expectation = expected(attempt, found)
    if output is not None and (adoptable := await publication.made_before()) is not None:
        attempt.log.note(f"{output} was published by an earlier attempt of this task; it is not encoded again")
        attempt.tell(m.TaskStarted(attempt.id))
        await verification.judge(attempt, adoptable.copy or output, expectation, found, scratch)
        return await publication.adopt(adoptable)
    made = scratch / f"output.{attempt.spec.container}"
    if output is not None:
        made = await asyncio.to_thread(kit.work.stage, output, attempt.id)
    run = await begun(attempt, found, expectation, input=path, output=made, scratch=scratch)
    aim = Aim(attempt, None if found is None else found.inspection, path, scratch)

    async def one_way(choice: Choice) -> str:
        async with ways.session(attempt, choice):
            await aim.take(choice)
            commands = run.commands(choice)
            await run_all(attempt, commands, run.progress(len(commands)))
            while await aim.again(made):
                last = run.commands(choice)[-1:]  # what a first pass found holds for another bitrate
                await run_all(attempt, last, run.progress(1))
        check_size(attempt, (await in_thread(made.stat)).st_size)
        if found is not None:
            await found.check_unchanged()
        return await verification.verified(attempt, made, expectation, found, scratch, run.measured)

    sha256 = await ways.first_that_works(attempt, await run.ways(), one_way)
    return await publication.publish(made, sha256)


def expected(attempt: Attempt, found: source.Source | None) -> verify.Expectation:
    """What must come out; what was decided on the way is told. Raises TaskError."""
    expectation = verify.expect(attempt.spec, None if found is None else found.inspection)
    for note in expectation.notes:
        attempt.log.note(note)
    attempt.note_made(decisions=expectation.notes)
    return expectation


async def begun(
    attempt: Attempt,
    found: source.Source | None,
    expectation: verify.Expectation,
    *,
    input: Path | None,
    output: Path,
    scratch: Path,
) -> engines.Run:
    """The engine is chosen, and ready to encode. Raises TaskError."""
    inspection = None if found is None else found.inspection
    run = engines.begin(
        engines.told(attempt, inspection),
        engines.Task(
            attempt=attempt,
            source=inspection,
            expectation=expectation,
            input=input,
            output=output,
            scratch=scratch,
        ),
    )
    await run.prepare()
    return run
