"""The history of claims as Postgres keeps it: its write-ahead log, decoded. No trigger, no lock, nothing in the way.

The log has transactions in the order of their commits, rolled back ones left out
(https://www.postgresql.org/docs/current/logicaldecoding-explanation.html); `test_decoding` writes a line for each row.
"""

from __future__ import annotations

import re
from datetime import datetime
from typing import TYPE_CHECKING

from region_tick.contract import State, tick_at_of
from tests.faults.claims_history import Change, Cursor, Effect, Run, Transaction
from tests.harness.ticks import CRONJOB

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    import psycopg

EFFECT = """
CREATE TABLE public.effect (
    region_id text NOT NULL, tick_at timestamptz NOT NULL, attempt integer NOT NULL, ends boolean NOT NULL,
    seen bigint NOT NULL
)
"""
"""Whatever is written is kept: no key that would keep a second effect out."""

INSERT_EFFECT = "INSERT INTO public.effect VALUES (%s, %s, %s, %s, %s)"
SEEN = "SELECT pg_snapshot_xmin(pg_current_snapshot())::text::bigint"

_SLOT = "claims"
_CHUNK = 50_000
_TABLE = re.compile(r"table (?P<table>[\w.]+): (?P<verb>[A-Z]+): ")
_COLUMN = re.compile(r"(?P<name>\w+)\[[^\]]+\]:(?:'(?P<quoted>(?:[^']|'')*)'|(?P<bare>\S+))")
_BY = re.compile(r'attempt"?:? (\d+)')


class Log:
    """A place in a server's log, from its making on. The server needs `wal_level = logical`."""

    def __init__(self, connection: psycopg.Connection) -> None:
        self._connection = connection
        connection.execute("SELECT pg_create_logical_replication_slot(%s, 'test_decoding')", (_SLOT,))

    def read(self) -> Iterator[Transaction]:
        """Yield what was committed since the last call. Raises psycopg.Error."""
        statement = "SELECT data FROM pg_logical_slot_get_changes(%s, NULL, %s, 'skip-empty-xacts', 'on')"
        while rows := self._connection.execute(statement, (_SLOT, _CHUNK)).fetchall():
            yield from transactions(line for (line,) in rows)


def transactions(lines: Iterable[str]) -> Iterator[Transaction]:
    """Put the lines of `test_decoding` together. Raises ValueError for a change that no claim may make."""
    changes: list[Change] = []
    for line in lines:
        if line.startswith("BEGIN "):
            changes = []
        elif line.startswith("COMMIT "):
            yield Transaction(int(line.split()[1]), tuple(changes))
        else:
            changes.append(_change(line))


def _change(line: str) -> Change:
    head = _TABLE.match(line)
    if head is None:
        raise ValueError(f"not a line of test_decoding: {line!r}")
    table, columns = head["table"], _columns(line[head.end() :])
    if head["verb"] not in (("INSERT",) if table == "public.effect" else ("INSERT", "UPDATE")):
        raise ValueError(f"{head['verb']} of {table}: what a claim wrote is never taken back; the line is {line!r}")
    if table == "public.effect":
        return _effect(columns)
    if table == "region_tick.region_cursor":
        return _cursor(columns)
    if table.startswith("region_tick.job_run"):
        return _run(columns)
    raise ValueError(f"{table}: no claim writes there; the line is {line!r}")


def _columns(text: str) -> dict[str, str | None]:
    found: dict[str, str | None] = {}
    for column in _COLUMN.finditer(text):
        bare, quoted = column["bare"], column["quoted"]
        found[column["name"]] = quoted.replace("''", "'") if bare is None else None if bare == "null" else bare
    return found


def _run(columns: dict[str, str | None]) -> Run:
    end = _time(columns["window_end"])
    by = _BY.search(columns["counts"] or columns["error_message"] or "")
    rerun = columns.get("rerun_uid")
    return Run(
        tick=_tick(columns),
        attempt=int(columns["attempt"] or ""),
        state=State(columns["state"] or ""),
        started_at=_time(columns["started_at"]),
        lease_until=_time(columns["lease_until"]),
        window=(_time(columns["window_start"]), end) if end else None,
        by=int(by[1]) if by else None,
        rerun=rerun,
        again=rerun is not None and tick_at_of(columns["job_name"] or "", cronjob=CRONJOB) is None,
    )


def _effect(columns: dict[str, str | None]) -> Effect:
    return Effect(
        tick=_tick(columns),
        attempt=int(columns["attempt"] or ""),
        ends=columns["ends"] == "true",
        seen=int(columns["seen"] or ""),
    )


def _cursor(columns: dict[str, str | None]) -> Cursor:
    return Cursor(columns["region_id"] or "", datetime.fromisoformat(columns["window_end"] or ""))


def _tick(columns: dict[str, str | None]) -> tuple[str, datetime]:
    return columns["region_id"] or "", datetime.fromisoformat(columns["tick_at"] or "")


def _time(text: str | None) -> datetime | None:
    return datetime.fromisoformat(text) if text else None
