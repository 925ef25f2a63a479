"""Hints between the masters on one PostgreSQL: LISTEN and NOTIFY on a connection of their own, gathered, and watched by a probe.

Transactions that notify wait for one another at their commit, so none of ours does: what was committed since the last notification
goes out as one, after the fact. A listener does not know that it is deaf (a pooler hands each statement to another session, or the
connection is half dead), so a master tells itself something from time to time and reconnects when it does not hear it.
"""

import asyncio
import contextlib
import random
import secrets
from collections.abc import Awaitable, Callable

import asyncpg
import msgspec

from ffrtmp.store import interface
from ffrtmp.store.postgres_tx import Connection
from ffrtmp.store.postgres_writer import LOST
from ffrtmp.telemetry import logs

#: of the listening connections, in pg_stat_activity
APPLICATION = "ffrtmp-hints"
#: the server's answer, and a probe, are waited for so long
ANSWER_SECONDS = 5.0
#: notifications are at least so far apart: what is committed meanwhile goes together
_GATHER_SECONDS = 0.015
_PROBE_SECONDS = 5.0
#: nobody else was heard of for so long, probes included: there is nobody to tell
_ALONE_SECONDS = 4 * _PROBE_SECONDS
_SHORTEST_WAIT_SECONDS = 0.1
_LONGEST_WAIT_SECONDS = 5.0
#: PostgreSQL takes less than 8000 bytes; these many follows and attempts of a follow are always below it
_LONGEST_PAYLOAD = 7999
_MOST_FOLLOWS = 4
_MOST_ATTEMPTS = 20
#: masters that share a database but not a schema do not share a queue
_CHANNEL = "SELECT 'ffrtmp_' || md5(current_schema())"
_NOTIFY = "SELECT pg_notify($1, payload) FROM unnest($2::text[]) AS payload"
_NOTHING = interface.Hint()
_EVERYTHING = interface.Hint(everything=True)


class _Message(msgspec.Struct, frozen=True, omit_defaults=True):
    master: str  #: who says it
    hint: interface.Hint = _NOTHING
    probe: int = 0


_decode = msgspec.json.Decoder(_Message).decode


class _Deaf(Exception):
    """What is told on the channel does not come back."""


class PostgresHints:
    """`connect` opens the listening connection."""

    def __init__(self, connect: Callable[[], Awaitable[Connection]], rng: random.Random) -> None:
        self.up = False
        self._connect = connect
        self._rng = rng
        self._name = secrets.token_hex(8)
        self._connection: Connection | None = None
        self._channel = ""
        self._using = asyncio.Lock()
        self._probe = 0
        self._stirred = asyncio.Event()  #: the probe came back, or the connection has ended
        self._outgoing = _NOTHING
        self._to_send = asyncio.Event()
        self._incoming = _NOTHING
        self._came = asyncio.Event()
        self._alone_from = 0.0  #: by the loop's clock
        self._warned = False
        self._tasks: list[asyncio.Task[None]] = []

    def start(self) -> None:
        self._tasks = [
            asyncio.create_task(self._keep_listening(), name="ffrtmp-store-hints-listen"),
            asyncio.create_task(self._keep_sending(), name="ffrtmp-store-hints-send"),
        ]

    async def stop(self) -> None:
        """The last hints are sent, if that goes without waiting for a server that is away."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._connection is not None and self._tasks:
            with contextlib.suppress(*LOST, asyncpg.PostgresError):
                async with asyncio.timeout(1):
                    await self._notify(_payloads(self._name, self._outgoing))
                    await self._connection.close()
        self._drop()
        self._tasks = []
        self.up = False

    def tell(self, hint: interface.Hint) -> None:
        if hint and asyncio.get_running_loop().time() < self._alone_from:
            self._outgoing |= hint
            self._to_send.set()

    def hear(self, hint: interface.Hint) -> None:
        """For this master itself."""
        if hint:
            self._incoming |= hint
            self._came.set()

    async def next(self) -> interface.Hint:
        await self._came.wait()
        self._came.clear()
        hint, self._incoming = self._incoming, _NOTHING
        return hint

    # sending

    async def _keep_sending(self) -> None:
        while True:
            await self._to_send.wait()
            self._to_send.clear()
            hint, self._outgoing = self._outgoing, _NOTHING
            # what cannot be sent is lost; the probe sees whether more than that is wrong
            with contextlib.suppress(*LOST, asyncpg.PostgresError):
                await self._notify(_payloads(self._name, hint))
            await asyncio.sleep(_GATHER_SECONDS)

    async def _notify(self, payloads: list[str]) -> None:
        async with self._using:
            if self._connection is not None and payloads:
                await self._connection.execute(_NOTIFY, self._channel, payloads)

    # listening

    async def _keep_listening(self) -> None:
        wait = _SHORTEST_WAIT_SECONDS
        while True:
            try:
                await self._listen()
            except (*LOST, asyncpg.PostgresError, _Deaf) as error:
                wait = _SHORTEST_WAIT_SECONDS if self.up else min(_LONGEST_WAIT_SECONDS, 2 * wait)
                self._fails(error)
                self._drop()
            # jitter: masters that lost the server together must not come back together
            await asyncio.sleep(self._rng.uniform(wait / 2, wait))

    async def _listen(self) -> None:
        """Until the connection ends or is found to be deaf, which is raised."""
        async with self._using:
            connection = self._connection = await self._connect()
            connection.add_termination_listener(self._ended)
            self._channel = await connection.fetchval(_CHANNEL)
            await connection.add_listener(self._channel, self._heard)
        while True:
            await self._prove(connection)
            self._works()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_PROBE_SECONDS * self._rng.uniform(0.8, 1.2)):
                    await self._stirred.wait()

    async def _prove(self, connection: Connection) -> None:
        """Raises _Deaf when a word to ourselves does not come back."""
        self._stirred.clear()
        self._probe += 1
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                await self._notify([_text(_Message(self._name, probe=self._probe))])
                await self._stirred.wait()
        except TimeoutError:
            raise _Deaf(f"a notification to itself did not come back within {ANSWER_SECONDS:g} s") from None
        if connection.is_closed():
            raise _Deaf("the server ended the connection")
        self._stirred.clear()

    def _ended(self, _: object) -> None:
        self._stirred.set()

    def _heard(self, _: object, __: int, ___: str, payload: object) -> None:
        try:
            message = _decode(str(payload))
        except msgspec.DecodeError:  # of a master of another version
            message = _Message("", _EVERYTHING)
        if message.master == self._name:
            if message.probe == self._probe:
                self._stirred.set()
            return
        self._alone_from = asyncio.get_running_loop().time() + _ALONE_SECONDS
        self.hear(message.hint)

    def _works(self) -> None:
        if self.up:
            return
        self.up = True
        self._alone_from = asyncio.get_running_loop().time() + _ALONE_SECONDS  # until then we have heard of everyone
        if self._warned:
            self._warned = False
            logs.get("store").info("hints between masters work again")
        self.hear(_EVERYTHING)

    def _fails(self, error: Exception) -> None:
        if not self._warned:
            self._warned = True
            logs.get("store").warning(
                "hints between masters do not work; what another master makes ready is found by polling",
                reason=str(error) or type(error).__name__,
            )
        if self.up:
            self.up = False
            self.hear(_EVERYTHING)  # who waits must wait shorter from now on

    def _drop(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.terminate()


def _text(message: _Message) -> str:
    return msgspec.json.encode(message).decode()


def _payloads(master: str, hint: interface.Hint) -> list[str]:
    """As few as hold it. One that names too much says `everything` instead; follows, which stand nowhere else, are divided."""
    found: list[str] = []
    plain = msgspec.structs.replace(hint, follows=())
    if plain:
        text = _text(_Message(master, plain))
        found.append(text if len(text) <= _LONGEST_PAYLOAD else _text(_Message(master, _EVERYTHING)))
    pieces = [
        interface.Follow(one.job_id, one.attempts[at : at + _MOST_ATTEMPTS], one.seconds)
        for one in hint.follows
        for at in range(0, max(1, len(one.attempts)), _MOST_ATTEMPTS)
    ]
    parts = [tuple(pieces[at : at + _MOST_FOLLOWS]) for at in range(0, len(pieces), _MOST_FOLLOWS)]
    return found + [_text(_Message(master, interface.Hint(follows=part))) for part in parts]
