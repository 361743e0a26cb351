"""Defines the command `region-operator`: run the operator, plan, forecast, reconcile once, or look for leftovers.

The commands that work on the database alone are left to `database_commands` and `grants`. Exit codes follow sysexits.h:

- 78: the environment is unusable.
- 69: the database or the API server does not answer.
- 75: a leader lost its Lease, or another process leads.
- 64: there is no such command or option.
- 1: the process was told to stop and hung (see `runtime.shutdown`).

`plan`, `forecast`, `leftovers` and `reconcile` have exit code 1 for every error. `plan` has exit code 2 if there are
changes to make, `forecast` if ticks will be lost, and `leftovers` if anything is left.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import sys
from typing import TYPE_CHECKING, TypeVar

import click
from kubernetes.aio.config import ConfigException

from region_operator import assembly
from region_operator.console.command import console_command
from region_operator.console.forecast_picture import draw_forecast
from region_operator.database_commands import migrate_command, retention_command
from region_operator.errors import explain
from region_operator.exits import give_up, read_settings
from region_operator.grants import grants_command
from region_operator.kube.api import ERRORS, ApiUnavailableError
from region_operator.kube.connect import connect
from region_operator.kube.leader_election import NotLeadingError, new_identity
from region_operator.leftovers import find_leftovers
from region_operator.plan.forecast_report import as_json, as_text
from region_operator.planning import MissingSchedulerError
from region_operator.runtime import shutdown
from region_operator.wiring import UnknownKopfError
from region_tick import logs
from region_tick.contract import VERSION

if TYPE_CHECKING:
    from collections.abc import Awaitable

    from region_operator.leftovers import Leftovers
    from region_operator.settings import Settings

log = logging.getLogger(__name__)

T = TypeVar("T")

EX_ERROR, EX_CHANGES, EX_TICKS_LOST = 1, 2, 2

click.UsageError.exit_code = os.EX_USAGE  # click's own code 2 has other meanings here


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(VERSION)
def main() -> None:
    """Keep one CronJob per active row of a Postgres table."""


main.add_command(grants_command)
main.add_command(console_command)


@main.command()
def run() -> None:
    """Run the operator until it is told to stop.

    Exit code 0: told to stop; 1: told to stop, and hung; 69: the API server does not answer as needed; 75: the
    Lease was lost; 78: the environment cannot be used.
    """
    settings = read_settings()
    logs.configure(settings.log_level)
    for noisy in ("kopf", "alembic"):  # what a migration did is the line `migrated`
        logging.getLogger(noisy).setLevel(logging.WARNING)
    try:
        with asyncio.Runner(loop_factory=shutdown.ShutdownLoop) as runner:
            runner.run(assembly.run_operator(settings))
    except ConfigException as error:
        give_up(os.EX_CONFIG, f"there is no cluster to work on: {error}")
    except UnknownKopfError as error:
        give_up(os.EX_CONFIG, str(error))
    except ERRORS as error:
        give_up(os.EX_UNAVAILABLE, f"the API server does not answer as needed: {error}")


@main.command("plan")
@click.option("--output", type=click.Choice(["text", "json"]), default="text", show_default=True)
def plan_command(output: str) -> None:
    """Say what a reconcile would do now, and change nothing.

    Exit code 0: nothing; 2: something, held deletions included; 1: it cannot be told.
    """
    report = _run_once(assembly.plan_once(read_settings(EX_ERROR)))
    click.echo(report.as_text() if output == "text" else json.dumps(report.as_json(), indent=2, ensure_ascii=False))
    sys.exit(EX_CHANGES if report else os.EX_OK)


@main.command("forecast")
@click.option("--output", type=click.Choice(["text", "json", "svg"]), default="text", show_default=True)
def forecast_command(output: str) -> None:
    """Say whether the ticks of the next 24 hours fit, and change nothing. `svg` is a picture.

    Exit code 0: they fit; 2: ticks will be lost; 1: it cannot be told.
    """
    forecast = _run_once(assembly.plan_once(read_settings(EX_ERROR))).forecast
    match output:
        case "svg":
            click.echo(draw_forecast(as_json(forecast), file_width="960"))
        case "json":
            click.echo(json.dumps(as_json(forecast), indent=2))
        case _:
            click.echo(as_text(forecast))
    sys.exit(os.EX_OK if forecast.fits else EX_TICKS_LOST)


@main.command("leftovers")
def leftovers_command() -> None:
    """Print the kubectl commands that remove what a deleted RegionScheduler left here, and change nothing.

    Exit code 0: nothing is left, or a RegionScheduler stands; 2: something; 1: it cannot be told.
    """
    leftovers = _run_once(_find_leftovers(read_settings(EX_ERROR)))
    click.echo(leftovers.as_script())
    sys.exit(EX_CHANGES if leftovers else os.EX_OK)


@main.command("reconcile")
@click.option("--once", "_", is_flag=True, required=True, help="Once, and not for ever as `run` does.")
def reconcile_command(_: bool) -> None:
    """Reconcile once. Exit code 0: done; 1: not done; 75: not tried, because another process leads."""
    settings = read_settings(EX_ERROR)
    logs.configure(settings.log_level)
    _run_once(assembly.reconcile_once(settings))


main.add_command(migrate_command)
main.add_command(retention_command)


async def _find_leftovers(settings: Settings) -> Leftovers:
    async with connect(new_identity()) as api:
        return await find_leftovers(api, settings.namespace)


def _run_once(work: Awaitable[T]) -> T:
    """Await `work` and return its result. If `work` fails for an outside reason, print the reason and exit."""

    async def until_told_to_stop() -> T:
        assembly.cancel_on_signals()
        return await work

    try:
        return asyncio.run(until_told_to_stop())
    except asyncio.CancelledError:
        give_up(EX_ERROR, "told to stop before the end")
    except NotLeadingError as error:
        give_up(os.EX_TEMPFAIL, f"{error}; it reconciles, so nothing was done here")
    except ApiUnavailableError as error:
        give_up(EX_ERROR, f"the API server cannot be reached: {error}")
    except (MissingSchedulerError, ConfigException) as error:
        give_up(EX_ERROR, str(error))
    except Exception as error:
        failure = explain(error)
        if failure is None:
            raise
        give_up(EX_ERROR, str(failure))
