from __future__ import annotations

from typing import Any

import pytest

from tests.faults.course import Deed, Edit, Lane, Row
from tests.faults.history import History, Line, Process, Span, TableState, Violation, Write
from tests.faults.random_faults import draw
from tests.faults.report import explain, summarise

AUDIT: dict[str, Any] = {
    "userAgent": "region-operator/0.1.0 (host_1)",
    "verb": "patch",
    "objectRef": {"resource": "cronjobs", "name": "r-1-0123456789ab"},
    "responseStatus": {"code": 201},
    "requestReceivedTimestamp": "2026-11-24T09:00:00.250000Z",
    "stageTimestamp": "2026-11-24T09:00:01.500000Z",
}
AT = 1795510800.0


def test_an_audit_event_is_read() -> None:
    write = Write.from_audit(AUDIT)
    assert write == Write(AT + 0.25, AT + 1.5, "host_1", "patch", "cronjobs", "", "r-1-0123456789ab", 201)
    assert write.done
    assert write.by_operator


@pytest.mark.parametrize(
    ("change", "done", "by_operator"),
    [
        ({"userAgent": "kubectl/v1.37.0"}, True, False),
        ({"objectRef": {"resource": "leases"}}, True, False),
        ({"responseStatus": {"code": 409}}, False, True),
        ({"responseStatus": {}}, False, True),
    ],
)
def test_what_counts_as_a_write_of_an_operator(change: dict[str, Any], *, done: bool, by_operator: bool) -> None:
    write = Write.from_audit(AUDIT | change)
    assert (write.done, write.by_operator) == (done, by_operator)


def test_a_line_of_the_log_is_read() -> None:
    body = {"ts": "2026-11-24T09:00:00.250Z", "level": "info", "event": "added", "cronjob": "r"}
    assert Line.from_log("host_1", body) == Line(AT + 0.25, "host_1", "info", "added", body)


@pytest.mark.parametrize(
    ("begin", "end", "touches"), [(0, 9, False), (0, 10, True), (12, 13, True), (20, 30, True), (21, 30, False)]
)
def test_when_a_span_touches_another(begin: float, end: float, *, touches: bool) -> None:
    assert Span(10, 20, Lane.DATABASE, Deed.KILLED).touches(begin, end) is touches


def test_who_has_to_find_the_cause_is_told_the_seed_the_course_and_what_happened_around() -> None:
    row = Row("a", "A", "@hourly")
    history = History(
        table=(TableState(AT - 50, AT - 10, {}), TableState(AT - 10, AT + 50, Edit(put=(row,)).of({}))),
        spans=(Span(AT - 5, AT - 1, Lane.DATABASE, Deed.KILLED), Span(AT - 99, AT - 98, Lane.PEOPLE, Deed.DELETE)),
        processes=(Process(Lane.OPERATOR_1, "host_1", AT - 20, AT + 1, -9, asked=AT),),
        approvals=(),
        writes=(Write.from_audit(AUDIT),),
        lines=(Line(AT - 1, "host_1", "info", "added", {"cronjob": "r-1"}), Line(AT, "host_1", "debug", "quiet", {})),
        cronjobs=(),
        scheduler={},
    )
    course = draw(7, 30)
    text = explain(course, history, [Violation(AT, "all is lost"), *[Violation(AT, "and more")] * 30])
    assert "31 violations; RANDOM_FAULTS_SEED=7" in text
    assert "09:00:00.000  all is lost" in text
    assert "and 11 more" in text
    around = text.partition("around the first")[2].partition("the course:")[0]
    for words in ("BEGINS  database killed", "TABLE   1 rows, +1", "ENDED   operator 1", "patch cronjobs", "added"):
        assert words in around
    assert "people delete" not in around
    assert "quiet" not in around
    assert text.endswith(str(course))
    assert summarise(history) == (
        "1 edits, 1 commands, 1 faults, 0 leaders, 1 CronJobs written, 0 deleted, 0 waiting Jobs deleted,"
        " 0 approvals, 0 reconciles failed; operators ended: 1 with -9"
    )
