"""The warm helper that looks into media files, so that hostile ones never touch this process and none waits for an import."""

import os
import sys
from pathlib import Path

from ffrtmp.domain.command import Command
from ffrtmp.domain.errors import Code, TaskError
from ffrtmp.media import inspection
from ffrtmp.process.service import Service, ServiceDied

#: the inspector stays warm this long: a start costs more than a whole dispatch
IDLE_SECONDS = 600.0
_GRACE_SECONDS = 5.0  #: beyond the request's own limit, for the answer to come back


class Inspector:
    def __init__(self) -> None:
        # -P: the current directory may be a media root, where a file could pose as a module
        self._service = Service(
            Command(
                name="the inspector",
                argv=(sys.executable, "-P", "-m", "ffrtmp.media.inspect", "--serve"),
                env={"PYTHONPATH": path} if (path := os.environ.get("PYTHONPATH")) else {},
            ),
            idle_seconds=IDLE_SECONDS,
        )

    async def inspect(
        self,
        path: Path,
        *,
        decode: bool = False,
        start: float = 0.0,
        duration: float | None = None,
        rate: str | None = None,
        threads: int = 1,
        timeout_seconds: float = 600.0,
    ) -> inspection.Inspection:
        """Raises TaskError with the code that says what is wrong with the file."""
        request = inspection.request(
            str(path),
            decode=decode,
            start=start,
            duration=duration,
            rate=rate,
            threads=threads,
            timeout_seconds=timeout_seconds,
        )
        try:
            reply = await self._service.request(request, timeout_seconds=timeout_seconds + _GRACE_SECONDS)
        except ServiceDied as error:
            raise TaskError(Code.INTERNAL, f"The inspector ended while it looked into {path.name}: {error}") from error
        except TimeoutError:
            raise TaskError(
                Code.TIMED_OUT, f"Looking into {path.name} took longer than {timeout_seconds:.0f} s."
            ) from None
        return inspection.read(reply)

    async def warm_up(self) -> None:
        """Start it now, rather than at the first job."""
        try:
            await self.inspect(Path("/nonexistent/ffrtmp-warm-up"))
        except TaskError:
            return  # there is no such file: it has answered, it runs

    async def close(self) -> None:
        await self._service.close()
