"""The last log lines of an attempt that fails: which they are, how long they get, and what is not in them."""

from __future__ import annotations

import logging
import re
import sys
import tracemalloc
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from region_tick.contract import Reason, State
from region_tick.fence import Ending
from region_tick.log_tail import LINE_CHARACTERS, RECORD_LINES, TAIL_BYTES, LogTail
from region_tick.logs import TolerantLogger

if TYPE_CHECKING:
    from collections.abc import Callable

START = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z (debug|info|warning|error) ")
ENDING = Ending(state=State.INTERRUPTED, reason=Reason.ERROR, error=ValueError("no"))


def kept(
    *say: Callable[[logging.Logger], object], lines: int = 20, ending: Ending = ENDING, **variables: str
) -> list[str]:
    """Return what is kept of a log into which each of `say` writes."""
    log, tail = TolerantLogger("region_tick.test"), LogTail(lines, variables)
    log.setLevel(logging.INFO)
    log.propagate = False  # a test's report cannot hold half a character
    log.addHandler(tail)
    for each in say:
        each(log)
    return tail.text(ending).split("\n")


def without_time(lines: list[str]) -> list[str]:
    return [re.sub(r"^\S+Z ", "", line) for line in lines]


def test_a_line_has_time_level_message_and_the_callers_keys_and_the_end_comes_last() -> None:
    at = datetime(2026, 1, 5, 10, 40, tzinfo=UTC)
    lines = kept(
        lambda log: log.info("page %d", 3, extra={"url": "https://example.org", "name": "n", "at": at}),
        lambda log: log.warning("slow"),
    )
    assert all(START.match(line) for line in lines[:3])
    assert without_time(lines) == [
        "info page 3 url=https://example.org at=2026-01-05T10:40:00.000Z name=n",
        "warning slow",
        "error finished state=interrupted reason=error",
        "    ValueError: no",
    ]


def test_only_the_last_lines_are_kept() -> None:
    lines = kept(*(lambda log, n=n: log.info("line %d", n) for n in range(50)), lines=5)
    assert without_time(lines)[:3] == ["info line 47", "info line 48", "info line 49"]
    assert len(lines) == 5


def deep(levels: int) -> None:
    if levels:
        deep(levels - 1)
    raise OSError("no route")


def test_a_long_traceback_shows_its_end_and_leaves_room_for_the_lines_before() -> None:
    with pytest.raises(OSError, match="no route") as caught:
        deep(30)
    lines = kept(lambda log: log.info("before"), ending=Ending(state=State.FAILED, reason="error", error=caught.value))
    assert without_time(lines)[:2] == ["info before", "error finished state=failed reason=error"]
    assert re.fullmatch(r"    \.\.\. \d+ lines left out \.\.\.", lines[2])
    assert lines[-1] == "    OSError: no route"
    assert len(lines) == 1 + RECORD_LINES


def test_no_text_poses_as_a_line_of_its_own_or_steers_a_terminal() -> None:
    lines = kept(
        lambda log: log.info("a\n2026-01-05T10:40:00.000Z info forged\x1b[2J\0\u202e\ud800", extra={"k": "\nb"})
    )
    assert without_time(lines)[0] == "info a"
    assert lines[1:3] == ["    2026-01-05T10:40:00.000Z info forged\\x1b[2J\\u202e\\ud800 k=", "    b"]


def test_secrets_are_out_before_a_line_is_cut() -> None:
    secret = "s3cret" * 10
    lines = kept(
        lambda log: log.info("x" * (LINE_CHARACTERS - 40) + secret),
        lambda log: log.error("cannot reach %s", "postgresql://tick:pa55word@db/app", extra={"sent": {"token": "abc"}}),
        APP_TOKEN=secret,
    )
    assert "s3cret" not in "".join(lines)
    assert without_time(lines)[1] == "error cannot reach postgresql://***@db/app sent={'token': '***'}"


LONG = "x" * 50_000
BEFORE = {"a line": "x" * 960, "many lines": "x\n" * 5000 + "x" * 900, "a long line": f"{LONG}\n{'x' * 980}"}
AFTER = {"nothing": "", "a long line": LONG, "long lines": f"\n{LONG}\n{LONG}"}


@pytest.mark.parametrize("before", BEFORE)
@pytest.mark.parametrize("after", AFTER)
def test_no_cut_of_a_long_record_leaves_a_part_of_a_secret(before: str, after: str) -> None:
    secret = "s3cret" * 30

    def says(text: str) -> Callable[[logging.Logger], object]:
        return lambda log: log.info("%s", text)

    for at in range(0, len(secret), 7):
        lines = kept(says(BEFORE[before][at:] + secret + AFTER[after]), APP_TOKEN=secret)
        assert "s3cr" not in "".join(lines)


def test_lines_of_a_private_key_are_out_without_its_beginning() -> None:
    key = "\n".join(("-----BEGIN PRIVATE KEY-----", *["MIIEvQIBADANBg"] * 30, "-----END PRIVATE KEY-----"))
    lines = kept(lambda log: log.info("signed with\n%s\nfor all", key))
    assert without_time(lines)[:2] == ["info signed with", "    ... 25 lines left out ..."]
    assert [line.strip() for line in lines[2:10]] == ["***"] * 7 + ["for all"]


def test_secrets_that_a_handler_adds_to_the_variables_or_takes_from_them_are_out() -> None:
    variables = {"OLD_TOKEN": "hunter2"}
    tail = LogTail(5, variables)
    tail.emit(logging.makeLogRecord({"msg": "hunter2 and hunter3"}))
    variables.clear()
    variables["NEW_TOKEN"] = "hunter3"
    assert " *** and ***\n" in tail.text(ENDING)


def test_the_error_has_no_secrets_either() -> None:
    ending = Ending(state=State.FAILED, reason="error", error=OSError("no route to https://me:pa55word@example.org/"))
    assert kept(ending=ending)[-1] == "    OSError: no route to https://***@example.org/"


def test_a_value_that_cannot_be_shown_ends_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    class Shy:
        def __str__(self) -> str:
            raise TypeError("shy")

    assert without_time(kept(lambda log: log.info("seen", extra={"who": Shy()}), lambda log: log.info("after")))[0] == (
        "info after"
    )
    assert "shy" in capsys.readouterr().err


@pytest.mark.parametrize("piece", ["a\n", "\0", "a", "\t", "\x85", "\n", "\U0001f600\n"])
def test_a_record_costs_few_times_its_memory(piece: str) -> None:
    tail, record = LogTail(20, {"APP_TOKEN": "abcdefgh"}), logging.makeLogRecord({"msg": "%s"})
    tail.text(ENDING)  # imports what the end needs
    record.args = (piece * 2_000_000,)
    tracemalloc.start()
    try:
        tail.emit(record)
        tail.text(ENDING)
        assert tracemalloc.get_traced_memory()[1] <= 5 * sys.getsizeof(record.args[0])
    finally:
        tracemalloc.stop()


TEXT = st.text(st.characters(), max_size=3 * LINE_CHARACTERS)


@given(
    said=st.lists(st.tuples(TEXT, TEXT), max_size=40),
    lines=st.integers(min_value=1, max_value=100),
    error=TEXT,
)
def test_whatever_is_logged_the_kept_text_is_bounded_and_plain(
    said: list[tuple[str, str]], lines: int, error: str
) -> None:
    ending = Ending(state=State.FAILED, reason="error", error=ValueError(error))
    writers = [lambda log, text=text, value=value: log.info("%s", text, extra={"k": value}) for text, value in said]
    found = kept(*writers, lines=lines, ending=ending)
    assert 1 <= len(found) <= lines
    assert all(line.isprintable() and len(line) <= LINE_CHARACTERS for line in found)
    assert all(START.match(line) or line.startswith("    ") for line in found)
    assert len("\n".join(found).encode()) <= TAIL_BYTES
