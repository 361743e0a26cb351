"""Claims of a tick's own Job and of reruns, in any order, against a model of what each may do, on a real Postgres."""

from __future__ import annotations

from contextlib import closing
from dataclasses import dataclass
from typing import TYPE_CHECKING
from uuid import uuid4

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule, run_state_machine_as_test

from region_tick.claim import Claimed, Final, Leased, NotDue, claim
from region_tick.contract import Reason, State, job_name, rerun_job_name
from region_tick.database_url import DatabaseUrl
from region_tick.fence import Ending, finish, renew
from region_tick.rerun import claim_again
from region_tick.session import connect
from tests.harness.ticks import CRONJOB, LEASE, SOURCE, ago, environment

if TYPE_CHECKING:
    import psycopg

TICK_AT = ago(minutes=10)
RERUNS = st.sampled_from(["rerun-a", "rerun-b"])
ENDINGS = st.sampled_from([State.SUCCEEDED, State.FAILED, State.INTERRUPTED])


@dataclass(slots=True)
class Row:
    """What the row of the tick should say. `leased`: the lease of the last attempt holds."""

    state: State
    attempt: int
    leased: bool = False
    rerun: str | None = None


class Claims(RuleBasedStateMachine):
    """One tick, its own Job, two reruns and the ledger."""

    def __init__(self, database: str, connection: psycopg.Connection) -> None:
        super().__init__()
        self._database, self._connection = database, connection
        self._region = uuid4().hex
        self._row: Row | None = None
        self._claimed: list[Claimed] = []
        self._suspended = False

    @initialize(suspended=st.booleans())
    def begin(self, suspended: bool) -> None:
        """A suspension counts the tick, or the tick is due."""
        self._suspended = suspended
        if suspended:
            self._connection.execute(
                "INSERT INTO region_tick.suspension (source, region_id, suspended_from, region_code, cron,"
                " first_tick_at, last_tick_at, ticks, counted_until)"
                " VALUES (%s, %s, %s, '', '* * * * *', %s, %s, 1, %s)",
                (SOURCE, self._region, ago(minutes=20), TICK_AT, TICK_AT, TICK_AT),
            )

    @precondition(lambda self: self._row is None and not self._suspended)
    @rule(state=st.sampled_from([State.MISSED, State.SKIPPED]))
    def judge(self, state: State) -> None:
        """The ledger gives the tick its final row."""
        self._connection.execute(
            "INSERT INTO region_tick.job_run (source, region_id, tick_at, region_code, cron, state, finished_at)"
            " VALUES (%s, %s, %s, '', '* * * * *', %s, now())",
            (SOURCE, self._region, TICK_AT, state),
        )
        self._row = Row(state, 0)

    @rule()
    def ask_as_own_job(self) -> None:
        """A pod of the tick's own Job claims."""
        asked = environment(
            self._database,
            tick_at=TICK_AT,
            REGION_ID=self._region,
            JOB_NAME=job_name(CRONJOB, TICK_AT),
            POD_NAME=uuid4().hex,
        )
        verdict = claim(self._connection, asked, lease_seconds=LEASE)
        row = self._row
        if row is None and self._suspended:
            assert verdict == Final(verdict.key, State.SKIPPED, Reason.SUSPENDED)
        elif row is not None and row.state.final:
            assert isinstance(verdict, Final)
            assert verdict.state is row.state
        elif row is not None and row.leased:
            assert isinstance(verdict, Leased)
        else:
            self._is_claimed(verdict, rerun=row.rerun if row else None)

    @rule(uid=RERUNS)
    def ask_as_rerun(self, uid: str) -> None:
        """A pod of a rerun's Job claims."""
        asked = environment(
            self._database,
            REGION_ID=self._region,
            JOB_NAME=rerun_job_name(CRONJOB, TICK_AT, attempt=1),
            JOB_UID=uid,
            POD_NAME=uuid4().hex,
            RERUN_OF=f"{TICK_AT:%Y-%m-%dT%H:%M:00Z}",
        )
        verdict = claim_again(self._connection, asked, lease_seconds=LEASE)
        row = self._row
        if row is None and not self._suspended:
            assert isinstance(verdict, NotDue)
        elif row is not None and (row.state is State.SUCCEEDED or (row.state.final and row.rerun == uid)):
            assert verdict == Final(verdict.key, row.state, verdict.reason)  # type: ignore[union-attr]
        elif row is not None and row.leased:
            assert isinstance(verdict, Leased)
        else:
            self._is_claimed(verdict, rerun=uid)

    def _is_claimed(self, verdict: object, *, rerun: str | None) -> None:
        attempt = self._row.attempt + 1 if self._row else 1
        assert isinstance(verdict, Claimed)
        assert verdict.attempt == attempt
        self._row = Row(State.RUNNING, attempt, leased=True, rerun=rerun)
        self._claimed.append(verdict)

    @precondition(lambda self: self._claimed)
    @rule(state=ENDINGS, data=st.data())
    def end(self, state: State, data: st.DataObject) -> None:
        """Any attempt that ever claimed ends: only the one that holds the tick may."""
        claimed = data.draw(st.sampled_from(self._claimed))
        held = self._holds(claimed)
        assert renew(self._connection, claimed, lease_seconds=LEASE) is held
        assert finish(self._connection, claimed, Ending(state=state, reason=Reason.OK)) is held
        if held and self._row:
            self._row = Row(state, self._row.attempt, rerun=self._row.rerun)

    @precondition(lambda self: self._row is not None and self._row.leased)
    @rule()
    def freeze(self) -> None:
        """The attempt's lease runs out."""
        assert self._row
        self._set("lease_until = clock_timestamp() - interval '1 second'")
        self._row.leased = False

    @precondition(lambda self: self._row is not None and not self._row.state.final and not self._row.leased)
    @rule()
    def close(self) -> None:
        """The ledger closes the row, because its Job is gone."""
        assert self._row
        self._set("state = 'failed', reason = 'lost', finished_at = clock_timestamp()")
        self._row = Row(State.FAILED, self._row.attempt, rerun=self._row.rerun)

    def _holds(self, claimed: Claimed) -> bool:
        row = self._row
        return bool(row and row.leased and row.state is State.RUNNING and row.attempt == claimed.attempt)

    def _set(self, assignments: str) -> None:
        self._connection.execute(f"UPDATE region_tick.job_run SET {assignments} WHERE region_id = %s", (self._region,))

    def teardown(self) -> None:
        """A tick has one row, and no rerun made a cursor beside it."""
        rows = self._connection.execute(
            "SELECT state, attempt, rerun_uid FROM region_tick.job_run WHERE region_id = %s", (self._region,)
        ).fetchall()
        assert rows == ([(self._row.state, self._row.attempt, self._row.rerun)] if self._row else [])


def test_each_claim_gets_what_the_model_says(database: str) -> None:
    with closing(connect(DatabaseUrl.parse(database))) as connection:
        run_state_machine_as_test(
            lambda: Claims(database, connection),  # type: ignore[arg-type]
            settings=settings(
                max_examples=60, stateful_step_count=20, deadline=None, suppress_health_check=list(HealthCheck)
            ),
        )
