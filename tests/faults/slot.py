"""The operators of a run of random faults: each is started again when it has ended, as by a kubelet."""

from __future__ import annotations

import signal
import threading
import time
from contextlib import contextmanager, nullcontext, suppress
from typing import TYPE_CHECKING

from region_operator.runtime.shutdown import EXIT_LIMIT_SECONDS
from tests.faults.course import Deed, Lane
from tests.faults.history import Line, Process
from tests.harness.operator_process import OperatorProcess

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.harness.proxy import Proxy

SLOW_SECONDS = 0.3
RESTART_SECONDS = 1.0


class Slot:
    """Where one operator runs, and runs again when it has ended; its way to the API server can be cut or made slow.

    `ended` are the processes that have ended, each with its log.
    """

    def __init__(self, lane: Lane, folder: Path, environment: dict[str, str], proxy: Proxy) -> None:
        self.lane, self.proxy = lane, proxy
        self._folder, self._environment = folder, environment
        self.ended: list[tuple[Process, list[Line]]] = []
        self._closing = threading.Event()
        self._count = 0
        self._start()
        self._keeper = threading.Thread(target=self._keep)
        self._keeper.start()

    def _start(self) -> None:
        self._count += 1
        log = self._folder / f"{self.lane.replace(' ', '-')}-{self._count}.log"
        self._asked: float | None = None
        self._started = time.time()
        self.operator = OperatorProcess(log, self._environment)

    def _keep(self) -> None:
        while True:
            while self.operator.running:
                time.sleep(0.05)
            process = Process(
                lane=self.lane,
                identity=next((str(line["identity"]) for line in self.operator.logged("starting")), ""),
                started=self._started,
                ended=time.time(),
                code=self.operator.wait(),
                asked=self._asked,
                strays=tuple(self.operator.strays),
            )
            lines = [Line.from_log(process.identity, body) for body in self.operator.lines]
            self.ended.append((process, lines))
            if self._closing.wait(RESTART_SECONDS):
                return
            self._start()
            if self._closing.is_set():
                self.tell(signal.SIGTERM)

    def tell(self, number: signal.Signals) -> None:
        """Kill the process, or tell it to stop."""
        self._asked = time.time()
        self.operator.signal(number)

    @contextmanager
    def frozen(self) -> Iterator[None]:
        """Stop the process in its tracks until this context ends."""
        operator = self.operator
        operator.signal(signal.SIGSTOP)
        try:
            yield
        finally:
            operator.signal(signal.SIGCONT)

    def stop(self) -> None:
        """Tell the operator to stop for good, once."""
        if not self._closing.is_set():
            self._closing.set()
            self.tell(signal.SIGTERM)

    def close(self) -> None:
        """Wait until the operator has stopped."""
        self._keeper.join(EXIT_LIMIT_SECONDS + 5)
        if self._keeper.is_alive():
            self.operator.signal(signal.SIGKILL)
            self._keeper.join()

    @property
    def readiness(self) -> str:
        """The first line of /readyz, empty where nobody answers."""
        with suppress(OSError):
            return self.operator.get("/readyz")[1].partition("\n")[0]
        return ""

    @contextmanager
    def harmed(self, deed: Deed) -> Iterator[None]:
        """Harm one operator, or its way to the API server."""
        match deed:
            case Deed.KILLED:
                self.tell(signal.SIGKILL)
            case Deed.STOPPED:
                self.tell(signal.SIGTERM)
            case Deed.CUT:
                self.proxy.cut()
            case Deed.SLOW:
                self.proxy.delay = SLOW_SECONDS
        with self.frozen() if deed is Deed.FROZEN else nullcontext():
            try:
                yield
            finally:
                self.proxy.mend()
                self.proxy.delay = 0.0
