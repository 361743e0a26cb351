"""The operator as a kubelet keeps it: started again whenever it ends."""

from __future__ import annotations

import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.harness.operator_process import OperatorProcess


class Kept:
    """The processes so far, the last of which runs or is about to be followed; `codes` are the exit codes of those that
    ended.
    """

    def __init__(self, start: Callable[[], OperatorProcess]) -> None:
        self._start = start
        self._stopping = threading.Event()
        self.processes = [start()]
        self.codes: list[int] = []

    @classmethod
    @contextmanager
    def running(cls, start: Callable[[], OperatorProcess]) -> Iterator[Self]:
        """Keep it until the block ends; kill it then."""
        kept = cls(start)
        thread = threading.Thread(target=kept._keep, daemon=True)
        thread.start()
        try:
            yield kept
        finally:
            kept._stopping.set()
            thread.join()
            with kept.now:
                pass

    @property
    def now(self) -> OperatorProcess:
        """The one that runs."""
        return self.processes[-1]

    def readiness(self) -> tuple[int, str]:
        """Return what /readyz answers; 0 while nobody answers, which is between two processes."""
        try:
            return self.now.get("/readyz")
        except OSError:
            return 0, ""

    def _keep(self) -> None:
        while not self._stopping.wait(0.1):
            if not self.now.running:
                self.codes.append(self.now.wait())
                self.processes.append(self._start())
