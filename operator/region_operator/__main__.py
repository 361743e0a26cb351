"""The command `region-operator`: run the operator, or migrate the database with other rights than the operator has.

Exit codes are those of sysexits.h: 78 for an environment that cannot be used, 69 for a database or API server that does
not answer, 75 for a leader that lost its Lease.
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import sys
from contextlib import suppress
from typing import NoReturn

import click
from pydantic import ValidationError

from region_operator import health, wiring
from region_operator.api import ERRORS, connect
from region_operator.bootstrap import bootstrap
from region_operator.database.migrate import migrate
from region_operator.database.store import Store
from region_operator.leader import Leader, new_identity
from region_operator.listen import listen
from region_operator.pace import Pace
from region_operator.reconcile import Reconciler
from region_operator.settings import MissingDatabaseUrlError, Settings
from region_tick import logs
from region_tick.contract import VERSION
from region_tick.database_url import DatabaseUrl, DatabaseUrlError

log = logging.getLogger(__name__)


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(VERSION)
def main() -> None:
    """Keep one CronJob per active row of a Postgres table."""


@main.command()
def run() -> None:
    """Run the operator until it is told to stop."""
    settings = _read_settings()
    logs.configure(settings.log_level)
    logging.getLogger("kopf").setLevel(logging.WARNING)
    try:
        asyncio.run(_run(settings))
    except ERRORS as error:
        _give_up(os.EX_UNAVAILABLE, f"the API server does not answer as needed: {error}")


@main.command("migrate")
def migrate_command() -> None:
    """Bring the database's schema to this release."""
    settings = _read_settings()
    try:
        report = asyncio.run(migrate(DatabaseUrl.parse(settings.read_direct_url())))
    except (MissingDatabaseUrlError, DatabaseUrlError) as error:
        _give_up(os.EX_CONFIG, str(error))
    click.echo(report)


async def _run(settings: Settings) -> None:
    state = health.Health()
    server = health.serve(state, settings.health_port)
    identity = new_identity()
    log.info(
        "starting",
        extra={
            "namespace": settings.namespace,
            "identity": identity,
            "tick_image": settings.tick_image,
            "health_port": server.server_port,
        },
    )
    beating = asyncio.create_task(state.beat())
    _cancel_on_signals()
    with suppress(asyncio.CancelledError):
        async with connect(identity) as api:
            leader = Leader(api, state, namespace=settings.namespace, identity=identity)
            async with leader.leading():
                await _lead(settings, state, leader)
    beating.cancel()
    server.shutdown()
    log.info("stopped")


async def _lead(settings: Settings, state: health.Health, leader: Leader) -> None:
    pace = Pace()
    async with (
        connect(leader.identity, time_left=leader.time_left) as api,
        Store(settings.read_database_url, may_migrate=settings.migrate) as store,
    ):
        if settings.bootstrap:
            await bootstrap(api, settings.namespace, settings.bootstrap_spec())
        listening = asyncio.create_task(listen(settings.read_direct_url, pace.wake))
        try:
            reconciler = Reconciler(api, store, tick_image=settings.tick_image)
            await wiring.operate(settings.namespace, wiring.Memo(reconciler, pace, state))
        finally:
            listening.cancel()
            with suppress(asyncio.CancelledError):
                await listening


def _cancel_on_signals() -> None:
    """Let SIGTERM and SIGINT cancel this task wherever it waits, until kopf takes them over."""
    task = asyncio.current_task()
    assert task is not None  # noqa: S101 - called in one
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, task.cancel)


def _read_settings() -> Settings:
    try:
        return Settings()
    except ValidationError as error:
        problems = "; ".join(f"{'.'.join(map(str, item['loc'])).upper()}: {item['msg']}" for item in error.errors())
        _give_up(os.EX_CONFIG, f"the environment cannot be used: {problems}")


def _give_up(code: int, message: str) -> NoReturn:
    click.echo(f"region-operator: {message}", err=True)
    sys.exit(code)


if __name__ == "__main__":
    main()
