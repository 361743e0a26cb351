"""The checker finds what is planted: each test spoils one thing in a history in which all is well."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import pytest

from region_operator.cronjobs.labels import region_key
from region_operator.cronjobs.render import render_cronjob
from region_operator.kube.api import CONCURRENT_REQUESTS
from region_operator.regions.region import RegionRow
from region_operator.regions.schedule import parse_schedule
from tests.faults.checker import check, differences
from tests.faults.course import ALLOWANCE, Deed, Edit, Lane, Row, Table
from tests.faults.history import (
    AFTERMATH_SECONDS,
    Approval,
    History,
    Line,
    Process,
    Refusal,
    Span,
    TableState,
    Write,
)
from tests.harness.examples import scheduler

ROWS = tuple(Row(f"id-{number}", f"R-{number}", "*/5 * * * *") for number in range(20))
ALL = Edit(put=ROWS).of({})
NOW = 1000.0
A, B = "host_a", "host_b"


def cronjob(row: Row, **spec: Any) -> dict[str, Any]:
    region = RegionRow("public.region_index", row.id, row.code, "Region", None, row.cron)
    body = render_cronjob(
        region, parse_schedule(row.cron), scheduler(), name=name(row), tick_image="tick", suspended_by=None
    )
    return body | {"spec": body["spec"] | spec}


def name(row: Row) -> str:
    return f"r-{region_key(row.id)}"


def without(*rows: Row) -> Table:
    return Edit(drop=tuple(row.id for row in rows)).of(ALL)


def write(at: float, identity: str, verb: str = "patch", *, code: int = 200, row: Row = ROWS[0]) -> Write:
    return Write(at, at + 0.01, identity, verb, "cronjobs", "", name(row), code)


def lease(at: float, identity: str) -> Write:
    return Write(at, at + 0.01, identity, "update", "leases", "", "region-operator", 200)


def line(at: float, event: str, level: str = "info", identity: str = A, **keys: str) -> Line:
    return Line(at, identity, level, event, {"event": event, **keys})


def span(begin: float, end: float, lane: Lane, deed: Deed) -> Span:
    return Span(begin, end, lane, deed)


def status(active: int, **condition: str) -> dict[str, Any]:
    return {"status": {"regions": {"active": active}, "conditions": [{"type": "Ready", "status": "True"} | condition]}}


def history(*states: tuple[float, float, Table], **changes: Any) -> History:
    """A leads from the beginning and adds what the table says; B takes over at NOW. A's reconciles end at NOW - 280,
    NOW - 240 and so on.
    """
    table = tuple(TableState(*state) for state in states) or (TableState(NOW - 500, math.inf, ALL),)
    standing = table[-1].rows.values()
    added = [write(NOW - 400, A, code=201, row=row) for row in ROWS]
    well = History(
        table=table,
        spans=(),
        processes=(
            Process(Lane.OPERATOR_1, A, NOW - 500, NOW + 500, 0, asked=NOW + 499),
            Process(Lane.OPERATOR_2, B, NOW - 500, NOW + 500, 0, asked=NOW + 499),
        ),
        approvals=(),
        writes=(lease(NOW - 450, A), *added, lease(NOW, B)),
        lines=(
            line(NOW - 450, "leading"),
            *(line(NOW + at, "reconciled") for at in range(-440, 500, 40)),
            line(NOW, "leading", identity=B),
            *(line(NOW + at, "reconciled", identity=B) for at in range(40, 500, 40)),
        ),
        cronjobs=tuple(map(cronjob, standing)),
        scheduler=status(len(standing)),
        quiet=(NOW + 400, NOW + 420),
    )
    more = {key: getattr(well, key) + value if isinstance(value, tuple) else value for key, value in changes.items()}
    return replace(well, **more)


def found(history: History) -> list[str]:
    return [violation.message for violation in check(history)]


def only(history: History) -> str:
    [message] = found(history)
    return message


def test_where_all_is_well_nothing_is_found() -> None:
    assert found(history()) == []


class TestTheEnd:
    def test_a_cronjob_is_missing(self) -> None:
        assert (
            only(replace(history(), cronjobs=tuple(map(cronjob, ROWS[1:])))) == "at the end: region R-0 has no CronJob"
        )

    def test_a_cronjob_is_too_many(self) -> None:
        gone = history((NOW - 500, math.inf, without(ROWS[3])))
        message = only(replace(gone, cronjobs=tuple(map(cronjob, ROWS))))
        assert message == f"at the end: CronJob {name(ROWS[3])} is of no active row"

    def test_a_region_has_two(self) -> None:
        assert "is a second one of region R-0" in only(history(cronjobs=(cronjob(ROWS[0]),)))

    @pytest.mark.parametrize(
        ("change", "words"),
        [
            ({"schedule": "@daily"}, "its schedule is '@daily' instead of '*/5 * * * *'"),
            ({"suspend": True}, "suspend is True"),
            ({"timeZone": "Europe/Paris"}, "its time zone is Europe/Paris"),
        ],
    )
    def test_its_spec_is_another(self, change: dict[str, Any], words: str) -> None:
        [difference] = differences({"id-0": ROWS[0]}, [cronjob(ROWS[0], **change)])
        assert words in difference

    def test_its_labels_are_others(self) -> None:
        body = cronjob(ROWS[0])
        body["metadata"]["labels"] = body["metadata"]["labels"] | {"app": "mine"}
        [difference] = differences({"id-0": ROWS[0]}, [body])
        assert "its labels are" in difference

    def test_its_code_is_the_old_one(self) -> None:
        [difference] = differences({"id-0": replace(ROWS[0], code="new")}, [cronjob(ROWS[0])])
        assert "its code is 'R-0'" in difference

    def test_it_has_a_variable_too_many(self) -> None:
        body = cronjob(ROWS[0])
        body["spec"]["jobTemplate"]["spec"]["template"]["spec"]["containers"][0]["env"].append({"name": "MINE"})
        [difference] = differences({"id-0": ROWS[0]}, [body])
        assert "MINE" in difference

    def test_a_row_that_is_not_active_has_none_and_a_spoilt_one_is_suspended_or_has_none(self) -> None:
        table = {"id-0": replace(ROWS[0], active=False), "id-1": replace(ROWS[1], cron="61 * * * *")}
        assert differences(table, []) == []
        assert differences(table, [cronjob(ROWS[1], suspend=True)]) == []
        assert len(differences(table, [cronjob(ROWS[0]), cronjob(ROWS[1])])) == 2

    def test_the_status_is_not_well(self) -> None:
        assert "conditions" in only(replace(history(), scheduler=status(20, status="False")))
        assert "counts {'active': 19}" in only(replace(history(), scheduler=status(19)))


class TestOneLeader:
    def test_a_write_by_one_who_does_not_lead(self) -> None:
        message = only(history(writes=(write(NOW + 1, A),)))
        assert message.endswith("by host_a, which does not hold the Lease, though nothing kept it from noticing")

    def test_before_anyone_leads(self) -> None:
        assert "which does not hold the Lease" in only(history(writes=(write(NOW - 460, B),)))

    def test_a_refused_write_does_no_harm(self) -> None:
        assert found(history(writes=(write(NOW + 1, A, code=409),))) == []

    def test_what_left_before_a_freeze_may_come_late_but_not_delete_nor_recreate(self) -> None:
        frozen = span(NOW - 20, NOW + 1, Lane.OPERATOR_1, Deed.FROZEN)
        lost = replace(history(spans=(frozen,)), table=(TableState(NOW - 500, math.inf, without(ROWS[0])),))

        def late(*writes: Write) -> list[str]:
            late = replace(lost, writes=(*lost.writes, *writes))
            return [message for message in found(late) if "does not hold" in message]

        assert late(write(NOW + 1, A)) == []
        assert late(write(NOW + 1, A, code=201, row=Row("new", "new", "@daily"))) == []
        assert "delete of" in late(write(NOW + 1, A, "delete"))[0]
        assert "recreates" in late(write(NOW + 1, A, code=201))[0]
        assert "too many" in late(*[write(NOW + 1, A)] * (CONCURRENT_REQUESTS + 1))[0]

    def test_a_freeze_of_another_explains_nothing(self) -> None:
        frozen = span(NOW - 20, NOW + 1, Lane.OPERATOR_2, Deed.FROZEN)
        assert "though nothing kept it" in only(history(spans=(frozen,), writes=(write(NOW + 1, A),)))


class TestDeletes:
    def test_of_a_region_that_is_there(self) -> None:
        message = only(history(writes=(write(NOW - 100, A, "delete"),)))
        assert message == f"host_a deletes cronjobs {name(ROWS[0])}: the row was there"

    @pytest.mark.parametrize(
        ("gone_from", "gone_until", "fine"),
        [
            (NOW - 270, NOW - 260, True),
            (NOW - 400, NOW - 279, True),
            (NOW - 400, NOW - 281, False),
            (NOW, NOW + 1, False),
        ],
    )
    def test_the_row_has_to_be_gone_after_the_reconcile_before(
        self, gone_from: float, gone_until: float, *, fine: bool
    ) -> None:
        states = [
            (NOW - 500, gone_from, ALL),
            (gone_from, gone_until, without(ROWS[0])),
            (gone_until, math.inf, ALL),
        ]
        messages = found(history(*states, writes=(write(NOW - 250, A, "delete"),)))
        assert (messages == []) is fine

    def test_of_a_table_that_lost_its_rows(self) -> None:
        states = [(NOW - 500, NOW - 270, ALL), (NOW - 270, NOW, Edit().of({})), (NOW, math.inf, ALL)]
        deletion = history(*states, writes=(write(NOW - 250, A, "delete"),))
        assert only(deletion) == f"host_a deletes {name(ROWS[0])}, one of 20: too many"
        approved = Approval(NOW - 260, frozenset(map(region_key, ALL)))
        assert found(replace(deletion, approvals=(approved,))) == []
        too_late = Approval(NOW - 240, approved.regions)
        assert "too many" in only(replace(deletion, approvals=(too_late,)))

    def test_one_after_the_other_until_too_many_are_gone(self) -> None:
        few = [
            (NOW - 290 + number, NOW - 289 + number if number <= ALLOWANCE else math.inf, without(*ROWS[: number + 1]))
            for number in range(ALLOWANCE + 1)
        ]
        deletes = tuple(write(at + 0.5, A, "delete", row=row) for (at, _, _), row in zip(few, ROWS, strict=False))
        ends = tuple(line(at + 0.6, "reconciled") for at, _, _ in few)
        few[-1] = (few[-1][0], math.inf, few[-1][2])
        message = only(history((NOW - 500, NOW - 290, ALL), *few, writes=deletes, lines=ends))
        assert message == f"{ALLOWANCE + 1} regions gone within 30 s"


class TestJobs:
    JOB = f"{name(ROWS[0])}-29000000"
    DELETE = replace(write(NOW - 100, A, "delete"), resource="jobs", name=JOB)

    def test_of_a_tick_without_a_final_row(self) -> None:
        words = f"host_a deletes jobs {self.JOB}: its tick has no final row"
        assert only(history(writes=(self.DELETE,))) == words
        assert only(history(writes=(self.DELETE,), refusals=(Refusal("another", NOW - 101),))) == words
        assert only(history(writes=(self.DELETE,), refusals=(Refusal(self.JOB, NOW - 99),))) == words

    def test_of_one_that_had_a_pod(self) -> None:
        pod = replace(self.DELETE, received=NOW - 99, identity="", resource="pods", name=f"{self.JOB}-x7f2q")
        refusals = (Refusal(self.JOB, NOW - 101),)
        words = f"host_a deletes jobs {self.JOB}, which had a pod"
        assert only(history(writes=(self.DELETE, pod), refusals=refusals)) == words
        other = replace(pod, name=f"{name(ROWS[1])}-29000000-x7f2q")
        assert found(history(writes=(self.DELETE, other), refusals=refusals)) == []

    def test_it_is_whoever_leads_that_deletes(self) -> None:
        late = replace(self.DELETE, received=NOW + 1)
        assert "does not hold the Lease" in only(history(writes=(late,), refusals=(Refusal(self.JOB, NOW - 101),)))


class TestErrors:
    def test_a_traceback(self) -> None:
        message = only(history(lines=(line(NOW, "reconcile failed", "error", traceback="Traceback: boom"),)))
        assert "boom" in message

    def test_a_warning_without_a_cause(self) -> None:
        warning = (line(NOW + 10, "not listening", "warning"),)
        assert "nothing was done that explains it" in only(history(lines=warning))
        for lane, fine in ((Lane.DATABASE, True), (Lane.API_SERVER, False), (Lane.OPERATOR_1, True)):
            fault = span(NOW, NOW + 1, lane, Deed.SLOW)
            assert (found(history(lines=warning, spans=(fault,))) == []) is fine
        long_ago = span(NOW - 100, NOW + 9 - AFTERMATH_SECONDS, Lane.DATABASE, Deed.SLOW)
        assert found(history(lines=warning, spans=(long_ago,)))

    def test_a_warning_that_nobody_knows(self) -> None:
        fault = span(NOW, NOW + 1, Lane.DATABASE, Deed.SLOW)
        assert "strange" in only(history(lines=(line(NOW + 1, "strange", "warning"),), spans=(fault,)))

    def test_a_quarantine_of_a_good_row(self) -> None:
        spoilt = Edit(put=(replace(ROWS[0], cron="61 * * * *"),)).of(ALL)
        states = [(NOW - 500, NOW - 200, ALL), (NOW - 200, NOW - 190, spoilt), (NOW - 190, math.inf, ALL)]
        for at, row, fine in ((NOW - 195, 0, True), (NOW - 195, 1, False), (NOW - 100, 0, False)):
            told = line(at, "quarantined", "warning", **{"region.id": f"id-{row}"})
            assert (found(history(*states, lines=(told,))) == []) is fine

    @pytest.mark.parametrize(
        "said",
        [
            "Timer 'reconcile' did not exit in time. Leaving it orphaned.",
            "query cancellation interrupted (CancelledError): closing connection",
        ],
    )
    def test_what_libraries_say_of_a_reconcile_that_is_cancelled(self, said: str) -> None:
        assert found(history(lines=(line(NOW + 499.5, said, "warning"),))) == []
        assert said in only(history(lines=(line(NOW + 10, said, "warning"),)))

    def test_a_leader_that_falls_silent(self) -> None:
        well = history()
        silent = replace(well, lines=tuple(line for line in well.lines if line.at != NOW - 120))
        assert only(silent) == "host_a neither reconciled nor said why not for 80 s"
        told = line(NOW - 130, "not reconciled", "warning")
        fault = span(NOW - 150, NOW - 120, Lane.DATABASE, Deed.FROZEN)
        assert found(replace(silent, lines=(*silent.lines, told), spans=(fault,))) == []
        lasts = tuple(line for line in silent.lines if not NOW - 130 < line.at < NOW - 30 or line.identity == B)
        assert found(replace(silent, lines=(*lasts, told), spans=(fault,))) == []  # it was said once

    @pytest.mark.parametrize(
        ("code", "asked", "words"),
        [
            (1, None, "ended with 1, by itself"),
            (0, None, "ended with 0, by itself"),
            (1, NOW, "5 s after"),
            (0, NOW - 50, "55 s after"),
        ],
    )
    def test_a_process_that_ends_otherwise_than_it_should(self, code: int, asked: float | None, words: str) -> None:
        process = Process(Lane.OPERATOR_1, A, NOW - 500, NOW + 5, code, asked=asked)
        assert words in only(replace(history(), processes=(process,)))

    def test_a_process_that_is_told_to_stop_before_it_listens_to_signals(self) -> None:
        process = Process(Lane.OPERATOR_3, "host_c", NOW, NOW + 1, -15, asked=NOW + 1)
        started = history(processes=(process,), lines=(line(NOW, "starting", identity="host_c"),))
        assert found(started) == []
        later = history(processes=(process,), lines=(line(NOW, "standby", identity="host_c"),))
        assert "ended with -15" in only(later)

    def test_a_process_that_lost_its_lease(self) -> None:
        process = Process(Lane.OPERATOR_1, A, NOW - 500, NOW + 5, 75)
        lost = line(NOW + 5, "leadership lost", "error")
        ended = replace(history(lines=(lost,)), processes=(process,))
        assert len(found(ended)) == 2  # the end and the error
        cut = span(NOW - 20, NOW, Lane.OPERATOR_1, Deed.CUT)
        assert found(replace(ended, spans=(cut,))) == []

    def test_what_is_no_line_of_the_log(self) -> None:
        process = Process(Lane.OPERATOR_1, A, NOW - 500, NOW + 5, 0, asked=NOW, strays=("Traceback",))
        assert "Traceback" in only(replace(history(), processes=(process,)))
        away = replace(process, code=69, asked=None, strays=("region-operator: the API server does not answer",))
        killed = span(NOW - 20, NOW, Lane.API_SERVER, Deed.KILLED)
        told = line(NOW - 10, "not reconciled", "warning")
        assert found(replace(history(spans=(killed,), lines=(told,)), processes=(away,))) == []


def test_a_write_when_all_is_done() -> None:
    assert "though nothing was to be done" in only(history(writes=(write(NOW + 410, B),)))
    assert found(history(writes=(lease(NOW + 410, B), write(NOW + 430, B)))) == []
    assert "never became equal" in only(replace(history(), quiet=None))


def test_a_write_of_the_status_when_the_guard_forgets() -> None:
    status = replace(write(NOW + 410, B), resource="regionschedulers", subresource="status", name="default")
    gone = history((NOW - 500, NOW + 300, ALL), (NOW + 300, math.inf, without(ROWS[0])))
    for seconds, fine in ((61, True), (30, False), (90, False)):
        deletion = write(NOW + 410 - seconds, B, "delete")
        messages = found(replace(gone, writes=(*gone.writes, deletion, status)))
        assert any("nothing was to be done" in message for message in messages) is not fine
        assert len(messages) == (not fine)


def test_a_write_of_the_status_when_an_approval_is_used_up() -> None:
    def status_write(at: float) -> Write:
        return Write(at, at + 0.01, B, "patch", "regionschedulers", "status", "default", 200)

    gone = ROWS[0]
    edited = TableState(NOW - 500, NOW + 390, ALL), TableState(NOW + 390, math.inf, without(gone))
    approval = Approval(NOW + 395, frozenset({region_key(gone.id)}))
    deletion = write(NOW + 399.5, B, "delete", row=gone)
    ended, forgotten = status_write(NOW + 399.6), status_write(NOW + 404.6)

    def after(*writes: Write, approvals: tuple[Approval, ...] = (approval,)) -> History:
        states = [(state.since, state.until, state.rows) for state in edited]
        return history(*states, writes=(deletion, *writes), approvals=approvals)

    assert found(after(ended, forgotten)) == []
    assert "nothing was to be done" in only(after(ended, forgotten, status_write(NOW + 408)))
    assert "nothing was to be done" in only(after(ended, status_write(NOW + 412)))
    assert "nothing was to be done" in only(after(ended, forgotten, approvals=()))
