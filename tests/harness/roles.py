"""Database roles as `region-operator grants` gives them their rights, one of each kind."""

from __future__ import annotations

import secrets
from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import psycopg

from region_operator.database.grants import Kind, write_grants

if TYPE_CHECKING:
    from collections.abc import Iterable


@dataclass(frozen=True, slots=True)
class Roles:
    """One role of each kind. The roles belong to the server, so their names are the test's own."""

    suffix: str = field(default_factory=lambda: secrets.token_hex(6))

    def name(self, kind: Kind) -> str:
        return f"region_tick_test_{kind}_{self.suffix}"

    def url(self, kind: Kind, database: str) -> str:
        """Return the URL of a database for a role. The role's password is its name."""
        name, place = self.name(kind), urlsplit(database).netloc.rpartition("@")[2]
        return urlsplit(database)._replace(netloc=f"{name}:{name}@{place}").geturl()

    def close_public_schema(self, database: str) -> None:
        """Take from everybody the right to make tables in `public`, which Postgres 14 gives by default."""
        with psycopg.connect(database) as connection:
            connection.execute("REVOKE CREATE ON SCHEMA public FROM PUBLIC")

    def grant(self, database: str, *, migrates: bool = False, kinds: Iterable[Kind] = Kind) -> list[str]:
        """Run the script in a database as its owner, and return the warnings."""
        script = write_grants(
            {kind: self.name(kind) for kind in kinds}, schema="public", table="region_index", migrates=migrates
        )
        warnings: list[str] = []
        with psycopg.connect(database, autocommit=True) as connection:
            connection.add_notice_handler(lambda notice: warnings.append(notice.message_primary or ""))
            connection.execute(script.encode())
        return warnings
