"""Defines the command `region-operator console`, which serves the console until it is told to stop."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import socket

import click
from aiohttp import web
from kubernetes.aio.config import ConfigException

from region_operator.console.cluster import Cluster
from region_operator.console.server import LONG_PATH, make_app
from region_operator.console.settings import ConsoleSettings
from region_operator.console.sight import Sight
from region_operator.exits import give_up, read_settings
from region_operator.kube.connect import connect
from region_operator.kube.leader_election import new_identity
from region_operator.runtime.garbage import freeze_memory
from region_tick import logs

log = logging.getLogger(__name__)

STOP_SECONDS = 5.0
"""How long answers under way may take after the console was told to stop."""


@click.command("console")
def console_command() -> None:
    """Serve a read-only page about all regions, and the same as JSON, until it is told to stop.

    Exit code 0: told to stop; 69: the port is taken; 78: the environment cannot be used.
    """
    settings = read_settings(kind=ConsoleSettings)
    logs.configure(settings.log_level)
    try:
        asyncio.run(_serve(settings))
    except ConfigException as error:
        give_up(os.EX_CONFIG, f"there is no cluster to look at: {error}")
    except OSError as error:
        give_up(os.EX_UNAVAILABLE, f"CONSOLE_PORT {settings.console_port} cannot be served: {error}")


def _listen(port: int) -> socket.socket:
    """Return a socket on all addresses, of IPv6 too if the machine has it: the address of a pod may be either."""
    if socket.has_dualstack_ipv6():
        return socket.create_server(("", port), family=socket.AF_INET6, dualstack_ipv6=True)
    return socket.create_server(("", port))


async def _serve(settings: ConsoleSettings) -> None:
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    freeze_memory()
    async with connect(new_identity()) as api:
        sight = Sight(api, Cluster(api, settings.namespace), settings)
        runner = web.AppRunner(make_app(sight), access_log=None, shutdown_timeout=STOP_SECONDS, max_line_size=LONG_PATH)
        await runner.setup()
        try:
            server = _listen(settings.console_port)
            await web.SockSite(runner, server).start()
            log.info("console", extra={"namespace": settings.namespace, "port": server.getsockname()[1]})
            await stop.wait()
        finally:
            await runner.cleanup()
            await sight.close()
    log.info("stopped")
