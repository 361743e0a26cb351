"""The tick as a process, on a real Postgres: what it does, what its row says, and how it exits."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from datetime import UTC
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import pytest

from region_tick.contract import ExitCode, State
from tests.database.tick_process import Process
from tests.harness.ticks import CRONJOB, SOURCE, Observer, ago, variables

if TYPE_CHECKING:
    from tests.database.tick_process import Ticks

DOCKERFILE = Path(__file__).parents[2] / "Dockerfile.tick"


def test_poke_is_one_row_and_one_line(ticks: Ticks, observer: Observer) -> None:
    process = ticks.start()
    assert process.exit_code() == ExitCode.FINAL
    row = observer.row()
    assert (row["state"], row["reason"], row["attempt"], row["cron"]) == ("succeeded", "ok", 1, "*/5 * * * *")
    assert [event["event"] for event in process.events()] == ["claimed", "poke", "finished"]
    assert process.errors == ""
    poke = process.event("poke")
    assert (poke["region.code"], poke["cron"], poke["attempt"]) == ("ch-zrh", "*/5 * * * *", 1)
    assert poke["timestamp"].endswith("Z")
    assert poke["tick_at"] == row["tick_at"].astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.000Z")


def test_a_done_tick_is_not_done_again(ticks: Ticks, observer: Observer) -> None:
    assert ticks.start().exit_code() == ExitCode.FINAL
    before = observer.row()
    again = ticks.start()
    assert again.exit_code() == ExitCode.FINAL
    assert again.event("final")["state"] == "succeeded"
    assert observer.row() | {"now": None} == before | {"now": None}


def test_a_late_tick_is_skipped(ticks: Ticks, observer: Observer) -> None:
    process = ticks.start(tick_at=ago(minutes=10), START_DEADLINE_SECONDS="15")
    assert process.exit_code() == ExitCode.FINAL
    assert process.event("final")["reason"] == "late"
    assert observer.row()["state"] == "skipped"


def test_a_tick_of_what_another_installation_owns_ends_for_good_and_says_why(ticks: Ticks, observer: Observer) -> None:
    observer.connection.execute(
        "INSERT INTO region_tick.slot_owner (source, slot, installation, since)"
        " SELECT %s, slot, 'theirs', %s FROM generate_series(0, 255) AS slot",
        (SOURCE, ago(days=1)),
    )
    process = ticks.start()
    assert process.exit_code() == ExitCode.NOT_PERMITTED
    refused = process.event("refused")
    assert (refused["owner"], refused["reason"]) == ("theirs", "another installation owns the region")
    assert refused["since"].endswith("Z")
    assert observer.rows() == []


def test_a_handler_sees_its_tick(ticks: Ticks) -> None:
    process = ticks.start(handler="seen")
    assert process.exit_code() == ExitCode.FINAL
    seen = process.event("seen")
    assert "name='Zürich', bbox=BoundingBox(min_lon=Decimal('8.440000')" in seen["tick"]
    assert seen["utc"]
    assert 50 < seen["remaining"] <= 60


@pytest.mark.parametrize("handler", ["leaves_a_transaction", "changes_its_settings", "closes", "cut_off"])
def test_whatever_a_handler_does_to_its_connection_its_row_is_written(
    handler: str, ticks: Ticks, observer: Observer
) -> None:
    assert ticks.start(handler=handler).exit_code() == ExitCode.FINAL
    assert observer.row()["state"] == "succeeded"


@pytest.mark.parametrize(
    ("handler", "code", "state", "error_class", "message"),
    [
        ("broken", ExitCode.AGAIN, State.INTERRUPTED, "builtins.ValueError", "try again"),
        ("exits", ExitCode.AGAIN, State.INTERRUPTED, "builtins.SystemExit", "0"),
        ("permanent", ExitCode.DATA, State.FAILED, "region_tick.handlers.PermanentError", "cannot be done"),
        ("wrong", ExitCode.DATA, State.FAILED, "region_tick.handlers.PermanentError", "returned 'done'"),
        ("too_far", ExitCode.DATA, State.FAILED, "region_tick.handlers.PermanentError", "outside of the tick's window"),
        ("absent", ExitCode.CONFIGURATION, State.FAILED, "region_tick.handlers.UnknownHandlerError", "no attribute"),
    ],
)
def test_an_error_is_in_the_row_and_tells_whether_to_try_again(
    handler: str, code: ExitCode, state: State, error_class: str, message: str, ticks: Ticks, observer: Observer
) -> None:
    process = ticks.start(handler=handler)
    assert process.exit_code() == code
    row = observer.row()
    assert (row["state"], row["reason"], row["error_class"]) == (state, "error", error_class)
    assert message in row["error_message"]
    assert row["lease_until"] <= row["now"]
    assert message in process.event("finished")["error"]


def test_a_handler_may_be_async_and_has_params_a_key_and_any_keys_in_its_lines(
    ticks: Ticks, observer: Observer
) -> None:
    process = ticks.start(handler="later", REGION_PARAMS='{"depth": 3}')
    assert process.exit_code() == ExitCode.FINAL
    line = process.event("params")
    assert (line["depth"], line["name"], line["level"], line["level_"]) == (3, "n", "info", "l")
    assert (line["region.id"], line["handler"], line["source"]) == ("42", "their_handlers:later", SOURCE)
    assert len(line["key"]) == 59
    assert observer.row()["counts"] == {"ok": 1}


def test_a_raw_commit_fails_the_tick_at_once_so_that_its_effects_are_not_repeated(
    ticks: Ticks, observer: Observer
) -> None:
    observer.connection.execute("CREATE TABLE effect (attempt integer)")
    process = ticks.start(handler="commits")
    assert process.exit_code() == ExitCode.DATA
    row = observer.row()
    assert (row["state"], row["error_class"]) == ("failed", "region_tick.effects.MisuseError")
    assert "take that SQL out" in row["error_message"]


def test_a_module_with_the_name_of_one_of_pythons_breaks_no_tick(ticks: Ticks, observer: Observer) -> None:
    (ticks.folder / "queue.py").write_text("def run(tick): return None\n")
    assert ticks.start(tick_at=ago(minutes=1)).exit_code() == ExitCode.FINAL
    environment = variables(ticks.database, HANDLER="queue:run")
    process = Process(ticks.folder, environment, "-m", "region_tick")
    ticks.processes.append(process)
    assert process.exit_code() == ExitCode.CONFIGURATION
    assert "queue.py: give your module another name" in observer.rows()[-1]["error_message"]


def test_with_the_images_settings_no_module_of_a_handler_hides_one_that_starts_python(
    ticks: Ticks, observer: Observer
) -> None:
    """Some are imported before any line of the tick's runs."""
    [settings] = re.findall(r"^ENV (.*PYTHON.*)$", DOCKERFILE.read_text(), re.MULTILINE)
    for name in ("runpy", "pkgutil", "signal", "queue", "typing"):
        (ticks.folder / f"{name}.py").write_text("raise RuntimeError('hidden')\n")
    environment = variables(ticks.database, HANDLER="their_handlers:permanent")
    image = dict(word.split("=") for word in settings.split())
    done = subprocess.run(
        [sys.executable, "-m", "region_tick"],
        cwd=ticks.folder,
        env=environment | image | {"PYTHONPATH": str(DOCKERFILE.parent / "tick_image")},
        check=False,
        timeout=120,
    )
    assert done.returncode == ExitCode.DATA
    assert observer.row()["error_message"] == "cannot be done"


def test_a_window_that_is_cut_is_told_of(ticks: Ticks) -> None:
    assert ticks.start(tick_at=ago(minutes=10)).exit_code() == ExitCode.FINAL
    process = ticks.start(MAX_WINDOW_SECONDS="60")
    assert process.exit_code() == ExitCode.FINAL
    assert process.event("window cut")["behind_seconds"] == 540


def test_a_database_that_cannot_be_reached_is_two_lines(ticks: Ticks) -> None:
    """One when it is away, and one when the tick gives up."""
    ticks.database = "postgresql://tick:pa55word@127.0.0.1:1/app"
    process = ticks.start(TIMEOUT_SECONDS="1", START_DEADLINE_SECONDS="1", tick_at=ago(minutes=1))
    assert process.exit_code() == ExitCode.AGAIN
    away, event = process.events()
    assert (away["event"], away["level"], away["waits_seconds"]) == ("database away", "warning", 1)
    assert (event["event"], event["level"], event["database"]) == ("database failed", "error", "tick@127.0.0.1:1/app")
    assert "pa55word" not in "".join(process.lines) + process.errors


def test_a_database_without_our_tables_is_tried_again(ticks: Ticks, empty_database: str) -> None:
    ticks.database = empty_database
    process = ticks.start()
    assert process.exit_code() == ExitCode.AGAIN
    assert 'relation "region_tick.' in process.event("database failed")["error"]


def test_a_role_without_rights_is_permanent(ticks: Ticks, observer: Observer) -> None:
    role = f"stranger_{os.getpid()}"
    observer.connection.execute(f"CREATE ROLE {role} LOGIN PASSWORD 'pa55word'".encode())
    try:
        url = urlsplit(ticks.database)
        ticks.database = url._replace(netloc=f"{role}:pa55word@{url.hostname}:{url.port}").geturl()
        process = ticks.start()
        assert process.exit_code() == ExitCode.NOT_PERMITTED
        assert "permission denied" in process.event("database failed")["error"]
    finally:
        observer.connection.execute(f"DROP ROLE {role}".encode())


def test_a_role_that_loses_its_rights_in_mid_work_is_permanent(ticks: Ticks, observer: Observer) -> None:
    role = f"demoted_{os.getpid()}"
    observer.connection.execute(f"CREATE ROLE {role} LOGIN PASSWORD 'pa55word'".encode())
    try:
        observer.connection.execute(f"GRANT USAGE ON SCHEMA region_tick TO {role}".encode())
        observer.connection.execute(f"GRANT ALL ON ALL TABLES IN SCHEMA region_tick TO {role}".encode())
        url = urlsplit(ticks.database)
        ticks.database = url._replace(netloc=f"{role}:pa55word@{url.hostname}:{url.port}").geturl()
        process = ticks.start(handler="until_released")
        process.until("working")
        observer.connection.execute(f"REVOKE UPDATE ON region_tick.job_run FROM {role}".encode())
        ticks.release()
        assert process.exit_code() == ExitCode.NOT_PERMITTED
        assert "permission denied" in process.event("not recorded")["database"]
    finally:
        observer.connection.execute(f"DROP OWNED BY {role}".encode())
        observer.connection.execute(f"DROP ROLE {role}".encode())


def test_a_thread_that_a_handler_leaves_behind_does_not_hold_up_a_tick_that_is_done(
    ticks: Ticks, observer: Observer
) -> None:
    process = ticks.start(handler="leaves_a_thread", TIMEOUT_SECONDS="60")
    assert process.exit_code() == ExitCode.FINAL
    assert observer.row()["state"] == "succeeded"


def test_a_manual_run_is_marked(ticks: Ticks, observer: Observer) -> None:
    process = ticks.start(JOB_NAME="by-hand", JOB_UID="uid-7")
    assert process.exit_code() == ExitCode.FINAL
    assert process.event("claimed")["manual"]
    assert (observer.row()["manual_uid"], observer.row()["job_name"]) == ("uid-7", "by-hand")


def test_a_later_tick_is_another(ticks: Ticks, observer: Observer) -> None:
    assert ticks.start(tick_at=ago(minutes=1)).exit_code() == ExitCode.FINAL
    assert ticks.start().exit_code() == ExitCode.FINAL
    assert [row["state"] for row in observer.rows()] == ["succeeded"] * 2
    assert len({row["job_name"] for row in observer.rows()}) == 2
    assert all(row["job_name"].startswith(CRONJOB) for row in observer.rows())


def test_effects_and_the_end_of_a_tick_are_committed_together_whatever_comes_after(
    ticks: Ticks, observer: Observer
) -> None:
    observer.connection.execute("CREATE TABLE effect (attempt integer)")
    process = ticks.start(handler="finishes")
    assert process.exit_code() == ExitCode.FINAL
    finished = process.event("finished")
    assert (finished["level"], finished["state"], finished["counts"]) == ("warning", "succeeded", {"made": 1})
    assert "too late to matter" in finished["error"]
    row = observer.row()
    assert (row["state"], row["counts"], row["error_class"]) == ("succeeded", {"made": 1}, None)


def test_one_that_dies_after_its_effects_does_not_make_them_again(ticks: Ticks, observer: Observer) -> None:
    observer.connection.execute("CREATE TABLE effect (attempt integer)")
    assert ticks.start(handler="finishes_and_dies").exit_code() == 137
    retry = ticks.start(handler="finishes_and_dies")
    assert retry.exit_code() == ExitCode.FINAL
    assert retry.event("final")["state"] == "succeeded"
    assert observer.connection.execute("SELECT attempt FROM effect").fetchall() == [(1,)]


def test_each_column_of_the_ledger_is_written_at_the_start_and_at_the_end(ticks: Ticks, observer: Observer) -> None:
    def empty() -> set[str]:
        row = observer.rows()[-1]
        written = {name: value for name, value in row.items() if not name.startswith(("rerun_", "log_"))}
        return {name for name, value in written.items() if value is None}

    ticks.release()
    assert ticks.start(handler="until_released", tick_at=ago(minutes=1)).exit_code() == ExitCode.FINAL
    assert empty() == {"error_class", "error_message", "window_start"}
    (ticks.folder / "released").unlink()
    second = ticks.start(handler="until_released")
    second.until("working")
    assert empty() == {"reason", "finished_at", "exit_code", "counts", "error_class", "error_message"}
    ticks.release()
    assert second.exit_code() == ExitCode.FINAL
    assert empty() == {"error_class", "error_message"}
    assert ticks.start(handler="permanent", tick_at=ago(minutes=2)).exit_code() == ExitCode.DATA
    assert empty() == {"counts", "window_start"}
