"""Reads the operator's settings from the environment. The settings of a RegionScheduler are in `scheduler`.

REGION_REFRESH_INTERVAL_MS, CONCURRENCY and DATABASE_URL have the names that users of the earlier worker know. The
earlier worker's NODE_ENV is ignored: NODE_ENV turned prepared statements off for poolers, and here they are always off.
"""

from __future__ import annotations

from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict

from region_operator.durations import format_duration
from region_tick.contract import DATABASE_SECRET, VERSION

SERVICE_ACCOUNT_NAMESPACE = Path("/var/run/secrets/kubernetes.io/serviceaccount/namespace")


class MissingDatabaseUrlError(Exception):
    """No database URL is configured. The message says what to create."""


def _own_namespace() -> str:
    return SERVICE_ACCOUNT_NAMESPACE.read_text().strip() if SERVICE_ACCOUNT_NAMESPACE.exists() else "region-tick"


def _read_url(file: Path) -> str:
    """Return the text of a file. What is not UTF-8 becomes surrogates, which DatabaseUrl refuses with a remedy."""
    return file.read_text(encoding="utf-8", errors="surrogateescape").strip()


def _upper(text: object) -> object:
    return text.upper() if isinstance(text, str) else text


class Settings(BaseSettings):
    """The settings of the process. A variable has the field's name in upper case; `namespace` is POD_NAMESPACE.

    Raises pydantic.ValidationError, which names the variable.
    """

    model_config = SettingsConfigDict(frozen=True, extra="ignore")

    database_url: SecretStr | None = None
    """The database's URL. In a cluster use DATABASE_URL_FILE instead: a mounted Secret may come late and change."""
    database_url_file: Path | None = None
    """A file that holds the database's URL, read anew at each reconcile. The file goes before DATABASE_URL."""
    database_secret: str = Field(default=DATABASE_SECRET, min_length=1)
    """The Secret from which DATABASE_URL_FILE is mounted: it is named to people where the file is missing."""
    database_direct_url: SecretStr | None = None
    """A URL straight to Postgres, where DATABASE_URL is a pooler's: for LISTEN and `region-operator migrate`."""
    database_direct_url_file: Path | None = None
    """A file that holds DATABASE_DIRECT_URL, read anew each time. The file goes before DATABASE_DIRECT_URL, and may be
    missing: then there is none.
    """
    region_refresh_interval_ms: int = Field(default=300_000, ge=1000)
    """How often the table is read although nothing told of a change: spec.refreshInterval, in milliseconds."""
    concurrency: int = Field(default=4, ge=1)
    """How many ticks may run at once: spec.concurrency."""
    migrate: bool = True
    """Whether the operator migrates the database. False: a person runs `region-operator migrate`."""
    retention_days: int = Field(default=30, ge=1, le=3650)
    """How many days job_run is kept. Older days are dropped."""
    item_retention_days: int = Field(default=0, ge=0, le=3650)
    """How many days a region's items are kept. Older items are deleted and do not come again. 0: for ever."""
    bootstrap: bool = True
    """Whether the operator makes RegionScheduler `default` from these settings, but never again after somebody has
    removed it. False: GitOps makes it."""
    namespace: str = Field(default_factory=_own_namespace, validation_alias="POD_NAMESPACE")
    """The namespace that the operator works in. Unset: the pod's own namespace, else `region-tick`."""
    installation: str = Field(default="", max_length=63, pattern="^([A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?)?$")
    """Who this installation is to others that read the same table. Unset: the uid of the namespace. Set it where a
    rebuilt or restored cluster must be the same installation; no two that are alive may have the same."""
    tick_image: str = f"region-tick/tick:{VERSION}"
    """The image of the ticks, where spec.tick.image is unset."""
    health_port: int = Field(default=8080, ge=0, le=65535)
    """The port of /healthz, /readyz and /metrics. 0: any free port, which the event `starting` names."""
    heartbeat_url: SecretStr = SecretStr("")
    """A URL that the leader asks by GET after each full look, at least at each refresh interval, so that somebody
    outside of the cluster notices when all is gone. Empty: none."""
    log_level: Annotated[Literal["DEBUG", "INFO", "WARNING", "ERROR"], BeforeValidator(_upper)] = "INFO"
    """The lowest level of the lines that the operator logs."""

    @property
    def item_retention(self) -> timedelta | None:
        """How long items are kept; None: for ever."""
        return timedelta(days=self.item_retention_days) if self.item_retention_days else None

    def read_database_url(self) -> str:
        """Return the present URL. The URL can change, because a mounted Secret may be created late and rotated.

        Raises MissingDatabaseUrlError.
        """
        if self.database_url_file is not None:
            try:
                return _read_url(self.database_url_file)
            except FileNotFoundError as error:
                raise MissingDatabaseUrlError(
                    f"{self.database_url_file} does not exist: create the database's Secret, e.g. kubectl create "
                    f"secret generic {self.database_secret} -n {self.namespace} "
                    "--from-literal=DATABASE_URL=postgresql://USER:PASSWORD@HOST/DATABASE"
                ) from error
        if self.database_url is not None:
            return self.database_url.get_secret_value()
        raise MissingDatabaseUrlError(
            "neither DATABASE_URL nor DATABASE_URL_FILE is set: set DATABASE_URL=postgresql://USER:PASSWORD@HOST/DATABASE"
        )

    def read_direct_url(self) -> str:
        """Return the URL for work that needs a session: DATABASE_URL may lead to a pooler.

        Raises MissingDatabaseUrlError.
        """
        with suppress(FileNotFoundError):
            if self.database_direct_url_file and (url := _read_url(self.database_direct_url_file)):
                return url
        return self.database_direct_url.get_secret_value() if self.database_direct_url else self.read_database_url()

    def bootstrap_spec(self) -> dict[str, Any]:
        """Return the part of the RegionScheduler's spec that the environment sets. An unset variable adds nothing."""
        spec: dict[str, Any] = {}
        if "region_refresh_interval_ms" in self.model_fields_set:
            spec["refreshInterval"] = format_duration(timedelta(milliseconds=self.region_refresh_interval_ms))
        if "concurrency" in self.model_fields_set:
            spec["concurrency"] = self.concurrency
        return spec
