"""Which addresses a job may make a node connect to.

What a name stands for is asked once, judged, and connected to: a name server cannot give another answer in between.
"""

import asyncio
import ipaddress
import socket

from ffrtmp.domain.errors import Code, TaskError


async def addresses(host: str, port: int, *, private: bool) -> list[str]:
    """The addresses of a host. `private`: those of this machine and of its own networks are allowed.
    Raises TaskError: target_unreachable, target_forbidden."""
    try:
        found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (socket.gaierror, UnicodeError) as error:
        why = error.strerror if isinstance(error, socket.gaierror) else "it is no name"
        raise TaskError(Code.TARGET_UNREACHABLE, f"The host {host} is not known: {why}") from None
    known = list(dict.fromkeys(str(address[4][0]) for address in found))
    for one in known:
        if why := forbidden(one, private=private):
            named = "" if one == host else f" ({host})"
            raise TaskError(Code.TARGET_FORBIDDEN, f"{one}{named} is {why}")
    return known


def forbidden(address: str, *, private: bool) -> str | None:
    """Why nothing is sent to an IP address; None: it may be."""
    found = ipaddress.ip_address(address.partition("%")[0])
    found = getattr(found, "ipv4_mapped", None) or found
    if found.is_multicast or found.is_unspecified or found.is_link_local:
        return "no address of a server: a multicast, link-local or unspecified one, which is never streamed to"
    if private or found.is_global:
        return None
    what = "this machine itself" if found.is_loopback else "in a private network"
    return f"{what}, where this node streams only if its agent was started with --private-targets"
