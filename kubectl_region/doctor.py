"""The command `doctor`: checks what operator, console and user need, and says of each what to do.

What the operator has found stands in the RegionScheduler's conditions. Their messages are shown as they are.
"""

from __future__ import annotations

import sys
from dataclasses import asdict
from typing import TYPE_CHECKING

import click

from kubectl_region.checks import Check, Result, check_conditions, check_operator, check_rights, check_secret
from kubectl_region.console import Console
from kubectl_region.errors import PluginError
from kubectl_region.kubectl import KubectlError
from kubectl_region.options import output_option, with_cluster
from kubectl_region.output import paint, print_data, printable
from region_tick.contract import VERSION

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from kubectl_region.cluster import Cluster


@click.command()
@output_option()
@with_cluster
def doctor(cluster: Cluster, output: str | None) -> None:
    """Check what the operator, the console and you need.

    Exit code 0: nothing fails; 1: something does.
    """
    found = [(namespace, check) for namespace in cluster.namespaces for check in _checks(cluster, namespace)]
    if output:
        print_data({"checks": [{"namespace": namespace} | asdict(check) for namespace, check in found]}, output)
    else:
        for namespace, check in found:
            where = f"{namespace}: " if cluster.everywhere else ""
            click.echo(f"{paint(check.result.ljust(7))} {where}{printable(f'{check.name}: {check.text}')}")
            if check.remedy and check.result is not Result.OK:
                click.echo(f"        what to do: {printable(check.remedy)}")
    sys.exit(any(check.result is Result.FAIL for _, check in found))


def _checks(cluster: Cluster, namespace: str) -> Iterator[Check]:
    """Yield the checks of one namespace."""
    steps: list[tuple[str, Callable[[Cluster, str], Iterable[Check]]]] = [
        ("your rights", check_rights),
        ("operator", check_operator),
        ("RegionScheduler", check_conditions),
        ("Secret", check_secret),
        ("console", _check_console),
    ]
    for name, step in steps:
        try:
            yield from step(cluster, namespace)
        except KubectlError as error:
            yield Check(name, Result.UNKNOWN if error.reason == "Forbidden" else Result.FAIL, error.message)
        except PluginError as error:
            yield Check(name, Result.FAIL, error.message, error.remedy)


def _check_console(cluster: Cluster, namespace: str) -> Iterator[Check]:
    """Ask the console, and compare the releases."""
    overview = Console(cluster, namespace).get()
    versions = overview["versions"]
    told = f"console {versions['console']}, operator {versions['operator'] or 'unknown'}, plugin {VERSION}"
    same = {versions["console"], versions["operator"] or VERSION} == {VERSION}
    yield Check("console", Result.OK if same else Result.WARN, told, "" if same else "use one release of all three")
    yield Check("migrations", Result.OK, f"the database's schema is {versions['schemaRevision'] or 'unknown'}")
    forecast = overview["forecast"]
    if forecast["fits"] is not False:  # else the condition Overcommitted has said so
        yield Check("controller's rate", Result.OK if forecast["fits"] else Result.UNKNOWN, forecast["text"])
