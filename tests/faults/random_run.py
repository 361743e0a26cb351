"""Doing what a course says, to a real control plane, a real Postgres and three operators, and noting what happens.

Each lane is a thread. An operator that ends is started again, as a kubelet would. What a fault needs to be over is done
before its lane goes on, so that nothing is broken any more when the lanes are through.
"""

from __future__ import annotations

import json
import math
import threading
import time
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Self

import psycopg

from region_operator.plan.guard_memory import STATUS_FIELDS
from region_operator.scheduler import APPROVAL_ANNOTATION
from tests.faults import causes
from tests.faults.checker import differences
from tests.faults.course import ALLOWANCE, OPERATORS, WINDOW_SECONDS, Action, Course, Deed, Edit, Lane
from tests.faults.history import Approval, History, Refusal, Span, TableState, Write
from tests.faults.slot import Slot
from tests.harness.audit import audit_lines
from tests.harness.frozen import frozen
from tests.harness.proxy import Proxy

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from contextlib import AbstractContextManager
    from pathlib import Path

    from devcluster.local import LocalCluster
    from tests.faults.site import Site
    from tests.harness.kubectl import Kubectl

QUIET_END_SECONDS = 150.0
"""How long after the last fault cluster and table may differ: what was waited for longest, and a take-over."""

IDLE_FOR_SECONDS = 8.0
EDIT_SECONDS = 120.0
_TELL_EVERY_SECONDS = 15.0

_SCHEDULER = {
    "apiVersion": "region-tick.dev/v1alpha1",
    "kind": "RegionScheduler",
    "metadata": {"name": "default"},
    "spec": {
        "refreshInterval": "5s",
        "deletionGuard": {"maxCount": ALLOWANCE, "maxPercent": 0, "window": f"{WINDOW_SECONDS}s"},
    },
}
_HELD = ("heldDeletions", "heldQuarantines", "heldSlowdowns", "heldCreations")
_UNSETTLED = frozenset(STATUS_FIELDS) - {"recentDeletions"}
"""What the status has only while something is held, or approved and not done yet, or filled."""
_PUT = (
    "INSERT INTO region_index (id, code, name, cron_schedule, active) VALUES (%s, %s, 'Region', %s, %s)"
    " ON CONFLICT (id) DO UPDATE SET code = excluded.code, cron_schedule = excluded.cron_schedule,"
    " active = excluded.active"
)
_REFUSED = (
    "SELECT job_name, extract(epoch FROM finished_at) FROM region_tick.job_run WHERE state IN ('skipped', 'missed')"
)
_DATABASE = {
    Deed.KILLED: causes.killed,
    Deed.STOPPED: causes.stopped,
    Deed.RESTARTED: causes.restarted,
    Deed.FROZEN: causes.frozen,
    Deed.CUT: causes.cut,
    Deed.SLOW: causes.slow,
    Deed.SESSIONS_ENDED: causes.sessions_ended,
    Deed.OUT_OF_CONNECTIONS: causes.out_of_connections,
    Deed.REFUSED: causes.refused,
    Deed.READ_ONLY: causes.read_only,
    Deed.WITHOUT_TABLE: causes.without_table,
    Deed.WITHOUT_COLUMN: causes.without_column,
    Deed.WITHOUT_RIGHT: causes.without_right,
}
_PATCHES = {
    Deed.RESCHEDULE: ("merge", {"spec": {"schedule": "1 1 1 1 *"}}),
    Deed.SUSPEND: ("merge", {"spec": {"suspend": True}}),
    Deed.RELABEL: ("merge", {"metadata": {"labels": {"app": "mine", "region-tick.dev/region": None}}}),
    Deed.ADD_VARIABLE: (
        "json",
        [
            {
                "op": "add",
                "path": "/spec/jobTemplate/spec/template/spec/containers/0/env/-",
                "value": {"name": "MINE", "value": "1"},
            }
        ],
    ),
}


@dataclass(slots=True)
class Records:
    """What has happened so far; each lane writes its own."""

    table: list[tuple[float, float, Edit]] = field(default_factory=list)
    spans: list[Span] = field(default_factory=list)
    approvals: list[Approval] = field(default_factory=list)


class Run:
    """One course, being run. A context manager around its operators; `say` is told from time to time how far it is."""

    def __init__(
        self,
        course: Course,
        *,
        cluster: LocalCluster,
        kubectl: Kubectl,
        site: Site,
        folder: Path,
        say: Callable[[str], None],
    ) -> None:
        self._course, self._cluster, self._kubectl, self._site = course, cluster, kubectl, site
        self._folder, self._say = folder, say
        self._records = Records()
        self._failed: list[BaseException] = []
        self._stop = threading.Event()
        self._context = ExitStack()

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            self._database = stack.enter_context(Proxy.to(self._site.server.port))
            self._site.url_file.write_text(self._site.through(self._database.port))
            self._kubectl("apply", "-f", "-", stdin=json.dumps(_SCHEDULER))
            self._edit(Edit(truncate=True, put=self._course.rows))
            self._slots = {lane: stack.enter_context(self._slot(lane)) for lane in OPERATORS}
            self._context = stack.pop_all()
        return self

    def __exit__(self, *error: Any) -> None:
        for slot in self._slots.values():
            slot.stop()
        self._context.__exit__(*error)

    @contextmanager
    def _slot(self, lane: Lane) -> Iterator[Slot]:
        kubeconfig = self._folder / f"{lane.replace(' ', '-')}.kubeconfig"
        environment = {
            "KUBECONFIG": str(kubeconfig),
            "POD_NAMESPACE": self._kubectl.namespace,
            "DATABASE_URL_FILE": str(self._site.url_file),
            "LOG_LEVEL": "DEBUG",  # so that every reconcile's end is in the log
        }
        with Proxy.before(self._kubectl.kubeconfig, kubeconfig) as proxy:
            slot = Slot(lane, self._folder, environment, proxy)
            try:
                yield slot
            finally:
                slot.stop()
                slot.close()

    def faults(self) -> None:
        """Run the course; return when all of it is over and undone. Raises what a lane did not expect."""
        began = time.monotonic()
        lanes = [threading.Thread(target=self._lane, args=(lane, began)) for lane in Lane]
        for lane in lanes:
            lane.start()
        while alive := [lane for lane in lanes if lane.is_alive()]:
            self._tell(began)
            alive[0].join(_TELL_EVERY_SECONDS)
        if self._failed:
            raise self._failed[0]

    def _tell(self, began: float) -> None:
        done = time.monotonic() - began
        counts = f"{len(self._records.table)} edits, {len(self._records.spans)} commands and faults"
        ends = f"{sum(len(slot.ended) for slot in self._slots.values())} operators ended"
        self._say(f"{done:4.0f} of {self._course.seconds:.0f} s: {counts}, {ends}")

    def _lane(self, lane: Lane, began: float) -> None:
        try:
            for action in self._course.of(lane):
                if self._stop.wait(max(0.0, began + action.at - time.monotonic())):
                    return
                self._do(action)
        except BaseException as error:
            self._failed.append(error)
            self._stop.set()

    def _do(self, action: Action) -> None:
        begin = time.time()
        with self._deed(action) as note:
            self._stop.wait(action.seconds)
        self._records.spans.append(Span(begin, time.time(), action.lane, action.deed, str(note or "")))

    def _deed(self, action: Action) -> AbstractContextManager[Any]:
        match action.lane:
            case Lane.TABLE:
                return self._edits(action)
            case Lane.PEOPLE:
                return self._command(action)
            case Lane.DATABASE:
                return _DATABASE[action.deed](self._site, self._database)
            case Lane.API_SERVER:
                return self._api_server(action.deed)
        return self._slots[action.lane].harmed(action.deed)

    @contextmanager
    def _api_server(self, deed: Deed) -> Iterator[None]:
        if deed is Deed.KILLED:
            self._cluster.kill_api_server()
            try:
                yield
            finally:
                self._cluster.start_api_server()
            return
        with frozen(self._cluster.api_server_pid):
            yield

    @contextmanager
    def _command(self, action: Action) -> Iterator[str]:
        """Do what a person does with kubectl, which may fail: the API server may be away."""
        names = self._asked("get", "cronjobs", "--output=jsonpath={.items[*].metadata.name}").split()
        name = sorted(names)[int(action.pick * len(names))] if names else ""
        match action.deed:
            case Deed.APPROVE:
                self._approve()
            case Deed.DELETE:
                self._asked("delete", "cronjob", name, "--wait=false")
            case Deed.PAUSE:
                self._asked("annotate", "cronjob", name, "region-tick.dev/paused=true")
            case _:
                kind, patch = _PATCHES[action.deed]
                self._asked("patch", "cronjob", name, f"--type={kind}", f"--patch={json.dumps(patch)}")
        yield name
        if action.deed is Deed.PAUSE:
            while self._kubectl.fails(
                "annotate", "cronjobs", "--all", "region-tick.dev/paused-", "--request-timeout=5s"
            ):
                time.sleep(1)

    def _asked(self, *arguments: str) -> str:
        """Return kubectl's answer, nothing where it fails."""
        with suppress(AssertionError):
            return self._kubectl(*arguments, "--request-timeout=5s")
        return ""

    def _approve(self) -> None:
        """Approve one kind of what is held, as a person does who reads the status: deletions first."""
        scheduler = json.loads(self._asked("get", "regionscheduler", "default", "--output=json") or "{}")
        status = scheduler.get("status", {})
        held = next((name for name in _HELD if name in status), None)
        if held is None:
            return
        if held == "heldDeletions":
            self._records.approvals.append(Approval(time.time(), frozenset(status[held]["regions"].split())))
        annotation = f"{APPROVAL_ANNOTATION}={status[held]['approval']}"
        self._asked("annotate", "regionscheduler", "default", "--overwrite", annotation)

    @contextmanager
    def _edits(self, action: Action) -> Iterator[str]:
        for edit in action.edits:
            self._edit(edit)
        yield action.edits[-1].put[0].code if action.edits[-1].put else ""

    def _edit(self, edit: Edit) -> None:
        """Make an edit, which may be made twice, when the database is there."""
        sent = time.time()
        while True:
            try:
                self._try(edit)
                break
            except psycopg.Error:
                if self._stop.is_set() or time.time() > sent + EDIT_SECONDS:
                    raise
            time.sleep(0.3)
        self._records.table.append((sent, time.time(), edit))

    def _try(self, edit: Edit) -> None:
        options = "-c default_transaction_read_only=off"
        url = self._site.server.url(self._site.role)
        with psycopg.connect(url, options=options, connect_timeout=10) as connection:
            if edit.truncate:
                connection.execute("TRUNCATE region_index")
            if edit.drop:
                connection.execute("DELETE FROM region_index WHERE id = ANY (%s::uuid[])", [list(edit.drop)])
            with connection.cursor() as cursor:
                cursor.executemany(_PUT, [(row.id, row.code, row.cron, row.active) for row in edit.put])

    def quiet_end(self) -> tuple[float, float] | None:
        """Wait until cluster and table are equal, and a while longer; return when that while was, None if never.

        What is held then is what somebody wants, so somebody approves it.
        """
        deadline = time.monotonic() + QUIET_END_SECONDS
        while time.monotonic() < deadline:
            if self._is_quiet():
                since = time.time()
                time.sleep(IDLE_FOR_SECONDS)
                return since, time.time()
            self._approve()
            time.sleep(1)
        return None

    def _is_quiet(self) -> bool:
        """Tell whether cluster and table are equal, one operator leads and the others could."""
        ready = self._kubectl.ready().get("status") == "True"
        return (
            ready
            and not self._differences()
            and not self._kubectl.scheduler()["status"].keys() & _UNSETTLED
            and sorted(slot.readiness for slot in self._slots.values()) == ["ok", "standby", "standby"]
        )

    def _differences(self) -> Sequence[str]:
        return differences(self._states()[-1].rows, self._kubectl.get("cronjobs")["items"])

    def _states(self) -> list[TableState]:
        """Return the table's states: each can be read before its edit is answered, and after the next is sent."""
        edits = self._records.table
        ends = [answered for _, answered, _ in edits[1:]] + [math.inf]
        states: list[TableState] = []
        for (sent, _, edit), end in zip(edits, ends, strict=True):
            states.append(TableState(sent, end, edit.of(states[-1].rows if states else {})))
        return states

    def history(self, quiet: tuple[float, float] | None) -> History:
        """Return all that happened. To be asked when the operators have ended."""
        ended = [one for slot in self._slots.values() for one in slot.ended]
        return History(
            table=tuple(self._states()),
            spans=tuple(sorted(self._records.spans, key=lambda span: span.begin)),
            processes=tuple(process for process, _ in ended),
            approvals=tuple(self._records.approvals),
            writes=tuple(map(Write.from_audit, audit_lines(self._cluster, self._kubectl.namespace))),
            lines=tuple(sorted((line for _, lines in ended for line in lines), key=lambda line: line.at)),
            cronjobs=tuple(self._kubectl.get("cronjobs")["items"]),
            scheduler=self._kubectl.scheduler(),
            refusals=tuple(Refusal(job, float(at)) for job, at in self._site.sql(_REFUSED)),
            quiet=quiet,
        )
