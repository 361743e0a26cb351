"""The commands that work on the database alone, as processes of their own: what they say, and how they end."""

from __future__ import annotations

import os
import subprocess
import sys
from datetime import UTC, date, datetime, timedelta

import psycopg
import pytest

from devcluster.ports import free_port
from region_operator.database.migrate import newest_revision
from region_operator.database.partitions import partition_name
from tests.database.schema import run, value

KEPT = timedelta(days=7)


def command(url: str | None, *words: str) -> subprocess.CompletedProcess[str]:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("DATABASE_")}
    return subprocess.run(
        [sys.executable, "-m", "region_operator", *words],
        env=environment | {"RETENTION_DAYS": str(KEPT.days)} | ({"DATABASE_URL": url} if url else {}),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def migrate(url: str | None) -> subprocess.CompletedProcess[str]:
    return command(url, "migrate")


def add_day(database: str, day: date) -> None:
    limits = f"FROM ('{day} 00:00Z') TO ('{day + timedelta(days=1)} 00:00Z')"
    run(
        database,
        f"CREATE TABLE region_tick.{partition_name(day)} PARTITION OF region_tick.job_run FOR VALUES {limits}",
    )


@pytest.fixture(name="days")
def _days(database: str) -> list[date]:
    """Four days that are older than the retention. The second one has a row that was made just now."""
    cutoff = datetime.now(UTC).date() - KEPT
    days = [cutoff - timedelta(days=number) for number in (4, 3, 2, 1)]
    for day in days:
        add_day(database, day)
    run(
        database,
        "INSERT INTO region_tick.job_run (source, region_id, tick_at, region_code, cron, state)"
        f" VALUES ('s', '1', '{days[1]} 12:00Z', '', '', 'succeeded')",
    )
    return days


def partitions(database: str, days: list[date]) -> list[date]:
    return [day for day in days if value(database, f"SELECT to_regclass('region_tick.{partition_name(day)}')")]


def test_old_days_are_listed_and_a_person_may_delete_all_at_once(database: str, days: list[date]) -> None:
    listed = command(database, "retention")
    assert listed.returncode == 0, listed.stderr
    now, old = listed.stdout.splitlines()
    assert abs(datetime.fromisoformat(now.removeprefix("the database's time: ")) - datetime.now(UTC)) < timedelta(0, 60)
    assert old == f"days of job_run before {days[-1] + timedelta(days=1)}: {', '.join(map(str, days))}"
    assert partitions(database, days) == days
    deleted = command(database, "retention", "--now")
    assert deleted.stdout.splitlines()[1:] == [
        old,
        f"deleted: {days[0]}, {days[2]}, {days[3]}",
        f"kept, because rows were made since: {days[1]}",
    ]
    assert partitions(database, days) == [days[1]]
    assert command(database, "retention", "--now").stdout.splitlines()[2] == "deleted: none"


def test_a_reader_is_given_way_to_and_the_rest_is_for_later(database: str, days: list[date]) -> None:
    with psycopg.connect(database) as reader:
        reader.execute("SELECT count(*) FROM region_tick.job_run")
        done = command(database, "retention", "--now")
    assert (done.returncode, "run it again later" in done.stderr) == (os.EX_TEMPFAIL, True), done.stderr
    assert partitions(database, days) == days


def test_without_a_schema_it_says_how_to_make_one(empty_database: str) -> None:
    done = command(empty_database, "retention")
    assert (done.returncode, "run `region-operator migrate`" in done.stderr) == (os.EX_CONFIG, True), done.stderr


def test_it_says_what_it_did_and_is_harmless_a_second_time(empty_database: str) -> None:
    first, second = migrate(empty_database), migrate(empty_database)
    assert (first.returncode, second.returncode) == (0, 0), first.stderr + second.stderr
    assert first.stdout.splitlines() == [
        f"schema region_tick: none -> {newest_revision()}",
        "region_index: created, its trigger: created",
        "partitions of job_run: 15 made",
        "indexes of job_run's partitions: 3 built",
    ]
    assert second.stdout.splitlines() == [
        f"schema region_tick: {newest_revision()} -> {newest_revision()}",
        "region_index: found, its trigger: found",
        "partitions of job_run: 0 made",
        "indexes of job_run's partitions: 0 built",
    ]


def test_no_database_is_a_message_and_no_traceback() -> None:
    done = migrate(f"postgresql://nobody:hunter2@127.0.0.1:{free_port()}/none")
    assert done.returncode == os.EX_UNAVAILABLE
    assert done.stderr.startswith("region-operator: the database cannot be reached: ")
    assert "hunter2" not in done.stderr
    assert "Traceback" not in done.stderr


def test_no_url_and_a_bad_one_are_said() -> None:
    for url, says in ((None, "set DATABASE_URL=postgresql://"), ("mysql://host/", "mysql")):
        done = migrate(url)
        assert (done.returncode, says in done.stderr) == (os.EX_CONFIG, True), done.stderr


def test_a_newer_schema_is_left_alone(database: str) -> None:
    with psycopg.connect(database) as connection:
        connection.execute("UPDATE region_tick.alembic_version SET version_num = '9999'")
    done = migrate(database)
    assert (done.returncode, "run a newer release" in done.stderr) == (os.EX_CONFIG, True), done.stderr
