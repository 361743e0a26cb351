"""The options that every command has, as kubectl has them: which cluster, which namespace, how long to wait.

kubectl takes no flags before a plugin's name, so each command has them itself.
"""

from __future__ import annotations

import re
import sys
from contextlib import ExitStack
from functools import wraps
from typing import TYPE_CHECKING, Any, Concatenate, ParamSpec

import click

from kubectl_region.cluster import Cluster
from kubectl_region.kubectl import LEEWAY_SECONDS, TIMEOUT_FLAG, Kubectl

if TYPE_CHECKING:
    from collections.abc import Callable

P = ParamSpec("P")

_DURATION = re.compile(r"(?P<number>\d+)(?P<unit>|s|m|h)", re.ASCII)
_UNITS = {"": 1, "s": 1, "m": 60, "h": 3600}


class Timeout(click.ParamType[int]):
    """A duration as kubectl's --request-timeout takes it: 30s, 2m, or seconds; 0 is no limit."""

    name = "duration"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """Return seconds."""
        match = _DURATION.fullmatch(str(value))
        if match is None:
            self.fail(f'"{value}" is no duration such as 30s or 2m', param, ctx)
        return int(match["number"]) * _UNITS[match["unit"]]


def with_cluster(function: Callable[Concatenate[Cluster, P], None]) -> Callable[..., None]:
    """Give a command the options of every command, and call it with the cluster that they name."""

    @click.option("-n", "--namespace", help="The namespace. Default: that of the context, or else region-tick.")
    @click.option("-A", "--all-namespaces", is_flag=True, help="All namespaces that have a RegionScheduler.")
    @click.option("--context", help="The context of the kubeconfig.")
    @click.option("--kubeconfig", help="The file of the kubeconfig.")
    @click.option(
        "--request-timeout", type=Timeout(), default="30s", show_default=True, help="Of one request; 0: none."
    )
    @wraps(function)
    def command(
        *args: Any,
        namespace: str | None,
        all_namespaces: bool,
        context: str | None,
        kubeconfig: str | None,
        request_timeout: int,
        **kwargs: Any,
    ) -> None:
        flags = [f"{TIMEOUT_FLAG}{request_timeout}s"]
        flags += [f"--context={context}"] * bool(context) + [f"--kubeconfig={kubeconfig}"] * bool(kubeconfig)
        limit = request_timeout + LEEWAY_SECONDS if request_timeout else None
        kubectl = Kubectl(tuple(flags), limit)
        with ExitStack() as at_end:
            cluster = Cluster(kubectl, namespace, everywhere=all_namespaces, at_end=at_end)
            function(cluster, *args, **kwargs)
        if not cluster.is_whole:
            sys.exit(1)

    return command


def output_option(*others: str) -> Callable[[Callable[P, None]], Callable[P, None]]:
    """Give a command `-o`: json and yaml, and perhaps others."""
    return click.option(
        "-o", "--output", type=click.Choice(["json", "yaml", *others]), help="Print in this form, not as text."
    )
