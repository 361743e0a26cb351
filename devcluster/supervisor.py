"""The process that owns a cluster: starts the cluster's processes in order, waits, and stops the processes in order.

Run as `python -m devcluster.supervisor FOLDER [--node] [--lifeline]`. The supervisor answers its caller on standard
output (an Answer and, for an error, a message), and then closes standard output: the caller may go away. With
--lifeline, standard input is a pipe from the caller: when the pipe closes, for any reason, the cluster stops. All
processes of the cluster die with the supervisor; see processes.py.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import logging
import os
import signal
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Never

from devcluster import controlplane, debian, leftovers, network, node
from devcluster.binaries import CONTROL_PLANE, NODE, Binary, ensure
from devcluster.errors import ClusterError
from devcluster.processes import Processes
from devcluster.readiness import Asker, until
from devcluster.state import Answer, Layout, Order, Record, claim_folder, claim_free_slot

if TYPE_CHECKING:
    from collections.abc import Callable

_LOG = logging.getLogger("devcluster.supervisor")
_READY_SECONDS = 90.0


class Supervisor:
    """Runs one cluster, from the start of the first process to the end of the last."""

    def __init__(self, layout: Layout, record: Record) -> None:
        self._layout = layout
        self._record = record
        self._processes = Processes(layout.logs)
        self._binaries = ensure((*CONTROL_PLANE, *NODE) if layout.node else CONTROL_PLANE)
        self._asker = Asker(layout, controlplane.write_credentials(layout)[controlplane.User.ADMIN])

    async def live(self, stopping: asyncio.Event, orders: asyncio.Queue[Order], ready: Callable[[], None]) -> None:
        """Start the cluster, call `ready`, follow orders until `stopping` is set, and stop the cluster.

        Raises ClusterError if the cluster does not start, if one of the processes ends by itself, or if an order
        fails.
        """
        started = asyncio.create_task(self._start())
        stop = asyncio.create_task(stopping.wait())
        ended = asyncio.create_task(self._processes.first_end())
        tasks = {started, stop, ended}
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            if started.done():
                started.result()
                ready()
                tasks.add(obeying := asyncio.create_task(self._obey(orders)))
                await asyncio.wait({stop, ended, obeying}, return_when=asyncio.FIRST_COMPLETED)
                if obeying.done():
                    obeying.result()
            if ended.done():
                raise ClusterError(ended.result())
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            await self._stop()

    async def _obey(self, orders: asyncio.Queue[Order]) -> Never:
        """Follow orders one after the other. Raises ClusterError if the API server does not become ready."""
        while True:
            match await orders.get():
                case Order.KILL_API_SERVER:
                    await self._processes.kill(Binary.API_SERVER)
                    self._update_record(api_server_pid=0)
                case Order.START_API_SERVER:
                    await self._start_api_server()

    async def _start(self) -> None:
        layout = self._layout
        if layout.node:
            await self._make_node()
        await self._processes.start(Binary.ETCD, controlplane.etcd_command(layout, self._binaries))
        await self._start_api_server()
        pid = await self._processes.start(
            Binary.CONTROLLER_MANAGER, controlplane.controller_manager_command(layout, self._binaries)
        )
        if layout.node:
            await self._start_node()
        await until(self._asker.controllers, seconds=_READY_SECONDS, what="the controller manager")
        self._update_record(ready=True, controller_manager_pid=pid)

    async def _start_api_server(self) -> None:
        pid = await self._processes.start(
            Binary.API_SERVER, controlplane.api_server_command(self._layout, self._binaries)
        )
        await until(self._asker.server, seconds=_READY_SECONDS, what="the API server")
        self._update_record(api_server_pid=pid)

    def _update_record(self, **changes: Any) -> None:
        """Change fields of the record, and write the record for callers."""
        self._record = replace(self._record, **changes)
        self._record.write(self._layout.folder)

    async def _make_node(self) -> None:
        """Make the node's namespaces and network, before the API server: the API server listens on the host's end."""
        layout = self._layout
        node.write_files(layout)
        network.make_cgroups(layout)
        pid = await self._processes.start("node", node.holder_command(layout, self._binaries))
        self._record = replace(self._record, node_pid=pid)
        await until(lambda: node.is_made(layout), seconds=_READY_SECONDS, what="the node's namespaces")
        network.make(layout, pid)

    async def _start_node(self) -> None:
        layout, binaries, pid = self._layout, self._binaries, self._record.node_pid
        await self._processes.start(Binary.SCHEDULER, controlplane.scheduler_command(layout, binaries))
        await self._start_inside(Binary.CONTAINERD, node.containerd_command(binaries))
        await until(lambda: node.containerd_listens(pid), seconds=_READY_SECONDS, what="containerd")
        await asyncio.to_thread(node.load_image, pid, binaries, node.write_pause_archive(layout, binaries))
        await self._start_inside(Binary.PROXY, node.proxy_command(layout, binaries))
        await self._start_inside(Binary.KUBELET, node.kubelet_command(layout, binaries))
        await until(self._asker.node, seconds=_READY_SECONDS, what="the node")

    async def _start_inside(self, name: Binary, command: list[str]) -> None:
        await self._processes.start(name, node.inside(self._record.node_pid, command))

    async def _stop(self) -> None:
        """Stop all processes in order, and remove the node's network link and cgroups.

        The API server stops before etcd: without etcd, the API server ignores SIGTERM for a minute and keeps its port.
        The API server gets only 2 s, because it would wait for connections to the node, which is gone.
        """
        if self._record.node_pid:
            node.end(self._record.node_pid)
        for name in ("node", Binary.KUBELET, Binary.PROXY, Binary.CONTAINERD):
            await self._processes.stop(name)
        await self._processes.stop(Binary.SCHEDULER)
        await self._processes.stop(Binary.CONTROLLER_MANAGER)
        await self._processes.stop(Binary.API_SERVER, seconds=2)
        await self._processes.stop(Binary.ETCD)
        if self._layout.node:
            network.remove(self._layout)


def _answer(word: Answer, message: str = "") -> None:
    """Print the only answer, and close standard output: the caller reads to the end."""
    with contextlib.suppress(BrokenPipeError):  # the caller is gone and needs no answer
        print(word, message, flush=True)
    with Path(os.devnull).open("w") as nothing:
        os.dup2(nothing.fileno(), 1)


def _watch(stopping: asyncio.Event, orders: asyncio.Queue[Order], *, lifeline: bool) -> None:
    """Handle signals: orders go to `orders`, SIGTERM and SIGINT set `stopping`.

    With a lifeline, the end of standard input sets `stopping` too.
    """
    loop = asyncio.get_running_loop()
    for order in Order:
        loop.add_signal_handler(order, orders.put_nowait, order)
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopping.set)

    def read() -> None:
        if not os.read(0, 4096):
            loop.remove_reader(0)
            stopping.set()

    if lifeline:
        loop.add_reader(0, read)


async def _supervise(layout: Layout, record: Record) -> None:
    stopping, orders = asyncio.Event(), asyncio.Queue[Order]()
    _watch(stopping, orders, lifeline=record.temporary)
    await Supervisor(layout, record).live(stopping, orders, lambda: _answer(Answer.READY))


def _run_cluster(folder: Path, *, node: bool, lifeline: bool) -> None:
    """Run the cluster of `folder`. The caller holds the claim on the folder.

    The folder is removed after an orderly stop only, so that the logs of a failure stay. Raises ClusterError.
    """
    if folder.exists():
        leftovers.clean(folder)
    slot, slot_claim = claim_free_slot()
    with slot_claim:
        layout = Layout(folder=folder, slot=slot, node=node)
        layout.logs.mkdir(parents=True, mode=0o700)
        _log_to(layout.logs / "supervisor.log")
        record = Record(slot=slot, pid=os.getpid(), node=node, temporary=lifeline)
        record.write(folder)
        asyncio.run(_supervise(layout, record))
    leftovers.clean(folder)


def _log_to(path: Path) -> None:
    log = path.open("a")
    os.dup2(log.fileno(), 2)
    logging.basicConfig(stream=sys.stderr, level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")


def main() -> int:
    parser = argparse.ArgumentParser(prog="devcluster.supervisor", description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--node", action="store_true")
    parser.add_argument("--lifeline", action="store_true")
    arguments = parser.parse_args()
    debian.complete_path()
    if not arguments.lifeline and os.fork():
        os._exit(0)  # the supervisor becomes an orphan: the caller may exit, and never has to reap the supervisor
    holder = claim_folder(arguments.folder)
    if holder is None:
        _answer(Answer.ALREADY)
        return 0
    with holder:
        try:
            _run_cluster(arguments.folder, node=arguments.node, lifeline=arguments.lifeline)
        except ClusterError as error:
            _LOG.error("%s", error)
            _answer(Answer.ERROR, str(error))
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
