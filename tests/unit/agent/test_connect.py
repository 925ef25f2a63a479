"""What an agent does about a master that it cannot trust."""

import asyncio
import random
import ssl

import pytest
import trustme

from ffrtmp.agent import app
from ffrtmp.agent.settings import AgentSettings
from ffrtmp.domain import errors


async def test_a_certificate_for_another_name_ends_the_agent_as_it_ends_a_client(tmp_path, monkeypatch):
    monkeypatch.setenv("FFRTMP_STATE_DIR", str(tmp_path))
    authority = trustme.CA()
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("elsewhere.example").configure_cert(context)
    async with await asyncio.start_server(
        lambda _reader, writer: writer.close(), "127.0.0.1", 0, ssl=context
    ) as server:
        port = server.sockets[0].getsockname()[1]
        settings = AgentSettings(register=True, masters=(f"https://127.0.0.1:{port}",), ca=tmp_path / "ca.pem")
        with pytest.raises(errors.Unavailable, match=r"--cert-ips 127\.0\.0\.1"):  # exit code 3
            await app._connect(settings, asyncio.Event(), random.Random())
