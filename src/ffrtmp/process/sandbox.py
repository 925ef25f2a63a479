"""The seam for a sandbox: something that turns a Command into the Command that runs it confined."""

from typing import Protocol

from ffrtmp.domain.command import Command


class Sandbox(Protocol):
    """Confines a command to its `reads`, `writes` and `network`."""

    def wrap(self, command: Command) -> Command:
        """The same command, confined. Must keep the process that is started the one that ends last."""
        ...


class Off:
    """No sandbox: the command runs as it is."""

    def wrap(self, command: Command) -> Command:
        return command


OFF: Sandbox = Off()
