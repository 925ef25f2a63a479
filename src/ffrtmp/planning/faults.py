"""The faults of a submission, collected, so that all of them are told at once."""

from collections.abc import Callable
from typing import TypeVar

from ffrtmp.domain import errors

T = TypeVar("T")


class Faults:
    def __init__(self) -> None:
        self.found: list[errors.Fault] = []

    def add(self, field: str, message: str, code: str = "invalid_value", /, **nearest: object) -> None:
        """`nearest`: what to set instead, None to leave a field out; `__` stands for the dot of a field within one."""
        changes = {name.replace("__", "."): value for name, value in nearest.items()}
        told = errors.nearest(changes) if changes else ""
        self.found.append(errors.Fault(f"parameters.{field}", message + told, code))

    def catch(self, call: Callable[[], T]) -> T | None:
        try:
            return call()
        except errors.InvalidInput as error:
            self.found += error.faults
            return None
