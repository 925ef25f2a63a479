"""Self-signed certificates, for development and closed networks; a real CA's take their place by --cert and --key."""

import datetime
import ipaddress
import os
import socket
from collections.abc import Sequence
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from ffrtmp.domain import addresses, errors

#: what browsers and Go accept at most for a leaf (CA/Browser Forum ballot SC22: 398 days) matters to nobody here: a private
#: certificate that ends in a year stops a farm in a year
_VALID = datetime.timedelta(days=3650)
_ALWAYS_HOSTS = ("localhost",)
_ALWAYS_IPS = ("127.0.0.1", "::1")


def generate(cert: Path, key: Path, *, hosts: Sequence[str] = (), ips: Sequence[str] = ()) -> None:
    """Write a P-256 key (0600) and a certificate for `hosts` and `ips`; localhost, 127.0.0.1 and ::1 are always in it.

    The certificate is its own CA, so that a client can trust the file itself. Raises InvalidInput.
    """
    names: list[x509.GeneralName] = [x509.DNSName(host) for host in dict.fromkeys((*_ALWAYS_HOSTS, *hosts))]
    for ip in dict.fromkeys((*_ALWAYS_IPS, *ips)):
        try:
            names.append(x509.IPAddress(ipaddress.ip_address(ip)))
        except ValueError:
            raise errors.InvalidInput(f"--cert-ips {ip!r} is not an IP address; names go into --cert-hosts.") from None
    private = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, (*hosts, "localhost")[0][:64])])
    now = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(private.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(hours=1))  # a clock that is a little behind still accepts it
        .not_valid_after(now + _VALID)
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(
            x509.KeyUsage(
                digital_signature=True,
                key_cert_sign=True,
                crl_sign=True,
                content_commitment=False,
                key_encipherment=False,
                data_encipherment=False,
                key_agreement=False,
                encipher_only=False,
                decipher_only=False,
            ),
            critical=True,
        )
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(private.public_key()), critical=False)
        .sign(private, hashes.SHA256())
    )
    pem = private.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    try:
        _write(key, pem, 0o600)
        _write(cert, certificate.public_bytes(serialization.Encoding.PEM), 0o644)
    except OSError as error:
        raise errors.InvalidInput(
            f"The certificate cannot be written to {cert} and {key} ({error.strerror}); choose others by --cert and --key."
        ) from error


def with_this_machine(hosts: Sequence[str] = (), ips: Sequence[str] = ()) -> tuple[list[str], list[str]]:
    """The hosts and IPs given, and those by which other machines reach this one."""
    import psutil

    own = socket.gethostname()
    full = socket.getfqdn(own)
    names = [own, full] if full != own and _resolves(full) else [own]
    named = [
        name for name in names if name.isascii() and not addresses.is_address(name) and not name.startswith("localhost")
    ]
    spelt = [
        each.address.partition("%")[0]
        for found in psutil.net_if_addrs().values()
        for each in found
        if each.family in (socket.AF_INET, socket.AF_INET6)
    ]
    # nobody names a link-local address in a URL: it means another machine on each link
    reached = [
        ip for ip in spelt if not (ipaddress.ip_address(ip).is_loopback or ipaddress.ip_address(ip).is_link_local)
    ]
    return list(dict.fromkeys((*hosts, *named))), list(dict.fromkeys((*ips, *reached)))


def _resolves(name: str) -> bool:
    try:
        return bool(socket.getaddrinfo(name, None))
    except OSError:
        return False


def ensure(cert: Path, key: Path, *, hosts: Sequence[str] = (), ips: Sequence[str] = ()) -> bool:
    """Generate both where neither is there, for `hosts`, `ips` and this machine. True: they were made. Raises InvalidInput when
    only one is there."""
    if cert.exists() and key.exists():
        return False
    if cert.exists() or key.exists():
        there, missing = (cert, key) if cert.exists() else (key, cert)
        raise errors.InvalidInput(
            f"{there} is there but {missing} is not; restore it, or remove {there} to make both anew."
        )
    hosts, ips = with_this_machine(hosts, ips)
    generate(cert, key, hosts=hosts, ips=ips)
    return True


def _write(path: Path, data: bytes, mode: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.{os.getpid()}")
    descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, mode)
    with os.fdopen(descriptor, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    part.rename(path)
