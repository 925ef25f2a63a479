"""Where in the line of each class to begin to look for ready tasks.

Rows that were deleted stay in the table as long as some transaction's snapshot is older than their end (a backup, a forgotten
psql), and a look from the beginning passes over all of them. So a master remembers where it found the first ready task, and looks
from there on. What it cannot know of, because another master put it there or a transaction was undone, it finds when it looks from
the beginning: when there is less than was asked for, and once a second.
"""

#: below every key
LOWEST = -(1 << 62)
_WHOLE_US = 1_000_000
#: keys follow the clock of transactions that commit a little later, in any order
_SLACK_US = 1_000_000


class Floors:
    """Of one master; in memory only, since forgetting them costs one longer look."""

    def __init__(self) -> None:
        self._keys: dict[int, int] = {}
        self._whole_at: dict[int, int] = {}

    def clear(self) -> None:
        self._keys.clear()
        self._whole_at.clear()

    def key(self, class_id: int, now: int) -> int:
        """Look from this sort key on."""
        # a clock that was set back would else have to come by here again
        if not 0 <= now - self._whole_at.get(class_id, now - _WHOLE_US) < _WHOLE_US:
            return LOWEST
        return self._keys.get(class_id, LOWEST)

    def looked(self, class_id: int, from_key: int, first: int | None, now: int) -> None:
        """`first`: the lowest key that was found."""
        if from_key == LOWEST:
            self._whole_at[class_id] = now
        if first is not None:
            self._keys[class_id] = first - _SLACK_US

    def came(self, class_id: int, key: int) -> None:
        """A task with this key was made ready here: work of a higher rank comes before what is there."""
        if key < self._keys.get(class_id, LOWEST):
            self._keys[class_id] = key
