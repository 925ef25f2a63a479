"""A stream, from an engine's pipe to an RTMP server: in real time, and over the server's restarts.

The engine may run ahead as far as the pipe has room; each tag is sent when it is due. So both engines stream alike, and neither
is started again when the server goes away: what is due meanwhile is dropped, and the stream goes on with the next key frame.
"""

import asyncio
import collections
import random
import ssl
import time
from collections.abc import Callable

import msgspec

from ffrtmp.domain.errors import Code, TaskError
from ffrtmp.domain.job import Pushed
from ffrtmp.domain.streaming import Target
from ffrtmp.transfer import flv, guard
from ffrtmp.transfer.rtmp import Away, Connection, Refused

#: an engine that is later than this is not only jittery: the stream waits for it, and that is counted
_LATE_SECONDS = 0.5
#: what may wait for a slow server before it is dropped
_MOST_WAITING_SECONDS, _MOST_WAITING_BYTES = 8.0, 32 << 20
_FIRST_PAUSE_SECONDS, _LONGEST_PAUSE_SECONDS = 0.25, 8.0
#: another publisher under our key may be an attempt of ours that has just ended: servers notice it late
_BUSY_SECONDS = 20.0
#: a server that closes the connection without a word may just be stopping: it is asked once more
_SILENT_REFUSALS = 2
#: a connection that ends sooner has not mended anything: the time to give up runs on
_STABLE_SECONDS = 3.0


class Sent(msgspec.Struct):
    """What went through, while it goes on."""

    setup: list[flv.Tag] = []  #: each kind once: what a decoder needs first
    made: int = 0  #: frames, by the engine
    frames: int = 0  #: of them that were sent
    began: float | None = None  #: when the first tag was due, by the monotonic clock
    first_ms: int = 0
    last_ms: int = 0
    dropped: int = 0
    bytes: int = 0
    reconnects: int = 0
    away: float = 0.0
    behind: float = 0.0
    away_since: float | None = None  #: by the monotonic clock; None: there is a connection

    @property
    def seconds(self) -> float:
        """Of the stream, as far as it was due."""
        return max(self.last_ms - self.first_ms, 0) / 1000


class Push:
    """`begin`, then `run`; `abort` at any time. `may_send` is asked before each tag, `note` is told what happens."""

    def __init__(
        self,
        target: Target,
        *,
        private: bool,
        note: Callable[[str], None],
        may_send: Callable[[], bool],
        rng: random.Random,
        context: ssl.SSLContext | None = None,
    ) -> None:
        self.sent = Sent()
        self._target = target
        self._private = private
        self._note = note
        self._may_send = may_send
        self._rng = rng
        self._context = context
        self._connection: Connection | None = None
        self._waiting: collections.deque[flv.Tag] = collections.deque()
        self._waiting_bytes = 0
        self._connected_at = 0.0
        self._lost_at: float | None = None  # since when no connection has lasted
        self._failures = 0
        self._needs_key = False
        self._ended = False
        self._wake = asyncio.Event()

    async def begin(self) -> None:
        """Connect, and be allowed to publish, before anything is encoded.
        Raises TaskError: target_unreachable, target_forbidden, target_refused."""
        began, failures, silent = time.monotonic(), 0, 0
        while True:
            try:
                self._connection = await self._open()
            except Away as error:
                raise TaskError(Code.TARGET_UNREACHABLE, f"{self._target} cannot be reached: {error}") from None
            except Refused as error:
                silent += 0 if error.told else 1
                waits = (error.busy and time.monotonic() - began < _BUSY_SECONDS) or 0 < silent < _SILENT_REFUSALS
                if not waits:
                    raise TaskError(
                        Code.TARGET_REFUSED, f"{self._target}: {error}", retriable=True if error.busy else None
                    ) from None
                self._note(f"{self._target}: {error}; it is asked again")
                failures += 1
                await asyncio.sleep(self._pause(failures))
            else:
                self._note(f"{self._target} takes the stream")
                return

    async def run(self, engine: asyncio.StreamReader) -> None:
        """Until the engine's pipe ends and all of it was sent. Raises TaskError: target_lost, lease_expired, output_invalid."""
        pacing = asyncio.create_task(self._pace(engine), name="pace")
        sending = asyncio.create_task(self._send(), name="send")
        try:
            done, _ = await asyncio.wait({pacing, sending}, return_when=asyncio.FIRST_EXCEPTION)
            for task in (sending, pacing):
                if task in done:
                    task.result()
        except ValueError as error:
            raise TaskError(Code.OUTPUT_INVALID, f"The stream cannot be sent: {error}") from error
        finally:
            for task in (pacing, sending):
                task.cancel()
            await asyncio.wait({pacing, sending})

    async def close(self) -> None:
        """Tell the server that the stream is over."""
        if self._connection is not None:
            await self._connection.close()
            self._connection = None

    def abort(self) -> None:
        """Nothing more is sent, and the server sees the connection end."""
        if self._connection is not None:
            self._connection.abort()
            self._connection = None

    def result(self) -> Pushed:
        sent, now = self.sent, time.monotonic()
        away = sent.away + (now - sent.away_since if sent.away_since is not None else 0.0)
        return Pushed(
            target=str(self._target),
            seconds=round(sent.seconds, 3),
            frames=sent.frames,
            dropped_frames=sent.dropped,
            sent_bytes=sent.bytes,
            reconnects=sent.reconnects,
            away_seconds=round(away, 3),
            behind_seconds=round(sent.behind, 3),
        )

    # in real time

    async def _pace(self, engine: asyncio.StreamReader) -> None:
        sent = self.sent
        async for tag in flv.tags(engine):
            if tag.is_setup:
                sent.setup = [*(one for one in sent.setup if one.kind != tag.kind), tag]
            else:
                await self._due(tag)
            self._put(tag)
        self._ended = True
        self._wake.set()

    async def _due(self, tag: flv.Tag) -> None:
        sent, now = self.sent, time.monotonic()
        if sent.began is None:
            sent.began, sent.first_ms = now, tag.at_ms
        late = now - sent.began - (tag.at_ms - sent.first_ms) / 1000
        if late < 0:
            await asyncio.sleep(-late)
        elif late > _LATE_SECONDS:
            sent.behind += late
            sent.began += late
        sent.last_ms = max(sent.last_ms, tag.at_ms)
        sent.made += tag.is_frame

    def _put(self, tag: flv.Tag) -> None:
        """To be sent. Without a connection only what follows the last key frame is kept."""
        if tag.is_key and (self._connection is None or self._needs_key):
            self._drop_all()
            self._needs_key = False
        elif self._is_full(tag):
            self._note(f"{self._target} takes the stream too slowly: {len(self._waiting)} pieces are dropped")
            self._drop_all()
            self._needs_key = True
        if self._needs_key:
            self.sent.dropped += tag.is_frame
            return
        self._waiting.append(tag)
        self._waiting_bytes += len(tag.body)
        self._wake.set()

    def _is_full(self, tag: flv.Tag) -> bool:
        if not self._waiting or tag.is_setup:
            return False
        waits = (tag.at_ms - self._waiting[0].at_ms) / 1000
        return waits > _MOST_WAITING_SECONDS or self._waiting_bytes + len(tag.body) > _MOST_WAITING_BYTES

    def _drop_all(self) -> None:
        self.sent.dropped += sum(tag.is_frame for tag in self._waiting)
        self._waiting.clear()
        self._waiting_bytes = 0

    # over the wire

    async def _send(self) -> None:
        while True:
            if self._connection is None:
                await self._reconnect()
            connection = self._connection
            assert connection is not None
            if connection.error is not None:
                self._lost(connection.error)
            elif self._waiting:
                tag = self._waiting.popleft()
                self._waiting_bytes -= len(tag.body)
                await self._send_one(connection, tag)
            elif self._ended:
                return
            else:
                self._wake.clear()
                await self._wake.wait()

    async def _send_one(self, connection: Connection, tag: flv.Tag) -> None:
        if not self._may_send():
            self.abort()
            raise TaskError(Code.LEASE_EXPIRED, "The lease is over: nothing more is sent.")
        try:
            await connection.send(tag)
        except (Away, Refused) as error:
            self.sent.dropped += tag.is_frame
            self._lost(error)
        else:
            self.sent.bytes += len(tag.body)
            self.sent.frames += tag.is_frame

    def _lost(self, error: Away | Refused) -> None:
        """What waits begins in the middle of a group of pictures: the next key frame is waited for.
        Raises TaskError(target_refused) when nothing was ever taken."""
        now = time.monotonic()
        self._note(f"{self._target} went away: {error}")
        self.abort()
        if self._lost_at is None or now - self._connected_at > _STABLE_SECONDS:
            self._lost_at, self._failures = now, 0
        self.sent.away_since = now
        if not self.sent.frames:
            raise TaskError(
                Code.TARGET_REFUSED,
                f"{self._target} granted the stream and took nothing of it: {error}",
                retriable=True,
            )
        self._drop_all()
        self._needs_key = True

    async def _reconnect(self) -> None:
        """Raises TaskError(target_lost) when the server does not come back in time."""
        sent, limit = self.sent, self._target.give_up_seconds
        assert self._lost_at is not None
        assert sent.away_since is not None
        until, why = self._lost_at + limit, None
        while (left := until - time.monotonic()) > 0:
            await asyncio.sleep(min(self._pause(self._failures), left))
            try:
                async with asyncio.timeout(max(until - time.monotonic(), 0.1)):
                    connection = await self._open()
                    await self._set_up(connection)
            except (Away, Refused, TaskError) as error:
                why = error
                self._failures += 1
            except TimeoutError:
                break
            else:
                self._connection, self._connected_at = connection, time.monotonic()
                took = self._connected_at - sent.away_since
                sent.reconnects, sent.away, sent.away_since = sent.reconnects + 1, sent.away + took, None
                self._note(f"{self._target} takes the stream again after {took:.1f} s")
                return
        told = f": {why}" if why else ""
        raise TaskError(
            Code.TARGET_LOST, f"{self._target} went away and was not back within {limit:g} s (reconnect_seconds){told}"
        )

    async def _set_up(self, connection: Connection) -> None:
        try:
            for tag in self.sent.setup:
                await connection.send(msgspec.structs.replace(tag, at_ms=self.sent.last_ms))
        except BaseException:
            connection.abort()
            raise

    async def _open(self) -> Connection:
        known = await guard.addresses(self._target.host, self._target.port, private=self._private)
        connection = await Connection.open(self._target, known, context=self._context)
        connection.on_lost = self._wake.set
        return connection

    def _pause(self, failures: int) -> float:
        """Twice as long after each failure, up to a bound; of many streams not all at once."""
        longest = min(_LONGEST_PAUSE_SECONDS, _FIRST_PAUSE_SECONDS * 2.0 ** min(failures - 1, 16))
        return longest * self._rng.uniform(0.5, 1.0)
