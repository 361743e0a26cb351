"""`region-operator migrate` as a process of its own: what it says, and how it ends."""

from __future__ import annotations

import os
import subprocess
import sys

import psycopg

from devcluster.ports import free_port
from region_operator.database.migrate import newest_revision


def migrate(url: str | None) -> subprocess.CompletedProcess[str]:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("DATABASE_")}
    return subprocess.run(
        [sys.executable, "-m", "region_operator", "migrate"],
        env=environment | ({"DATABASE_URL": url} if url else {}),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_it_says_what_it_did_and_is_harmless_a_second_time(empty_database: str) -> None:
    first, second = migrate(empty_database), migrate(empty_database)
    assert (first.returncode, second.returncode) == (0, 0), first.stderr + second.stderr
    assert first.stdout.splitlines() == [
        f"schema region_tick: none -> {newest_revision()}",
        "region_index: created, its trigger: created",
        "partitions of job_run: 15 made",
        "indexes of job_run's partitions: 2 built",
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
