"""The ways in which an attempt can encode: a GPU's encoder and decoder, its encoder alone, software. One that fails at what the
next can mend is followed by it, within the same attempt."""

import contextlib
from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

from ffrtmp.agent.attempt import Attempt
from ffrtmp.domain.errors import Code, Failure, TaskError
from ffrtmp.domain.hardware import family_of
from ffrtmp.domain.job import Step
from ffrtmp.media import choice
from ffrtmp.media.inspection import Inspection

T = TypeVar("T")

#: what may be a GPU's or its driver's fault
_MENDABLE = frozenset(
    {
        Code.ENCODER_UNAVAILABLE,
        Code.ENGINE_CRASHED,
        Code.ENGINE_FAILED,
        Code.OUTPUT_INVALID,
        Code.QUALITY_TOO_LOW,  # the same CRF is not the same quality in software
        Code.STALLED,
    }
)
#: what may be its decoder's: an input that was inspected is one that software can decode
_MENDABLE_BY_DECODING = frozenset({Code.INPUT_INVALID, Code.INPUT_TRUNCATED})


async def of_ffmpeg(attempt: Attempt, source: Inspection | None) -> list[choice.Choice]:
    """Best first. Waits for a GPU where only one will do. Raises TaskError(encoder_unavailable)."""
    kit, gpus = attempt.kit, attempt.kit.gpus
    if _needs_hardware(attempt) and gpus.full:
        attempt.phase("waits for a GPU session")
        await gpus.room()
    offer = choice.Offer(encoders=kit.encoders, decoders=kit.decoders, load=gpus.load, full=gpus.full)
    return choice.candidates(attempt.spec, source.main_video if source else None, offer)


async def first_that_works(
    attempt: Attempt, candidates: Sequence[choice.Choice], encode: Callable[[choice.Choice], Awaitable[T]]
) -> T:
    """What `encode` answers. Raises TaskError: what the last way failed at, or what cannot be mended."""
    for one in candidates[:-1]:
        try:
            return await _try(attempt, one, encode)
        except TaskError as error:
            if not _is_mendable(one, error.failure):
                raise
            attempt.log.note(f"{one.name} failed ({error.failure.code.value}): {error.failure.message}")
            _step(attempt, one, error.failure)
    return await _try(attempt, candidates[-1], encode)


def session(attempt: Attempt, one: choice.Choice) -> contextlib.AbstractAsyncContextManager[None]:
    """Of the GPU that it uses, if it uses one: for as long as its commands run."""
    return contextlib.nullcontext() if one.use is None else attempt.kit.gpus.session(one.use.device)


def _is_mendable(one: choice.Choice, failure: Failure) -> bool:
    by_decoding = one.use is not None and one.use.decode and failure.code in _MENDABLE_BY_DECODING
    return not failure.retriable and (failure.code in _MENDABLE or by_decoding)


def _needs_hardware(attempt: Attempt) -> bool:
    return attempt.spec.requires.hwaccel is not None or family_of(attempt.spec.requires.encoder or "") is not None


async def _try(attempt: Attempt, one: choice.Choice, encode: Callable[[choice.Choice], Awaitable[T]]) -> T:
    attempt.log.note(f"encoder: {one.name} ({one.why})")
    device = one.use.device if one.use is not None else ""
    attempt.note_made(encoder=one.encoder.name, encoder_reason=one.why, device=device)
    answer = await encode(one)
    if attempt.made.steps:
        _step(attempt, one, None)
    return answer


def _step(attempt: Attempt, one: choice.Choice, failure: Failure | None) -> None:
    attempt.note_made(steps=[*attempt.made.steps, Step(settings=one.name, why=one.why, failure=failure)])
