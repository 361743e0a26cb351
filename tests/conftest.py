"""A real Postgres for the tests, and a database of its own for each; in CI, no test that is skipped for nothing."""

from __future__ import annotations

import asyncio
import gc
import os
import secrets
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from datetime import UTC, date, datetime
from functools import cache
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import psycopg
import pytest
from hypothesis import HealthCheck, settings
from kubernetes.aio import client

import devcluster.ports
from devcluster.postgres import Postgres
from devcluster.server import Server
from region_operator.database.engine import make_engine
from region_operator.database.grants import Kind
from region_operator.database.migrate import migrate
from region_operator.kube.api import Api
from region_tick.database_url import DatabaseUrl
from tests.harness.cluster import (
    KUBERNETES,
    control_plane,
    kubectl,
    kubernetes_version,
    operator_environment,
    run_operator,
)
from tests.harness.earlier_release import NO_HISTORY
from tests.harness.roles import Roles
from tests.harness.side_by_side import SideBySide, set_groups
from tests.harness.upstream import server

__all__ = [
    "control_plane",
    "kubectl",
    "kubernetes_version",
    "operator_environment",
    "run_operator",
    "server",
]  # fixtures

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator

    from sqlalchemy.ext.asyncio import AsyncEngine
    from xdist.remote import Producer


# How fast this machine is today is no property of the code.
settings.register_profile("region-tick", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("region-tick")

WORKERS_PER_CORE = 2
PORTS_PER_WORKER = 300

NO_DOCKER = "no Docker engine for kind"
NO_CURRENT_CLUSTER = "no cluster named for CLUSTER=current"
TIME_ZONE = "Asia/Kolkata"
"""Of the tests' databases: UTC+5:30, so that not even the minutes of the hour are those of UTC."""

POSTGRES = "Postgres"
"""The property of a test's report that has the version of Postgres that the test ran on."""

EXCUSES = (NO_DOCKER, NO_CURRENT_CLUSTER, NO_HISTORY)
"""Why a test may be skipped in CI: what a machine cannot give. Everything else could run, so it must."""


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Name the groups before the plugin that runs them looks at them."""
    set_groups(items)


def pytest_xdist_auto_num_workers() -> int:
    """Return how many tests run beside each other by `-n auto`: most of a test is waiting."""
    return WORKERS_PER_CORE * len(os.sched_getaffinity(0))


def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> SideBySide:
    return SideBySide(config, log)


def pytest_configure() -> None:
    """Have each worker look for free ports in a range of its own: until it is used, a free port is anybody's."""
    if worker := os.environ.get("PYTEST_XDIST_WORKER"):
        ports = devcluster.ports.PORTS
        first = int(worker.removeprefix("gw")) * PORTS_PER_WORKER % len(ports)
        devcluster.ports.PORTS = ports[first : first + PORTS_PER_WORKER]


_ran: set[str] = set()


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """Remember which tests have run."""
    _ran.add(report.nodeid)


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Fail a run that ends well although a test was lost, and a run of CI in which a test was skipped for no excuse."""
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    if reporter is None or session.config.option.collectonly:
        return
    if session.exitstatus == pytest.ExitCode.OK and len(_ran) < session.testscollected:
        reporter.write_line(f"\nonly {len(_ran)} of {session.testscollected} tests have run", red=True)
        session.exitstatus = pytest.ExitCode.TESTS_FAILED
    reasons = [report.longrepr[2] for report in reporter.stats.get("skipped", [])]
    inexcusable = [reason for reason in reasons if not reason.endswith(EXCUSES)]
    if inexcusable and os.environ.get("CI"):
        reporter.write_line(f"\nskipped although they could run here: {inexcusable}", red=True)
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say how many tests ran on which version of Postgres and of Kubernetes."""
    reports = terminalreporter.stats.get("passed", [])
    for kind in (POSTGRES, KUBERNETES):
        versions = Counter(value for report in reports for name, value in report.user_properties if name == kind)
        if versions:
            ran = ", ".join(f"{version} ({tests} tests)" for version, tests in sorted(versions.items()))
            terminalreporter.write_line(f"{kind}: {ran}")


@pytest.fixture(scope="session", autouse=True)
def collected_garbage() -> Iterator[None]:
    """What only a garbage collection finds, a coroutine that nobody awaited for example, fails the last test."""
    yield
    gc.collect()


@contextmanager
def new_database(server: Server, *, template: str = "template1") -> Iterator[str]:
    """Make a database with a name of its own, and drop it in the end. Its sessions are far from UTC."""
    name = f"region_tick_test_{secrets.token_hex(6)}"
    server.create_database(name, template=template)
    try:
        with psycopg.connect(DatabaseUrl.parse(server.url()).conninfo, autocommit=True) as connection:
            connection.execute(f"ALTER DATABASE {name} SET timezone = '{TIME_ZONE}'".encode())
        yield name
    finally:
        server.drop_database(name)


@pytest.fixture(scope="session")
def postgres() -> Iterator[Server]:
    """The server of DATABASE_URL, or else one of our own. It is shared: a test that stops a server starts another."""
    if url := os.environ.get("DATABASE_URL"):
        yield Server(DatabaseUrl.parse(url).conninfo)
    else:
        with Postgres.temporary() as server:
            yield server


@pytest.fixture(scope="session")
def postgres_version(postgres: Server) -> str:
    """The version of Postgres, such as 18.6."""
    with psycopg.connect(DatabaseUrl.parse(postgres.url()).conninfo) as connection:
        return version_of(connection)


def version_of(connection: psycopg.Connection) -> str:
    return (connection.info.parameter_status("server_version") or "unknown").split()[0]


@pytest.fixture(scope="session")
def migrated_templates(postgres: Server) -> Iterator[Callable[[], str]]:
    """Returns the name of a migrated database that others are copied from. A new day has a new one: what was migrated
    yesterday lacks the partition of the newest day, and is not what an installation looks like.
    """
    with ExitStack() as databases:

        @cache
        def made_on(_: date) -> str:
            name = databases.enter_context(new_database(postgres))
            with ThreadPoolExecutor(1) as elsewhere:  # a test's loop may run in this thread
                elsewhere.submit(asyncio.run, migrate(DatabaseUrl.parse(postgres.url(name)))).result()
            return name

        yield lambda: made_on(datetime.now(UTC).date())


@pytest.fixture
def stranger(postgres: Server) -> Iterator[Callable[[str], str]]:
    """A role without rights, as a function from a database's URL to the role's own; ask for it before the database."""
    name = f"region_tick_test_{secrets.token_hex(6)}"

    def url(database: str) -> str:
        place = urlsplit(database).netloc.rpartition("@")[2]
        return urlsplit(database)._replace(netloc=f"{name}:{name}@{place}").geturl()

    with psycopg.connect(DatabaseUrl.parse(postgres.url()).conninfo, autocommit=True) as connection:
        connection.execute(f"CREATE ROLE {name} LOGIN PASSWORD '{name}'".encode())
        yield url
        connection.execute(f"DROP ROLE {name}".encode())


@pytest.fixture
def roles(postgres: Server) -> Iterator[Roles]:
    """Roles of each kind, without rights yet; ask for them before the database."""
    roles = Roles()
    with psycopg.connect(DatabaseUrl.parse(postgres.url()).conninfo, autocommit=True) as connection:
        for kind in Kind:
            connection.execute(f"CREATE ROLE {roles.name(kind)} LOGIN PASSWORD '{roles.name(kind)}'".encode())
        yield roles
        for kind in Kind:
            connection.execute(f"DROP ROLE {roles.name(kind)}".encode())


@pytest.fixture
def empty_database(
    postgres: Server, postgres_version: str, record_property: Callable[[str, object], None]
) -> Iterator[str]:
    """The URL of a fresh database with nothing in it."""
    record_property(POSTGRES, postgres_version)
    with new_database(postgres) as name:
        yield postgres.url(name)


@pytest.fixture
def database(
    postgres: Server,
    migrated_templates: Callable[[], str],
    postgres_version: str,
    record_property: Callable[[str, object], None],
) -> Iterator[str]:
    """The URL of a fresh migrated database."""
    record_property(POSTGRES, postgres_version)
    with new_database(postgres, template=migrated_templates()) as name:
        yield postgres.url(name)


@pytest.fixture
async def api_of_nobody() -> AsyncIterator[Api]:
    """An Api without an API server: requests fail."""
    async with client.ApiClient(client.Configuration(host="http://127.0.0.1:1")) as api_client:
        yield Api(api_client)


@pytest.fixture
async def engine(database: str) -> AsyncIterator[AsyncEngine]:
    """An engine as the operator has it, on `database`."""
    engine = make_engine(DatabaseUrl.parse(database))
    yield engine
    await engine.dispose()
