"""HTTP for the client: trust, tries with jitter, and errors that name the address and the cause."""

import asyncio
import os
import random
import ssl
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import urlsplit

import msgspec

from ffrtmp.client import state
from ffrtmp.domain import addresses, errors
from ffrtmp.protocol import problems

if TYPE_CHECKING:
    import httpx

T = TypeVar("T")

# httpx brings the command line of its own, and with it rich and pygments: 0.3 s of CPU and 7 MB for what nobody here calls. It does
# without when that part cannot be imported.
sys.modules.setdefault("httpx._main", None)  # type: ignore[arg-type]

#: answers that mean "not now": the request did not reach the master's logic, or it is overloaded
_AWAY = frozenset({429, 502, 503, 504})
_FIRST_BACKOFF_SECONDS = 0.2
_LONGEST_BACKOFF_SECONDS = 5.0
_LONGEST_RETRY_AFTER_SECONDS = 60.0
#: the code of an answer by some other server
NOT_A_MASTER = "not_a_master"


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
    """One base URL. `tries` > 1 only for calls that may be repeated."""

    def __init__(
        self,
        base_url: str,
        *,
        api_key: str,
        trust: Trust,
        timeout: float,
        rng: random.Random,
        transport: "httpx.AsyncBaseTransport | None" = None,
        key_from: str = "",
    ) -> None:
        import httpx

        self.base_url = base_url.rstrip("/")
        self.api_key = api_key
        self.key_from = key_from
        self.rng = rng
        self._timeout = timeout
        verify: ssl.SSLContext | bool = trust.context() if self.base_url.startswith("https:") else False
        self.raw = httpx.AsyncClient(
            base_url=self.base_url,
            verify=verify,
            timeout=httpx.Timeout(timeout, connect=min(timeout, 10.0)),
            # below uvicorn's 5 s, so that we rarely send on a connection that the server is closing
            limits=httpx.Limits(max_connections=64, keepalive_expiry=3.0),
            transport=transport,
            trust_env=False,
            follow_redirects=False,
        )

    async def aclose(self) -> None:
        await self.raw.aclose()

    def headers(self, more: Mapping[str, str] | None = None, *, api_key: str | None = None) -> dict[str, str]:
        key = self.api_key if api_key is None else api_key
        return {"Authorization": f"Bearer {key}", **(more or {})} if key else dict(more or {})

    async def call(
        self,
        method: str,
        path: str,
        answer: type[T],
        *,
        body: Any = None,
        params: Any = None,
        headers: Mapping[str, str] | None = None,
        api_key: str | None = None,
        timeout: float | None = None,
        tries: int = 1,
    ) -> T:
        """Send, and read the answer as `answer`. Raises the domain error that a problem document tells of; Unavailable when
        nothing usable came back."""
        content = None if body is None else msgspec.json.encode(body)
        extra = {**({"Content-Type": "application/json"} if content is not None else {}), **(headers or {})}
        for attempt in range(1, tries + 1):
            try:
                reply = await self._once(method, path, content, params, self.headers(extra, api_key=api_key), timeout)
                return self._read(reply, answer)
            except errors.Unavailable as error:
                if attempt == tries or error.code == NOT_A_MASTER:
                    raise
                await asyncio.sleep(backoff(attempt, error.retry_after_seconds, self.rng))
        raise AssertionError("tries is at least 1")

    async def _once(
        self,
        method: str,
        path: str,
        content: bytes | None,
        params: Any,
        headers: dict[str, str],
        timeout: float | None,
    ) -> "httpx.Response":
        import httpx

        try:
            reply = await self.raw.request(
                method,
                path,
                content=content,
                params=params,
                headers=headers,
                timeout=httpx.USE_CLIENT_DEFAULT if timeout is None else timeout,
            )
        except httpx.HTTPError as error:
            raise unreachable(self.base_url, error) from error
        if reply.status_code >= 400:
            raise self.refusal(reply, reply.content)
        return reply

    def refusal(self, reply: "httpx.Response", body: bytes) -> errors.FfrtmpError:
        """The error of an answer with a status of 400 or more, in the words of who asked."""
        error = refusal(reply, body)
        # a slash in the name of a job or node makes a path that no master has
        if error.code == problems.NO_ROUTE and b"%2F" not in reply.request.url.raw_path:
            return errors.Unavailable(
                f"What answers at {self.base_url} is not a master's API, or that of another version: it has no"
                f" {reply.request.url.path}. Name the address that the master says at its start with --master.",
                code=NOT_A_MASTER,
            )
        missing = not self.api_key and error.code == "missing_authorization"
        if isinstance(error, errors.Unauthenticated) and (missing or (self.api_key and self.key_from)):
            return errors.Unauthenticated(
                _no_key(self.base_url, self.key_from if self.api_key else ""), code=error.code
            )
        return error

    def _read(self, reply: "httpx.Response", answer: type[T]) -> T:
        if answer is type(None):
            return None
        try:
            return msgspec.json.decode(reply.content, type=answer)
        except (msgspec.DecodeError, msgspec.ValidationError) as error:
            raise errors.FfrtmpError(
                f"{self.base_url} answered something that is not {answer.__name__} ({error})."
                " Is this an ffrtmp master, and of the same version?",
                code="unexpected_answer",
            ) from error


def backoff(attempt: int, retry_after: float | None, rng: random.Random) -> float:
    """Seconds to wait after the `attempt`-th failure: full jitter, and never less than the server asked for."""
    draw = rng.uniform(0.0, min(_LONGEST_BACKOFF_SECONDS, _FIRST_BACKOFF_SECONDS * 2.0 ** min(attempt - 1, 16)))
    return draw + min(retry_after or 0.0, _LONGEST_RETRY_AFTER_SECONDS)


def refusal(reply: "httpx.Response", body: bytes) -> errors.FfrtmpError:
    """The error of an answer with a status of 400 or more."""
    error = problems.to_error(reply.status_code, body)
    if reply.status_code in _AWAY:
        asked = reply.headers.get("Retry-After", "")
        seconds = float(asked) if asked.isdigit() else None
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
