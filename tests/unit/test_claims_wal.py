"""Lines of Postgres' test_decoding, as its version 18 writes them, turned into a history."""

from __future__ import annotations

import re
from datetime import UTC, datetime

import pytest

from region_tick.contract import State
from tests.faults.claims_history import Change, Cursor, Effect, Run, Transaction
from tests.faults.claims_wal import transactions

TICK = ("1", datetime(2026, 11, 24, 10, 2, tzinfo=UTC))
KEY = (
    "source[text]:'public.region_index' region_id[text]:'1'"
    " tick_at[timestamp with time zone]:'2026-11-24 10:02:00+00' manual_uid[text]:''"
)
RUN = (
    "table region_tick.job_run_20261124: {}: "
    + KEY
    + (
        " region_code[text]:'it''s' cron[text]:'*/5 * * * *' handler[text]:'history' state[text]:'{}' reason[text]:null"
        " attempt[integer]:2 lease_until[timestamp with time zone]:'2026-11-24 09:59:55.5+00' job_name[text]:'a-1'"
        " pod[text]:'claimer-1' node[text]:'n' started_at[timestamp with time zone]:'2026-11-24 09:59:54.971147+00'"
        " finished_at[timestamp with time zone]:null window_start[timestamp with time zone]:null"
        " window_end[timestamp with time zone]:'2026-11-24 10:02:00+00' counts[jsonb]:{} error_class[text]:null"
        " error_message[text]:{} created_at[timestamp with time zone]:'2026-11-24 09:59:54.9+00'"
    )
)
CURSOR = (
    "table region_tick.region_cursor: {}: "
    + KEY
    + (
        " handler[text]:'history' window_start[timestamp with time zone]:null"
        " window_end[timestamp with time zone]:'2026-11-24 10:02:00+00'"
    )
)
EFFECT = "table public.effect: {}: " + KEY + " attempt[integer]:2 ends[boolean]:true seen[bigint]:741"


def run(state: State, by: int | None) -> Run:
    return Run(
        tick=TICK,
        attempt=2,
        state=state,
        started_at=datetime(2026, 11, 24, 9, 59, 54, 971147, tzinfo=UTC),
        lease_until=datetime(2026, 11, 24, 9, 59, 55, 500000, tzinfo=UTC),
        window=(None, TICK[1]),
        by=by,
    )


def read(*lines: str) -> tuple[Change, ...]:
    (transaction,) = transactions(["BEGIN 742", *lines, "COMMIT 742"])
    assert transaction.number == 742
    return transaction.changes


@pytest.mark.parametrize(
    ("line", "change"),
    [
        (RUN.format("INSERT", "running", "null", "null"), run(State.RUNNING, None)),
        (RUN.format("UPDATE", "succeeded", "'{\"attempt\": 1}'", "null"), run(State.SUCCEEDED, 1)),
        (RUN.format("UPDATE", "interrupted", "null", "'attempt 12'"), run(State.INTERRUPTED, 12)),
        (RUN.format("UPDATE", "interrupted", "null", "'region_code[text]:''x'' '"), run(State.INTERRUPTED, None)),
        (CURSOR.format("INSERT"), Cursor("1", TICK[1])),
        (CURSOR.format("UPDATE"), Cursor("1", TICK[1])),
        (EFFECT.format("INSERT"), Effect(tick=TICK, attempt=2, ends=True, seen=741)),
    ],
)
def test_a_line_is_a_change(line: str, change: Change) -> None:
    assert read(line) == (change,)


def test_a_tick_that_was_never_begun_has_neither_times_nor_window() -> None:
    line = RUN.format("INSERT", "skipped", "null", "null")
    empty = re.sub(r"((lease_until|started_at|window_end)\[[^]]+\]:)'[^']*'", r"\1null", line)
    assert read(empty) == (Run(tick=TICK, attempt=2, state=State.SKIPPED),)


def test_changes_belong_to_the_transaction_that_commits_them() -> None:
    effect, cursor = EFFECT.format("INSERT"), CURSOR.format("INSERT")
    lines = ["BEGIN 7", effect, cursor, "COMMIT 7", "BEGIN 6", cursor, "COMMIT 6"]
    assert [(one.number, len(one.changes)) for one in transactions(lines)] == [(7, 2), (6, 1)]
    assert list(transactions(lines[:3])) == []
    assert list(transactions(["BEGIN 5", "COMMIT 5"])) == [Transaction(5, ())]


@pytest.mark.parametrize(
    "line",
    [EFFECT.format("UPDATE"), EFFECT.format("DELETE"), RUN.format("DELETE", "running", "null", "null")],
)
def test_what_was_written_is_never_taken_back(line: str) -> None:
    with pytest.raises(ValueError, match="never taken back"):
        read(line)


def test_a_table_that_no_claim_writes_is_refused() -> None:
    with pytest.raises(ValueError, match=r"region_tick\.creator: no claim writes there"):
        read("table region_tick.creator: INSERT: id[bigint]:1")


def test_what_is_no_line_of_it_is_refused() -> None:
    with pytest.raises(ValueError, match="not a line of test_decoding: 'message'"):
        read("message")
