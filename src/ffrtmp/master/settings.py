"""What a master is started with; `docs/cli.md` explains each setting."""

from pathlib import Path

import msgspec

from ffrtmp.domain import addresses, errors

_MOST_WORKERS = 1024


class MasterSettings(msgspec.Struct, frozen=True, kw_only=True):
    host: str = "0.0.0.0"  # noqa: S104 - a master serves its network; without a key it refuses to (see `check`)
    port: int = 8080
    db: Path = Path("master.db")
    db_type: str = "sqlite"
    db_dsn: str = ""
    workers: int | str = 1  #: processes that serve the same port; or "auto"
    tls: bool = True
    cert: Path = Path("certs/master.crt")
    key: Path = Path("certs/master.key")
    ca: Path | None = None
    mtls: bool = False
    api_key: str = ""
    no_auth: bool = False
    metrics: bool = True
    metrics_port: int = 9090
    presets: tuple[Path, ...] = ()  #: folders with the operator's own
    max_retries: int = 3
    scheduler_interval_seconds: float = 5.0
    retention_seconds: float = 7 * 86400.0
    artifacts: Path | None = None  #: None: `artifacts` beside the database, or in the working directory
    #: how long a job that no registered node can run waits for one before it is rejected
    unsatisfiable_grace_seconds: float = 60.0
    ttl_seconds: float = 30.0  #: lease time of ffrtmp agents
    stop_grace_seconds: float = 10.0
    cert_hosts: tuple[str, ...] = ()
    cert_ips: tuple[str, ...] = ()
    log_level: str = "info"
    log_format: str | None = None

    @property
    def postgres(self) -> bool:
        return bool(self.db_dsn) or self.db_type == "postgres"

    @property
    def artifacts_dir(self) -> Path:
        if self.artifacts is not None:
            return self.artifacts
        return Path("artifacts") if self.postgres else self.db.parent / "artifacts"

    def check(self) -> None:
        """Raises InvalidInput naming the flag, its value and what to do."""
        if self.db_type not in ("sqlite", "postgres"):
            raise errors.InvalidInput(f"--db-type {self.db_type} is not known; choose sqlite or postgres.")
        if self.db_type == "postgres" and not self.db_dsn:
            raise errors.InvalidInput(
                "--db-type postgres needs --db-dsn (or DATABASE_DSN), like postgresql://user@host/ffrtmp."
            )
        if self.workers != "auto" and not (isinstance(self.workers, int) and 1 <= self.workers <= _MOST_WORKERS):
            raise errors.InvalidInput(f"--workers {self.workers} must be auto, or 1 to {_MOST_WORKERS}.")
        if self.workers not in (1, "auto") and not self.postgres:
            raise errors.InvalidInput(
                f"--workers {self.workers} needs PostgreSQL: one process serves an SQLite file. Give --db-dsn, or drop --workers."
            )
        for flag, port in (("--port", self.port), ("--metrics-port", self.metrics_port)):
            if not 0 <= port <= 65535:
                raise errors.InvalidInput(f"{flag} {port} is not a port; choose 1 to 65535 (0: any free one).")
        if self.max_retries < 0:
            raise errors.InvalidInput(f"--max-retries {self.max_retries} is negative; 0 turns retries off.")
        if self.scheduler_interval_seconds <= 0:
            raise errors.InvalidInput("--scheduler-interval must be above 0 seconds.")
        if self.retention_seconds <= 0:
            raise errors.InvalidInput("--retention must be above 0; give a time such as 7d.")
        if self.ttl_seconds < 3:
            # an agent beats every third of it; a shorter lease would be lost to a slow disk (PGQueuer #323)
            raise errors.InvalidInput(f"--lease-time {self.ttl_seconds:g}s is too short; give at least 3s.")
        if self.unsatisfiable_grace_seconds < 0:
            raise errors.InvalidInput("--unsatisfiable-grace is negative; 0 rejects at once.")
        if self.mtls and not self.tls:
            raise errors.InvalidInput("--mtls needs TLS; drop --no-tls.")
        if self.mtls and self.ca is None:
            raise errors.InvalidInput("--mtls needs --ca: the certificates that client certificates must chain to.")
        if self.no_auth and not addresses.is_loopback(self.host):
            raise errors.InvalidInput(
                f"--no-auth with --host {self.host} would let anyone on the network run jobs; add --host 127.0.0.1."
            )
