"""HTTP for the client: trust, tries with jitter, and errors that name the address and the cause."""

import asyncio
import contextlib
import os
import random
import ssl
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import urlsplit

import msgspec

from ffrtmp.client import masters, state
from ffrtmp.domain import addresses, errors
from ffrtmp.protocol import connections, problems, views

if TYPE_CHECKING:
    import httpx

T = TypeVar("T")
R = TypeVar("R")

# httpx brings the command line of its own, and with it rich and pygments: 0.3 s of CPU and 7 MB for what nobody here calls. It does
# without when that part cannot be imported.
sys.modules.setdefault("httpx._main", None)  # type: ignore[arg-type]

#: answers that mean "not now": the request did not reach the master's logic, or it is overloaded
_AWAY = frozenset({429, 502, 503, 504})
_FIRST_BACKOFF_SECONDS = 0.2
_LONGEST_BACKOFF_SECONDS = 5.0
_LONGEST_RETRY_AFTER_SECONDS = 60.0
_PROBE_SECONDS = 5.0
#: the code of an answer by some other server
NOT_A_MASTER = "not_a_master"
#: the code of a request that was taken and not answered
SILENT = "master_silent"
#: codes of a master that is there and cannot do its work
_TROUBLED = frozenset({"unavailable", "disk_full", "stopping"})
#: codes of trouble with certificates, which waiting does not mend
UNTRUSTED = frozenset({"certificate_not_trusted", "client_certificate_required"})


class Trust(msgspec.Struct, frozen=True, kw_only=True):
    """Whom to believe, and who we are. Without a CA: the system's roots and the local master's own certificate."""

    ca: Path | None = None
    cert: Path | None = None
    key: Path | None = None
    insecure: bool = False

    def context(self) -> ssl.SSLContext:
        """Raises InvalidInput naming the file that cannot be used."""
        context = ssl.create_default_context()
        if self.insecure:
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        authorities = self.ca or state.certificate()
        if authorities is not None:
            try:
                context.load_verify_locations(cafile=authorities)
            except (OSError, ssl.SSLError) as error:
                raise errors.InvalidInput(
                    f"The CA file {authorities} cannot be used ({_reason(error)}); it must be certificates in PEM form."
                ) from error
        if self.cert is not None:
            try:
                context.load_cert_chain(self.cert, self.key)
            except (OSError, ssl.SSLError) as error:
                raise errors.InvalidInput(
                    f"The client certificate {self.cert} with key {self.key or self.cert} cannot be used"
                    f" ({_reason(error)}); give both as PEM files that belong together."
                ) from error
        return context


class Http:
    """The way to one or several masters. A call goes to the one that answers.

    `master`: their base URLs. Or, with `find`, addresses as a person writes them: how each speaks is found out when it is first
    asked, and where no `api_key` is given, a master on this machine gets the key of the user's state folder.
    """

    def __init__(
        self,
        master: str | Iterable[str],
        *,
        api_key: str,
        trust: Trust,
        timeout: float,
        rng: random.Random,
        transport: "httpx.AsyncBaseTransport | None" = None,
        key_from: str = "",
        find: bool = False,
        on_change: masters.OnChange | None = None,
    ) -> None:
        self.rng = rng
        self.credential = ""  #: of the node that has registered; it goes before the API key, and holds at every master
        self._api_key = api_key
        self._key_from = key_from
        self._trust = trust
        self._context: ssl.SSLContext | None = None
        self._timeout = timeout
        self._transport = transport
        written = masters.addresses(master) if find else ((master,) if isinstance(master, str) else tuple(master))
        self._share = 1 / len(written)
        if find:
            found = [masters.Member(one) for one in written]
            rng.shuffle(found)  # so that many clients spread over the masters, and over the others when one goes
        else:
            urls = [url.rstrip("/") for url in written]
            found = [masters.Member(url, self._client(url), api_key=api_key, key_from=key_from) for url in urls]
        self.masters = masters.Masters(found, rng, on_change=on_change)

    @property
    def base_url(self) -> str:
        """Of the master that is asked at present."""
        return self.masters.current.url

    async def aclose(self) -> None:
        for member in self.masters.in_turn():
            if member.raw is not None:
                await member.raw.aclose()

    def shared(self, seconds: float) -> float:
        """For one master, of the time in which any of them must have answered."""
        return seconds * self._share

    async def find(self) -> None:
        """Return when a master answers. Raises Unavailable naming each address that was tried."""

        async def found(_: masters.Member, __: "httpx.AsyncClient") -> None:
            return

        await self._ask(found, lambda _: True)

    async def call(
        self,
        method: str,
        path: str,
        answer: type[T],
        *,
        body: Any = None,
        body_again: Any = None,
        params: Any = None,
        headers: Mapping[str, str] | None = None,
        as_node: bool = True,
        timeout: float | None = None,
        tries: int = 1,
    ) -> T:
        """Send, and read the answer as `answer`. Raises the domain error that a problem document tells of; Unavailable when
        nothing usable came back. A call may be repeated at another master (by its key, id or nature), so that each try asks all of
        them, one after another, until one answers. `body_again`: what to send from the second time on, where that differs.
        `timeout`: seconds for each. `as_node`: with the node's credential."""
        content = None if body is None else msgspec.json.encode(body)
        extra = {**({"Content-Type": "application/json"} if content is not None else {}), **(headers or {})}
        repeated = content if body_again is None else msgspec.json.encode(body_again)

        async def ask(member: masters.Member, raw: "httpx.AsyncClient") -> T:
            nonlocal content
            sent, content = content, repeated
            key = self._key(member, as_node=as_node)
            async with self._head(
                member, raw, method, path, _bearer(key, extra), content=sent, params=params, timeout=timeout
            ) as reply:
                await reply.aread()
            return self._read(member, reply, answer)

        for attempt in range(1, tries + 1):
            try:
                return await self._ask(ask, lambda _: True)
            except errors.Unavailable as error:
                if attempt == tries or error.code == NOT_A_MASTER:
                    raise
                await asyncio.sleep(backoff(attempt, error.retry_after_seconds, self.rng))
        raise AssertionError("tries is at least 1")

    @contextlib.asynccontextmanager
    async def stream(
        self,
        method: str,
        path: str,
        *,
        headers: Mapping[str, str] | None = None,
        content: AsyncIterator[bytes] | None = None,
        params: Any = None,
        timeout: "httpx.Timeout | None" = None,
    ) -> "AsyncIterator[httpx.Response]":
        """An answer that is no refusal, to be read. Goes on to another master only where nothing was sent yet; what breaks later is
        raised as Unavailable, and when the caller goes on where it was, another is asked."""
        stack = contextlib.AsyncExitStack()

        async def ask(member: masters.Member, raw: "httpx.AsyncClient") -> "tuple[masters.Member, httpx.Response]":
            sent = _bearer(self._key(member), headers or {})
            head = self._head(member, raw, method, path, sent, content=content, params=params, timeout=timeout)
            return member, await stack.enter_async_context(head)

        member, reply = await self._ask(ask, _nothing_sent)
        try:
            async with stack:
                yield reply
        except errors.Unavailable as error:
            self.masters.failed(member, error.message)
            raise

    async def _ask(
        self,
        send: "Callable[[masters.Member, httpx.AsyncClient], Awaitable[R]]",
        may_go_on: Callable[[errors.Unavailable], bool],
    ) -> R:
        """The first usable answer of the masters in turn."""
        refused: list[tuple[masters.Member, errors.Unavailable]] = []
        for member in self.masters.in_turn():
            try:
                answer = await send(member, await self._open(member))
            except errors.Unavailable as error:
                self.masters.failed(member, error.message)
                refused.append((member, error))
                if not may_go_on(error):
                    break
            except errors.FfrtmpError:
                self.masters.answered(member)
                raise
            else:
                self.masters.answered(member)
                return answer
        raise _nobody(refused)

    @contextlib.asynccontextmanager
    async def _head(
        self,
        member: masters.Member,
        raw: "httpx.AsyncClient",
        method: str,
        path: str,
        headers: Mapping[str, str],
        *,
        content: bytes | AsyncIterator[bytes] | None = None,
        params: Any = None,
        timeout: "float | httpx.Timeout | None" = None,
    ) -> "AsyncIterator[httpx.Response]":
        """An answer of this master that is no refusal. Raises domain errors, also for what breaks while it is read."""
        import httpx

        limit = httpx.USE_CLIENT_DEFAULT if timeout is None else timeout
        try:
            async with raw.stream(
                method, path, content=content, params=params, headers=headers, timeout=limit
            ) as reply:
                if reply.status_code >= 400:
                    raise self._refusal(member, reply, await reply.aread())
                yield reply
        except httpx.HTTPError as error:
            raise unreachable(member.url, error) from error

    async def _open(self, member: masters.Member) -> "httpx.AsyncClient":
        """Its connections. One that was never asked is tried at each URL that its address may mean."""
        if member.raw is not None:
            return member.raw
        async with member.opening:
            if member.raw is not None:
                return member.raw
            tried: list[tuple[str, errors.FfrtmpError]] = []
            for url in masters.candidates(member.url):
                key, key_from = self._api_key, self._key_from
                if not key and state.is_local(urlsplit(url).hostname or ""):
                    key, key_from = state.read_api_key(), f"the file {state.folder() / state.API_KEY_FILE}"
                one = masters.Member(url, api_key=key, key_from=key_from)
                raw = self._client(url)
                seconds = self.shared(min(self._timeout, _PROBE_SECONDS))
                try:
                    async with self._head(one, raw, "GET", "/health", _bearer(key, {}), timeout=seconds) as reply:
                        await reply.aread()
                    self._read(one, reply, views.HealthView)
                except errors.FfrtmpError as error:
                    await raw.aclose()
                    if error.code in UNTRUSTED or error.code in _TROUBLED or error.code == SILENT:
                        # it does speak TLS: falling back to plain HTTP would give the key away; or it is a master, found
                        raise
                    tried.append((url, error))
                else:
                    member.url, member.raw, member.api_key, member.key_from = url, raw, key, key_from
                    return raw
            raise errors.Unavailable(_summary(member.url, tried), code="master_unreachable") from tried[-1][1]

    def _client(self, url: str) -> "httpx.AsyncClient":
        import httpx

        if url.startswith("https:") and self._context is None:
            self._context = self._trust.context()
        return httpx.AsyncClient(
            base_url=url,
            verify=self._context if self._context is not None and url.startswith("https:") else False,
            timeout=httpx.Timeout(self._timeout, connect=self.shared(min(self._timeout, 10.0))),
            limits=httpx.Limits(max_connections=64, keepalive_expiry=connections.CLIENT_KEEPS_SECONDS),
            transport=self._transport,
            trust_env=False,
            follow_redirects=False,
        )

    def _key(self, member: masters.Member, *, as_node: bool = True) -> str:
        return (self.credential if as_node else "") or member.api_key

    def _refusal(self, member: masters.Member, reply: "httpx.Response", body: bytes) -> errors.FfrtmpError:
        """The error of an answer with a status of 400 or more, in the words of who asked."""
        error = refusal(reply, body)
        # a slash in the name of a job or node makes a path that no master has
        if error.code == problems.NO_ROUTE and b"%2F" not in reply.request.url.raw_path:
            return errors.Unavailable(
                f"What answers at {member.url} is not a master's API, or that of another version: it has no"
                f" {reply.request.url.path}. Name the address that the master says at its start with --master.",
                code=NOT_A_MASTER,
            )
        key, key_from = self._key(member), "" if self.credential else member.key_from
        missing = not key and error.code == "missing_authorization"
        if isinstance(error, errors.Unauthenticated) and (missing or (key and key_from)):
            return errors.Unauthenticated(_no_key(member.url, key_from if key else ""), code=error.code)
        return error

    def _read(self, member: masters.Member, reply: "httpx.Response", answer: type[T]) -> T:
        if answer is type(None):
            return None
        try:
            return msgspec.json.decode(reply.content, type=answer)
        except (msgspec.DecodeError, msgspec.ValidationError) as error:
            raise errors.FfrtmpError(
                f"{member.url} answered something that is not {answer.__name__} ({error})."
                " Is this an ffrtmp master, and of the same version?",
                code="unexpected_answer",
            ) from error


def _bearer(key: str, more: Mapping[str, str]) -> dict[str, str]:
    return {"Authorization": f"Bearer {key}", **more} if key else dict(more)


def _nothing_sent(error: errors.Unavailable) -> bool:
    import httpx

    return isinstance(error.__cause__, httpx.ConnectError | httpx.ConnectTimeout | errors.FfrtmpError)


def _nobody(refused: Sequence[tuple[masters.Member, errors.Unavailable]]) -> errors.Unavailable:
    """What to tell when none answered."""
    if len(refused) == 1:
        return refused[0][1]
    codes = {error.code for _, error in refused}
    pauses = [error.retry_after_seconds for _, error in refused]
    said = "; ".join(f"{member.url}: {_in_short(error)}" for member, error in refused)
    return errors.Unavailable(
        f"None of the masters answers. {said.rstrip('.')}.",
        code=codes.pop() if len(codes) == 1 else "master_unreachable",
        retry_after_seconds=min((pause for pause in pauses if pause is not None), default=None)
        if None not in pauses
        else None,
    )


def _in_short(error: errors.Unavailable) -> str:
    if error.code == "master_unreachable":
        return _reason(error).rstrip(".")
    if error.code == SILENT:
        return "it took the request and did not answer in time (overloaded, or its database silent?)"
    return "no answer in time" if error.code == "master_timeout" else error.message.rstrip(".")


def _summary(address: str, tried: list[tuple[str, errors.FfrtmpError]]) -> str:
    if all("connection refused" in error.message for _, error in tried) and len(tried) > 1:
        return (
            f"No master answers at {address} (tried with TLS and without: connection refused). Start one with `ffrtmp up` or"
            " `ffrtmp master`, or name another with --master."
        )
    said = dict.fromkeys(error.message.replace(url, address) for url, error in tried)
    if len(said) == 1:
        return next(iter(said))
    return f"No master answers at {address}. Tried: " + " ".join(error.message for _, error in tried)


def backoff(attempt: int, retry_after: float | None, rng: random.Random) -> float:
    """Seconds to wait after the `attempt`-th failure: full jitter, and never less than the server asked for."""
    draw = rng.uniform(0.0, min(_LONGEST_BACKOFF_SECONDS, _FIRST_BACKOFF_SECONDS * 2.0 ** min(attempt - 1, 16)))
    return draw + min(retry_after or 0.0, _LONGEST_RETRY_AFTER_SECONDS)


def refusal(reply: "httpx.Response", body: bytes) -> errors.FfrtmpError:
    """The error of an answer with a status of 400 or more."""
    error = problems.to_error(reply.status_code, body)
    if reply.status_code in _AWAY:
        asked = reply.headers.get("Retry-After", "")
        seconds = min(float(asked), _LONGEST_RETRY_AFTER_SECONDS) if asked.isdigit() else None
        return errors.Unavailable(error.message, code=error.code, retry_after_seconds=seconds)
    return error


def _no_key(url: str, rejected: str) -> str:
    """`rejected`: where the key came from that the master does not know; "" when there was none."""
    if rejected:
        why = f"does not accept the API key from {rejected}. Give the right one"
    else:
        kept = state.folder() / state.API_KEY_FILE
        here = f" or {kept}" if state.is_local(urlsplit(url).hostname or "") else ""
        why = (
            f"asks for an API key, and none was found in --api-key, FFMPEG_RTMP_API_KEY, MASTER_API_KEY{here}. Give it"
        )
    return (
        f"The master at {url} {why} with --api-key or FFMPEG_RTMP_API_KEY: the one that it was started with, or printed at its"
        f" first start and keeps in the file {state.API_KEY_FILE} of its state folder."
    )


def unreachable(url: str, error: Exception) -> errors.Unavailable:
    """What to tell a person when no answer came."""
    import httpx

    if "CERTIFICATE_REQUIRED" in (text := _chain(error)).upper().replace(" ", "_"):
        return errors.Unavailable(
            f"The master at {url} asks for a client certificate: give one with --cert and --key.",
            code="client_certificate_required",
        )
    if "CERTIFICATE_VERIFY_FAILED" in text:
        why = (text.rpartition("certificate verify failed: ")[2].partition(" (_ssl")[0] or text).rstrip(".")
        if "mismatch, certificate is not valid for" in why:
            return _made_for_others(url)
        return errors.Unavailable(
            f"The master at {url} shows a certificate that is not trusted: {why}. Give its certificate or CA with"
            " --ca FILE (the master says at start where it keeps it).",
            code="certificate_not_trusted",
        )
    if isinstance(error, httpx.ConnectError):
        why = _reason(error)
        return errors.Unavailable(
            f"Cannot reach the master at {url}: {why}. Start one with `ffrtmp up` or `ffrtmp master`, or name another with"
            " --master.",
            code="master_unreachable",
        )
    if isinstance(error, httpx.ReadTimeout):
        return errors.Unavailable(
            f"The master at {url} took the request and did not answer in time: it may be overloaded, or its database silent. See"
            f" its log, and {url}/ready.",
            code=SILENT,
        )
    if isinstance(error, httpx.TimeoutException):
        return errors.Unavailable(f"The master at {url} did not answer in time.", code="master_timeout")
    return errors.Unavailable(
        f"The connection to the master at {url} broke: {_reason(error)}.", code="connection_broken"
    )


def _made_for_others(url: str) -> errors.Unavailable:
    host = urlsplit(url).hostname or url
    flag = "--cert-ips" if addresses.is_address(host) else "--cert-hosts"
    return errors.Unavailable(
        f"The certificate of the master at {url} is not made for {host}. Call the master by a name that it is made for; or, on"
        f" the master, remove certificate and key and start it with `{flag} {host}`.",
        code="certificate_not_trusted",
    )


def _chain(error: BaseException) -> str:
    """The texts of an error and of all its causes: the TLS library's reason is at the bottom."""
    texts = []
    seen: BaseException | None = error
    while seen is not None:
        texts.append(str(seen))
        seen = seen.__cause__ or seen.__context__
    return " ".join(texts)


def _reason(error: BaseException) -> str:
    """The innermost system error in few words."""
    seen: BaseException | None = error
    while seen is not None:
        if isinstance(seen, OSError) and seen.strerror and not isinstance(seen, ssl.SSLError):
            # asyncio words its own; the system's sentence is the one that people know
            known = os.strerror(seen.errno) if seen.errno is not None and seen.errno > 0 else seen.strerror
            return known.lower()
        seen = seen.__cause__ or seen.__context__
    text = str(error).strip().rstrip(".")
    if "WRONG_VERSION_NUMBER" in text:
        return "what listens there speaks no TLS (http:// instead of https://?)"
    if "All connection attempts failed" in text:
        return "connection refused"
    return text or type(error).__name__
