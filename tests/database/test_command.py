"""`region-tick run`: a handler for a region of the table, run from a laptop."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import psycopg
import pytest

from region_tick.contract import ExitCode

if TYPE_CHECKING:
    from pathlib import Path

    from tests.harness.ticks import Observer

HANDLER = """
from region_tick.handlers import Outcome, PermanentError

def store(tick):
    with tick.transaction() as connection:
        connection.execute("CREATE TABLE IF NOT EXISTS found (id text)")
        connection.execute("INSERT INTO found VALUES (%s)", (tick.region.id,))
        tick.finish(Outcome({"stored": 1}))
    tick.log.info("seen", extra={"box": str(tick.region.bbox), "params": tick.params, "manual": tick.manual})

def nests(tick):
    with tick.connection.transaction(), tick.transaction():
        pass

def waits(tick):
    limits = []
    for _ in range(2):
        limits += tick.connection.execute("SELECT current_setting('statement_timeout')").fetchone()
        with tick.transaction() as connection:
            limits += connection.execute("SELECT current_setting('statement_timeout')").fetchone()
    return Outcome(reason=" ".join(limits))

def fails(tick):
    raise PermanentError("no box")
"""
REGION = """
INSERT INTO region_index (code, name, bbox_min_lon, bbox_min_lat, bbox_max_lon, bbox_max_lat, cron_schedule)
VALUES ('ch-zrh', 'Zürich', 8.44, 47.32, 8.63, 47.44, '*/5 * * * *'), ('de-be', '', NULL, NULL, NULL, NULL, '@daily')
"""


def region_tick(folder: Path, *arguments: str, **variables: str) -> tuple[int, list[dict[str, Any]], str]:
    """Run the command in a folder with the handler; return the exit code, the lines and the errors."""
    (folder / "theirs.py").write_text(HANDLER)
    command = [sys.executable, "-P", "-m", "region_tick", *arguments]
    done = subprocess.run(
        command, cwd=folder, env={"PYTHONPATH": ":".join(sys.path)} | variables, capture_output=True, text=True,
        check=False, timeout=120,
    )  # fmt: skip
    return done.returncode, [json.loads(line) for line in done.stdout.splitlines() if line[0] == "{"], done.stderr


@pytest.fixture
def regions(database: str) -> str:
    """A database with two regions."""
    with psycopg.connect(database) as connection:
        connection.execute(REGION)
    return database


def run(folder: Path, database: str, *arguments: str, handler: str = "theirs:store", region: str = "ch-zrh") -> Any:
    return region_tick(folder, "run", "--handler", handler, "--region", region, "--database", database, *arguments)


def tables(database: str) -> list[Any]:
    with psycopg.connect(database) as connection:
        return connection.execute("SELECT to_regclass('found'), to_regnamespace('region_tick')").fetchall()


def test_a_run_is_a_manual_run_with_its_row(regions: str, tmp_path: Path, observer: Observer) -> None:
    code, lines, errors = run(tmp_path, regions)
    assert (code, errors) == (ExitCode.FINAL, "")
    row = observer.row()
    assert (row["state"], row["counts"], row["source"]) == ("succeeded", {"stored": 1}, "public.region_index")
    assert (row["region_code"], row["manual_uid"] != "", row["handler"]) == ("ch-zrh", True, "theirs:store")
    (seen,) = (line for line in lines if line["event"] == "seen")
    assert "Decimal('8.440000')" in seen["box"]
    assert seen["manual"]
    assert observer.connection.execute("SELECT count(*) FROM region_tick.region_cursor").fetchone() == (0,)


def test_a_dry_run_leaves_nothing_behind(regions: str, tmp_path: Path, observer: Observer) -> None:
    code, lines, _ = run(tmp_path, regions, "--dry-run", "--params", '{"depth": 3}', "--bbox", "1,2,3,4")
    assert code == ExitCode.FINAL
    assert lines[-1]["event"] == "would succeed"
    assert lines[-1]["counts"] == {"stored": 1}
    assert lines[-2]["params"] == {"depth": 3}
    assert "min_lon=Decimal('1')" in lines[-2]["box"]
    assert observer.rows() == []
    assert tables(regions)[0][0] is None


def test_a_dry_run_needs_an_empty_database_only(empty_database: str, tmp_path: Path) -> None:
    code, lines, errors = run(tmp_path, empty_database, "--dry-run")
    assert code == ExitCode.FINAL
    assert "the region is made up" in errors
    assert [line["event"] for line in lines] == ["tables made", "seen", "would succeed"]
    assert tables(empty_database) == [(None, None)]


def test_a_dry_run_that_fails_says_why(empty_database: str, tmp_path: Path) -> None:
    code, lines, _ = run(tmp_path, empty_database, "--dry-run", handler="theirs:fails")
    assert (code, lines[-1]["event"], lines[-1]["error"]) == (ExitCode.DATA, "would fail", "PermanentError: no box")
    code, lines, _ = run(tmp_path, empty_database, "--dry-run", handler="theirs:nothing")
    assert (code, lines[-1]["event"]) == (ExitCode.CONFIGURATION, "would fail")


@pytest.mark.parametrize("dry", [("--dry-run",), ()])
def test_a_dry_run_refuses_and_bounds_what_a_run_does(dry: tuple[str, ...], regions: str, tmp_path: Path) -> None:
    code, lines, _ = run(tmp_path, regions, *dry, handler="theirs:nests")
    assert code == ExitCode.DATA
    assert "end that one first" in lines[-1]["error"]
    code, lines, _ = run(tmp_path, regions, *dry, handler="theirs:waits")
    assert (code, lines[-1]["reason"]) == (ExitCode.FINAL, "0 10s 0 10s")


@pytest.mark.parametrize("handler", ["poke", "enqueue"])
def test_built_in_handlers_run_too(handler: str, regions: str, tmp_path: Path, observer: Observer) -> None:
    assert run(tmp_path, regions, handler=handler)[0] == ExitCode.FINAL
    assert run(tmp_path, regions, "--dry-run", handler=handler)[0] == ExitCode.FINAL
    assert observer.row()["state"] == "succeeded"


def test_other_tables_have_other_columns(regions: str, tmp_path: Path) -> None:
    with psycopg.connect(regions) as connection:
        connection.execute("CREATE SCHEMA geo")
        connection.execute(
            "CREATE TABLE geo.areas AS SELECT id, code AS slug, name, bbox_min_lon, bbox_min_lat, bbox_max_lon,"
            """ bbox_max_lat, cron_schedule, '{"depth": 7}'::jsonb AS options FROM region_index"""
        )
    named = ("--table", "geo.areas", "--column", "code=slug", "--column", "params=options")
    code, lines, _ = run(tmp_path, regions, "--dry-run", *named)
    assert (code, lines[0]["params"]) == (ExitCode.FINAL, {"depth": 7})


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--table", "nowhere"), "no table public.nowhere: name the table of regions by --table"),
        (("--column", "code=slug"), 'column "slug" does not exist: name the table\'s column by --column'),
        (("--column", "slug"), "--column slug: write FIELD=COLUMN"),
        (("--params", "[]"), "REGION_PARAMS is '[]': write a JSON object"),
        (("--region", "ch-zhr"), "no row with the code 'ch-zhr'; codes are ch-zrh, de-be"),
        (("--database", "mysql://pa55word@x/y"), "DATABASE_URL has the scheme mysql"),
    ],
)
def test_a_mistake_is_named_with_the_remedy(
    arguments: tuple[str, ...], said: str, regions: str, tmp_path: Path
) -> None:
    code, lines, errors = run(tmp_path, regions, *arguments)
    assert (code, lines) == (ExitCode.CONFIGURATION, [])
    assert said in errors
    assert "pa55word" not in errors


def test_a_wrong_call_is_told_how(tmp_path: Path) -> None:
    code, _, errors = region_tick(tmp_path, "run", "--handler", "poke")
    assert (code, "--region" in errors) == (2, True)
    code, _, errors = run(tmp_path, "postgresql://127.0.0.1:1/x")
    assert code == ExitCode.AGAIN
    assert "cannot be asked" in errors
