"""Which tracks of a kind a job takes: by rule, by number, or by language. Pure."""

from collections.abc import Sequence
from typing import Protocol, TypeVar

from ffrtmp.domain import errors, languages
from ffrtmp.domain.errors import Code


class Track(Protocol):
    @property
    def codec(self) -> str: ...
    @property
    def language(self) -> str: ...


T = TypeVar("T", bound=Track)


def named(field: str, wanted: Sequence[int | str], offered: Sequence[T]) -> list[T]:
    """Numbers count the tracks of this kind from 1; a language takes all tracks in it. In the order in which they are named.

    Raises TaskError(stream_unsuitable) for a name that nothing answers to.
    """
    taken: list[T] = []
    for name in wanted:
        if isinstance(name, int):
            found = list(offered[name - 1 : name])
        else:
            found = [track for track in offered if languages.same(track.language, name)]
        if not found:
            raise errors.TaskError(
                Code.STREAM_UNSUITABLE, f"{field} names {name}, which the input does not have; it has {_list(offered)}"
            )
        taken += [track for track in found if track not in taken]
    return taken


def _list(offered: Sequence[Track]) -> str:
    told = [f"{number} ({describe(track)})" for number, track in enumerate(offered, 1)]
    return ", ".join(told) or "none"


def describe(track: Track) -> str:
    return f"{track.language or 'no language'}, {track.codec}"
