import asyncio
import hashlib
import socket
import ssl
import stat
from pathlib import Path

import httpx
import msgspec
import psutil
import pytest
import trustme

from ffrtmp.client import state
from ffrtmp.domain import errors
from ffrtmp.master import app, certs
from ffrtmp.master.api import routes
from ffrtmp.master.auth import Access
from ffrtmp.master.settings import MasterSettings

from .conftest import Running, run_master


async def test_every_route_but_health_asks_for_a_key(keyed: Running) -> None:
    async with httpx.AsyncClient(base_url=keyed.ready.url, trust_env=False) as anyone:
        for route in routes.ROUTES:
            path = route.path.replace("{", "").replace("}", "")
            bare = await anyone.request(route.method, path)
            wrong = await anyone.request(route.method, path, headers={"X-API-Key": "guess"})
            if route.access is Access.PUBLIC:
                assert bare.status_code == 200
            else:
                assert (bare.status_code, wrong.status_code) == (401, 401), route.path
                if route.method != "HEAD":
                    assert "Missing Authorization header" in bare.json()["detail"]


async def test_both_headers_carry_the_key(keyed: Running) -> None:
    async with httpx.AsyncClient(base_url=keyed.ready.url, trust_env=False) as client:
        for headers in ({"Authorization": "Bearer the-admin-key"}, {"X-API-Key": "the-admin-key"}):
            assert (await client.get("/jobs", headers=headers)).status_code == 200


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 201),
        ({"Host": "localhost:8080"}, 201),
        ({"Host": "[::1]:1"}, 201),
        ({"Host": "127.0.0.1", "Origin": "http://127.0.0.1"}, 201),
        ({"Sec-Fetch-Site": "same-origin"}, 201),
        ({"Host": "rebound.example"}, 403),
        ({"Host": "127.0.0.1.rebound.example:8080"}, 403),
        ({"Host": "0.0.0.0:8080"}, 403),
        ({"Host": "[::1"}, 403),
        ({"Host": "localhost@rebound.example"}, 403),
        ({"Origin": "http://evil.example"}, 403),
        ({"Origin": "null"}, 403),
        ({"Host": "localhost", "Origin": "http://localhost:3000"}, 403),
        ({"Sec-Fetch-Site": "cross-site"}, 403),
    ],
)
async def test_without_a_key_no_web_page_gets_in(master: Running, headers: dict[str, str], status: int) -> None:
    """What a browser sends for a page of another site: by a form post, or by a name that leads to 127.0.0.1."""
    form = {"Content-Type": "text/plain", **headers}
    answer = await master.client.post("/jobs", content=b'{"scenario": "720p30-h264"}', headers=form)
    assert answer.status_code == status
    assert (await master.client.get("/health", headers=headers)).status_code == 200


async def test_with_a_key_the_name_does_not_matter(keyed: Running) -> None:
    assert (await keyed.client.get("/jobs", headers={"Host": "farm.example"})).status_code == 200


async def test_a_nodes_credential_touches_only_its_own_attempts(keyed: Running) -> None:
    mine, other = await keyed.node("mine"), await keyed.node("other")
    await keyed.submit()
    attempt = (await mine.lease())["grants"][0]["attempt_id"]
    await keyed.submit()
    keyed.client.headers["Authorization"] = f"Bearer {other.credential}"
    await other.beat()
    for job in (1, 2):
        await keyed.send("GET", f"/jobs/{job}", expect=403)
    await mine.lease(expect=403)
    await mine.beat(expect=403)
    await mine.report(attempt, "complete", expect=403, result={})
    await other.report(attempt, "complete", expect=409, result={})
    for method, path in (("GET", "/jobs"), ("POST", "/jobs/1/cancel"), ("DELETE", f"/nodes/{mine.id}")):
        await keyed.send(method, path, expect=403)
    body = {"name": "mine", "incarnation": "x", "slots": 1, "capabilities": {}}
    await keyed.send("POST", "/nodes/register", expect=403, json=body)
    keyed.client.headers["Authorization"] = f"Bearer {mine.credential}"
    await keyed.send("GET", "/jobs/1")
    assert (await mine.report(attempt, "complete", result={}))["job_state"] == "completed"


async def test_a_new_registration_ends_the_old_credential(keyed: Running) -> None:
    old = await keyed.node()
    await keyed.node(incarnation="a-2")
    keyed.client.headers["Authorization"] = f"Bearer {old.credential}"
    await old.beat(expect=401)


async def test_the_first_start_makes_a_key_that_only_this_user_reads(
    settings: MasterSettings, capsys: pytest.CaptureFixture[str]
) -> None:
    changed = msgspec.structs.replace(settings, no_auth=False)
    keys = []
    for _ in range(2):
        async for running in run_master(changed):
            keys.append(running.ready.api_key)
            assert (await running.send("GET", "/jobs"))["count"] == 0
    assert keys[0] == keys[1] == state.read_api_key()
    kept = state.folder() / state.API_KEY_FILE
    assert stat.S_IMODE(kept.stat().st_mode) == 0o600
    assert capsys.readouterr().err.count(keys[0]) == 1


async def test_tls_makes_a_certificate_that_local_programs_trust(settings: MasterSettings, tmp_path: Path) -> None:
    changed = msgspec.structs.replace(settings, tls=True, cert=tmp_path / "c/m.crt", key=tmp_path / "c/m.key")
    async for running in run_master(changed):
        assert running.ready.url.startswith("https://")
        assert (await running.send("GET", "/health"))["status"] == "ok"
        assert state.certificate() is not None
    assert stat.S_IMODE((tmp_path / "c/m.key").stat().st_mode) == 0o600


async def test_mtls_asks_for_a_certificate_of_the_ca(settings: MasterSettings, tmp_path: Path) -> None:
    authority, stranger = trustme.CA(), trustme.CA()
    authority.cert_pem.write_to_path(tmp_path / "ca.crt")
    certs.generate(tmp_path / "m.crt", tmp_path / "m.key")
    changed = msgspec.structs.replace(
        settings, tls=True, mtls=True, ca=tmp_path / "ca.crt", cert=tmp_path / "m.crt", key=tmp_path / "m.key"
    )
    async for running in run_master(changed):
        for issuer in (authority, stranger, None):
            context = ssl.create_default_context(cafile=str(tmp_path / "m.crt"))
            if issuer is not None:
                issuer.issue_cert("agent.example").configure_cert(context)
            async with httpx.AsyncClient(base_url=running.ready.url, verify=context, trust_env=False) as client:
                if issuer is authority:
                    assert (await client.get("/health")).status_code == 200
                else:
                    with pytest.raises(httpx.TransportError):
                        await client.get("/health")


def test_a_generated_certificate_names_the_hosts_asked_for(tmp_path: Path) -> None:
    from cryptography import x509

    certs.generate(tmp_path / "a.crt", tmp_path / "a.key", hosts=["farm.example"], ips=["192.0.2.7"])
    found = x509.load_pem_x509_certificate((tmp_path / "a.crt").read_bytes())
    names = found.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert set(names.get_values_for_type(x509.DNSName)) == {"localhost", "farm.example"}
    assert {str(ip) for ip in names.get_values_for_type(x509.IPAddress)} == {"127.0.0.1", "::1", "192.0.2.7"}
    with pytest.raises(errors.InvalidInput, match="--cert-ips 'farm'"):
        certs.generate(tmp_path / "b.crt", tmp_path / "b.key", ips=["farm"])
    assert not (tmp_path / "b.key").exists()


def test_a_certificate_made_by_itself_is_good_for_other_machines(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from cryptography import x509

    monkeypatch.setattr("socket.gethostname", lambda: "farmer")
    certs.ensure(tmp_path / "a.crt", tmp_path / "a.key", hosts=["farm.example"])
    found = x509.load_pem_x509_certificate((tmp_path / "a.crt").read_bytes())
    names = found.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert {"localhost", "farmer", "farm.example"} <= set(names.get_values_for_type(x509.DNSName))
    own = {
        each.address
        for addresses in psutil.net_if_addrs().values()
        for each in addresses
        if each.family == socket.AF_INET
    }
    assert own <= {str(ip) for ip in names.get_values_for_type(x509.IPAddress)}


def test_half_a_pair_is_never_overwritten(tmp_path: Path) -> None:
    (tmp_path / "a.key").write_text("precious")
    with pytest.raises(errors.InvalidInput, match="restore it, or remove"):
        certs.ensure(tmp_path / "a.crt", tmp_path / "a.key")
    assert (tmp_path / "a.key").read_text() == "precious"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"host": "0.0.0.0"}, "--no-auth with --host 0.0.0.0"),
        ({"db_type": "mysql"}, "choose sqlite or postgres"),
        ({"db_type": "postgres"}, "needs --db-dsn"),
        ({"port": 99999}, "--port 99999"),
        ({"mtls": True}, "--mtls needs TLS"),
        ({"max_retries": -1}, "--max-retries -1"),
        ({"retention_seconds": 0}, "--retention"),
        ({"ttl_seconds": 2.9}, "--lease-time 2.9s is too short"),
    ],
)
async def test_settings_that_cannot_work_are_named(
    settings: MasterSettings, changes: dict[str, object], message: str
) -> None:
    with pytest.raises(errors.InvalidInput, match=message):
        await app.run(msgspec.structs.replace(settings, **changes))


async def test_a_second_master_on_the_same_file_is_refused(master: Running) -> None:
    with pytest.raises(errors.FfrtmpError, match=str(master.settings.db)):
        await app.run(master.settings)
    assert (await master.send("GET", "/health"))["status"] == "ok"


async def test_a_port_in_use_names_the_flag(master: Running, tmp_path: Path) -> None:
    taken = int(master.ready.url.rsplit(":", 1)[1])
    with pytest.raises(errors.InvalidInput, match="choose another --port"):
        await asyncio.wait_for(
            app.run(msgspec.structs.replace(master.settings, db=tmp_path / "other.db", port=taken)), 10
        )


async def test_a_nodes_credential_reads_only_the_inputs_of_its_jobs(keyed: Running) -> None:
    mine, other = await keyed.node("mine"), await keyed.node("other")
    made = {"name": "in.mp4", "size_bytes": 3, "sha256": hashlib.sha256(b"abc").hexdigest()}
    upload = (await keyed.send("POST", "/uploads", expect=201, json=made))["id"]
    await keyed.send("PUT", f"/uploads/{upload}", content=b"abc", headers={"Upload-Offset": "0"})
    await keyed.submit(parameters={"input": f"upload:{upload}"})
    keyed.client.headers["Authorization"] = f"Bearer {mine.credential}"
    await keyed.send("GET", f"/uploads/{upload}/content", expect=403)
    await mine.lease()
    assert (await keyed.client.get(f"/uploads/{upload}/content")).content == b"abc"
    keyed.client.headers["Authorization"] = f"Bearer {other.credential}"
    await keyed.send("GET", f"/uploads/{upload}/content", expect=403)
