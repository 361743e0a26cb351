"""One JSON object a line."""

from __future__ import annotations

import io
import json
import logging
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from region_tick.logs import JsonFormatter, TolerantLogger, configure, iso

if TYPE_CHECKING:
    from collections.abc import Iterator


@contextmanager
def lines(keys: dict[str, object] | None = None) -> Iterator[tuple[logging.Logger, io.StringIO]]:
    log, stream = logging.getLogger("region_tick.test"), io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(JsonFormatter(keys or {}))
    log.addHandler(handler)
    log.setLevel(logging.INFO)
    yield log, stream
    log.removeHandler(handler)


def test_a_line_has_time_level_event_then_its_keys() -> None:
    with lines({"region.code": "ch-zrh"}) as (log, stream):
        log.warning("waiting %s", "long", extra={"attempt": 2, "state": "running"})
    line: dict[str, Any] = json.loads(stream.getvalue())
    assert list(line) == ["ts", "level", "event", "region.code", "attempt", "state"]
    assert line["level"] == "warning"
    assert line["event"] == "waiting long"
    assert datetime.fromisoformat(line["ts"]) <= datetime.now(UTC)
    assert line["ts"].endswith("Z")


def test_an_exception_is_one_line_with_error_and_traceback() -> None:
    with lines() as (log, stream):
        try:
            raise ValueError("two\nlines")
        except ValueError:
            log.exception("broke")
    (text,) = stream.getvalue().splitlines()
    line = json.loads(text)
    assert line["error"] == "ValueError: two\nlines"
    assert line["traceback"].startswith("Traceback")


def test_exc_info_without_an_exception_adds_nothing() -> None:
    with lines() as (log, stream):
        log.info("fine", exc_info=True)  # noqa: LOG014
    assert "error" not in json.loads(stream.getvalue())


@pytest.mark.parametrize(
    ("value", "written"),
    [
        (Decimal("8.440000"), 8.44),
        (datetime(2026, 1, 5, 10, 40, tzinfo=UTC), "2026-01-05T10:40:00.000Z"),
        ({"fetched": 1}, {"fetched": 1}),
        ({1}, "{1}"),
        (None, None),
    ],
)
def test_values_at_the_edge(value: object, written: object) -> None:
    with lines() as (log, stream):
        log.info("x", extra={"value": value})
    assert json.loads(stream.getvalue())["value"] == written


@pytest.mark.parametrize(
    ("moment", "written"),
    [
        (datetime(2026, 1, 5, 10, 40, 1, 2999, tzinfo=UTC), "2026-01-05T10:40:01.002Z"),
        (datetime(2026, 1, 5, 10, 40), "2026-01-05T10:40:00.000Z"),  # noqa: DTZ001 - what it is about
        (datetime(2026, 1, 5, 10, 40, tzinfo=timezone(timedelta(hours=2))), "2026-01-05T08:40:00.000Z"),
    ],
)
def test_iso(moment: datetime, written: str) -> None:
    assert iso(moment) == written


@given(st.text(), st.text())
def test_any_text_is_one_line_of_ascii_that_reads_back(event: str, value: str) -> None:
    with lines() as (log, stream):
        log.info("%s", event, extra={"value": value})
    text = stream.getvalue()
    assert text.isascii()
    assert text.count("\n") == 1
    line = json.loads(text)
    assert (line["event"], line["value"]) == (event, value)


def test_other_peoples_keys_may_have_any_name(capsys: pytest.CaptureFixture[str]) -> None:
    """Also those that logging itself uses, and those of every line."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    try:
        root.handlers.clear()
        configure(keys={"attempt": 1})
        keys = {"name": "Zürich", "message": "m", "args": 3, "level": "high", "event": "e", "ts": 1, "pages": 2}
        TolerantLogger("theirs").info("fetched", extra=keys)
        TolerantLogger("theirs").debug("not shown", extra=keys)
        (text,) = capsys.readouterr().out.splitlines()
    finally:
        root.handlers[:] = handlers
        root.setLevel(level)
    line = json.loads(text)
    assert (line["event"], line["level"], line["attempt"]) == ("fetched", "info", 1)
    assert [line[name] for name in ("name", "message", "args", "pages")] == ["Zürich", "m", 3, 2]
    assert [line[name] for name in ("level_", "event_", "ts_")] == ["high", "e", 1]


def test_configure_replaces_what_was_set_before(capsys: pytest.CaptureFixture[str]) -> None:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    try:
        root.handlers.clear()
        configure(keys={"attempt": 1})
        configure("WARNING", keys={"attempt": 2})
        logging.getLogger("any").info("not shown")
        logging.getLogger("any").warning("shown")
        (line,) = capsys.readouterr().out.splitlines()
        assert json.loads(line)["attempt"] == 2
    finally:
        root.handlers[:] = handlers
        root.setLevel(level)
