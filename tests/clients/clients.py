"""The clients that tests try, by name. To try another client, add it here."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from tests.clients.alchemy import sqlalchemy_client
from tests.clients.django import django_client
from tests.clients.prisma import prisma_client
from tests.clients.psql import psql_client
from tests.harness.pgbouncer import PgBouncer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager

    from tests.clients.edits import Client

    ClientOf = Callable[[str], AbstractContextManager[Client]]


def _pooled(client_of: ClientOf) -> ClientOf:
    """Put a PgBouncer in transaction mode between a client and its database."""

    @contextmanager
    def pooled(url: str) -> Iterator[Client]:
        with PgBouncer.before(url) as pooler, client_of(pooler.url) as client:
            yield client

    return pooled


CLIENTS: dict[str, ClientOf] = {
    "Prisma": prisma_client,
    "Prisma behind PgBouncer": _pooled(prisma_client),
    "Django": django_client,
    "SQLAlchemy": sqlalchemy_client,
    "SQLAlchemy behind PgBouncer": _pooled(sqlalchemy_client),
    "psql": psql_client,
}
