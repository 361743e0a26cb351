"""examples/handler as its image runs it: `python -m region_tick` in the folder of the module."""

from __future__ import annotations

import json
from contextlib import suppress
from datetime import datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlsplit

import pytest

from region_tick.contract import ExitCode
from tests.database.tick_process import Process
from tests.harness.ticks import TICK_AT, Observer, ago, variables

if TYPE_CHECKING:
    from collections.abc import Iterator

EXAMPLE = Path(__file__).parents[2] / "examples" / "handler"
QUAKE = {"id": "us7000", "properties": {"time": 1_767_225_600_123, "mag": 4.5, "place": "near Zürich"}}


class Catalogue:
    """Answers each request as told, and keeps what was asked for."""

    def __init__(self) -> None:
        self.status, self.features, self.blanks = 200, [QUAKE], 0
        self.longest = timedelta(days=1000)
        self.asked: list[dict[str, str]] = []
        catalogue = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                query = parse_qs(urlsplit(self.path).query)
                catalogue.asked.append({name: values[0] for name, values in query.items()})
                begin, end = catalogue.spans()[-1]
                self.send_response(400 if end - begin > catalogue.longest else catalogue.status)
                self.end_headers()
                with suppress(OSError):  # who reads no further hangs up
                    self.wfile.write(json.dumps({"features": catalogue.features}).encode() + b" " * catalogue.blanks)

            def log_message(self, *_: Any) -> None: ...

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}/query"

    def spans(self) -> list[tuple[datetime, datetime]]:
        """Return the spans of time that were asked for."""
        return [
            (datetime.fromisoformat(asked["starttime"]), datetime.fromisoformat(asked["endtime"]))
            for asked in self.asked
        ]


@pytest.fixture
def catalogue() -> Iterator[Catalogue]:
    catalogue = Catalogue()
    serving = Thread(target=catalogue.server.serve_forever)
    serving.start()
    yield catalogue
    catalogue.server.shutdown()
    serving.join()
    catalogue.server.server_close()


@pytest.fixture(autouse=True)
def table(observer: Observer) -> None:
    observer.connection.execute(
        "CREATE TABLE quake (id text, region_id text, happened_at timestamptz, magnitude float8, place text,"
        " PRIMARY KEY (id, region_id))"
    )


def run(database: str, catalogue: Catalogue, **changes: Any) -> int:
    environment = variables(database, **{"HANDLER": "quakes:run"} | changes) | {"QUAKES_URL": catalogue.url}
    process = Process(EXAMPLE, environment, "-m", "region_tick")
    with process.popen:
        return process.exit_code()


def test_it_fetches_the_window_and_what_is_published_late_and_stores_each_quake_once(
    catalogue: Catalogue, database: str, observer: Observer
) -> None:
    assert run(database, catalogue, tick_at=ago(minutes=5)) == ExitCode.FINAL
    assert run(database, catalogue) == ExitCode.FINAL
    assert [(asked["starttime"], asked["endtime"]) for asked in catalogue.asked] == [
        (ago(minutes=5, days=1).isoformat(), ago(minutes=5).isoformat()),
        ((ago(minutes=5) - timedelta(hours=6)).isoformat(), TICK_AT.isoformat()),
    ]
    assert catalogue.asked[0]["maxlongitude"] == "8.630000"
    stored = observer.connection.execute("SELECT id, region_id, magnitude, place FROM quake").fetchall()
    assert stored == [("us7000", "42", 4.5, "near Zürich")]
    counts = [(row["state"], row["counts"]) for row in observer.rows()]
    assert counts == [("succeeded", {"fetched": 1, "stored": 1}), ("succeeded", {"fetched": 1, "stored": 0})]


@pytest.mark.parametrize(
    ("status", "code", "state"),
    [(503, ExitCode.AGAIN, "interrupted"), (429, ExitCode.AGAIN, "interrupted"), (400, ExitCode.DATA, "failed")],
)
def test_what_may_pass_is_tried_again_and_what_may_not_is_not(
    status: int, code: ExitCode, state: str, catalogue: Catalogue, database: str, observer: Observer
) -> None:
    catalogue.status = status
    assert run(database, catalogue) == code
    assert observer.row()["state"] == state


def test_a_catalogue_that_answers_only_so_much_is_asked_in_pieces_until_all_is_fetched(
    catalogue: Catalogue, database: str, observer: Observer
) -> None:
    catalogue.longest = timedelta(hours=4)
    assert run(database, catalogue) == ExitCode.FINAL
    answered = [span for span in catalogue.spans() if span[1] - span[0] <= catalogue.longest]
    assert (answered[0][0], answered[-1][1]) == (ago(days=1), TICK_AT)
    assert [begin for begin, _ in answered[1:]] == [end for _, end in answered[:-1]]
    row = observer.row()
    assert (row["state"], row["window_end"]) == ("succeeded", TICK_AT)


def test_if_the_time_is_too_short_for_all_pieces_the_next_tick_goes_on(
    catalogue: Catalogue, database: str, observer: Observer
) -> None:
    catalogue.longest = timedelta(hours=4)
    assert run(database, catalogue, tick_at=ago(minutes=5), TIMEOUT_SECONDS="20") == ExitCode.FINAL
    assert observer.row()["window_end"] == ago(minutes=5, hours=21)
    catalogue.asked.clear()
    assert run(database, catalogue) == ExitCode.FINAL
    assert catalogue.spans()[0][0] == ago(minutes=5, hours=27)
    assert observer.rows()[-1]["window_end"] == TICK_AT


def test_an_answer_that_is_too_large_is_not_cut_but_refused(
    catalogue: Catalogue, database: str, observer: Observer
) -> None:
    catalogue.blanks = 16_000_000
    assert run(database, catalogue) == ExitCode.DATA
    assert "more than 16000000 bytes" in observer.row()["error_message"]


def test_a_region_across_the_antimeridian_is_asked_for_in_one_piece(catalogue: Catalogue, database: str) -> None:
    assert run(database, catalogue, REGION_BBOX="176.5,-20,-178,-15") == ExitCode.FINAL
    assert (catalogue.asked[0]["minlongitude"], catalogue.asked[0]["maxlongitude"]) == ("176.5", "182")


def test_a_region_without_bounds_fails_at_once(catalogue: Catalogue, database: str, observer: Observer) -> None:
    assert run(database, catalogue, REGION_BBOX="") == ExitCode.DATA
    assert "fill in the four corners" in observer.row()["error_message"]
