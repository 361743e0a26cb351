"""Decides in which order the tests run, and which tests run at the same time.

A test runs on any free worker, so that one test works while another test waits. Each worker has its own Postgres and
its own control plane. Tests of one `xdist_group` run on one worker, one after the other, because the tests share a
thing that exists only once. Tests marked `alone` run last, when no other test runs: tests marked `alone` measure time,
or need the whole machine.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from xdist.scheduler.loadgroup import LoadGroupScheduling

if TYPE_CHECKING:
    from collections.abc import Iterable

    from xdist.remote import Producer
    from xdist.workermanage import WorkerController

ALONE = "alone"
NODE = "node"
LONGEST_FIRST = (
    "tests/node/",
    "tests/faults/test_ledger.py",
    "tests/faults/test_api_server.py",
    "tests/faults/test_random_faults.py",
    "tests/faults/",
    "tests/cluster/test_leader_election.py",
    "tests/cluster/",
    "tests/scale/",
    "tests/database/",
    "tests/unit/",
)
"""The longest tests first, so that short tests fill the gaps at the end. The first match counts."""


def set_groups(items: Iterable[pytest.Item]) -> None:
    """Put the tests marked `alone` into one group, and all tests with a node into another group: there is only one
    node.
    """
    for item in items:
        if item.get_closest_marker(ALONE):
            item.add_marker(pytest.mark.xdist_group(ALONE))
        elif item.get_closest_marker(NODE) or item.path.parent.name == NODE:
            item.add_marker(pytest.mark.xdist_group(NODE))


class SideBySide(LoadGroupScheduling):  # type: ignore[misc]  # has no types
    """Hands out the tests: the longest tests first, and the tests marked `alone` to the last worker."""

    nodes: list[WorkerController]
    workqueue: dict[str, dict[str, bool]]
    collection: list[str] | None
    registered_collections: dict[WorkerController, list[str]]

    def __init__(self, config: pytest.Config, log: Producer) -> None:
        super().__init__(config, log)
        self._alone: dict[str, dict[str, bool]] = {}

    def schedule(self) -> None:
        """Hand out the first tests when every worker has collected all tests. Later, hand out tests to a new worker."""
        if self.collection is None:
            if not self._check_nodes_have_same_collection():
                return
            self.collection = next(iter(self.registered_collections.values()))
            self._make_units(self.collection)
        for _ in range(2):  # a worker begins a test when it knows the one after it
            for node in self.nodes:
                self._reschedule(node)

    def _make_units(self, tests: list[str]) -> None:
        units: dict[str, dict[str, bool]] = {}
        for test in tests:
            units.setdefault(self._split_scope(test), {})[test] = False
        if ALONE in units:
            self._alone[ALONE] = units.pop(ALONE)
        for scope in sorted(units, key=lambda scope: min(map(_rank, units[scope]))):
            self.workqueue[scope] = units[scope]

    def _split_scope(self, nodeid: str) -> str:
        """Return the unit of tests that run on one worker: the test's group, or the module of a unit test, or the test
        alone.
        """
        scope: str = super()._split_scope(nodeid)
        return scope.partition("::")[0] if scope.startswith("tests/unit/") else scope

    def _reschedule(self, node: WorkerController) -> None:
        """Hand a worker the next tests. When only tests marked `alone` are left, all workers except one end, and the
        last worker runs those tests.
        """
        if self._alone and not self.workqueue:
            if len(self.nodes) == 1:
                self.workqueue.update(self._alone)
                self._alone = {}
            elif node is self.nodes[-1]:
                return  # its last test waits for the others' end
        super()._reschedule(node)

    def remove_node(self, node: WorkerController) -> str | None:
        """Go on without a worker that ended. Return the test during which the worker crashed, or None."""
        crashed: str | None = super().remove_node(node)
        if self.collection is not None:  # before, there is nothing to hand out, which would end every worker
            for other in self.nodes:
                if other in self.registered_collections:
                    self._reschedule(other)
        return crashed

    @property
    def tests_finished(self) -> bool:
        """Whether every worker has at most its current test left, and no test marked `alone` is left."""
        return not self._alone and super().tests_finished

    @property
    def has_pending(self) -> bool:
        """Whether a test is left to hand out."""
        return bool(self._alone) or super().has_pending


def _rank(test: str) -> int:
    """Return a test's place in LONGEST_FIRST, or 0 without a match."""
    return next((rank for rank, start in enumerate(LONGEST_FIRST) if test.startswith(start)), 0)
