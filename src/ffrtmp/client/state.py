"""The user's state folder: where a master leaves its key and certificate for the programs of the same user on the same machine."""

import ipaddress
import os
import socket
from pathlib import Path

API_KEY_FILE = "api-key"
CERTIFICATE_FILE = "master.crt"


def folder() -> Path:
    """`$FFRTMP_STATE_DIR`, else the platform's place for a user's state. It need not exist yet."""
    chosen = os.environ.get("FFRTMP_STATE_DIR")
    if chosen:
        return Path(chosen)
    import platformdirs

    return platformdirs.user_state_path("ffrtmp", appauthor=False)


def read_api_key() -> str:
    """The key of the local master; "" when there is none or it is another user's."""
    try:
        return (folder() / API_KEY_FILE).read_text().strip()
    except (FileNotFoundError, PermissionError, NotADirectoryError):
        return ""


def write_api_key(key: str) -> Path:
    """Keep the key in a file that only this user can read (0600). Raises OSError."""
    return _write(API_KEY_FILE, key + "\n", 0o600)


def certificate() -> Path | None:
    """The local master's generated certificate, if it has one."""
    path = folder() / CERTIFICATE_FILE
    return path if path.is_file() and os.access(path, os.R_OK) else None


def write_certificate(pem: str) -> Path:
    """Keep the generated certificate where local clients trust it. Raises OSError."""
    return _write(CERTIFICATE_FILE, pem, 0o644)


def is_local(host: str) -> bool:
    """Whether `host` names this machine. The local master's key goes to no other: it would be a stranger's."""
    host = host.strip("[]").lower().rstrip(".")
    if host == "localhost" or host.endswith(".localhost") or host == socket.gethostname().lower():
        return True
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return False
    return address.is_loopback or address.is_unspecified


def _write(name: str, text: str, mode: int) -> Path:
    """Whole or not at all: written beside, then renamed."""
    path = folder() / name
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    part = path.with_name(f".{name}.{os.getpid()}")
    descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, mode)
    try:
        os.fchmod(descriptor, mode)
        os.write(descriptor, text.encode())
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    part.rename(path)
    return path
