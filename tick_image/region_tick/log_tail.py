"""Keeps the last log lines of an attempt, for the row of an attempt that fails: the pod and its log are often gone.

Log records are kept, also those of other libraries; what a handler prints is not. A line is written for people: time,
level and message, then the keys that its caller gave. The keys of all lines, such as the region, are in the row
already. The lines of a traceback are indented, so that no text can pose as a line of its own.

A record costs little while nothing fails. It is cut to what may be kept of its first and its last lines, with so much
around them that no cut divides a secret. Secrets are taken out when the lines are wanted. Nothing that is kept can
steer a terminal, and everything is bounded: the lines, their lengths, the share of one record, and the whole.
"""

from __future__ import annotations

import logging
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING

from region_tick.excerpts import Excerpt, excerpts
from region_tick.logs import iso_of, keys_of, to_json_value

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from region_tick.excerpts import Span
    from region_tick.fence import Ending

LINE_CHARACTERS = 1000
RECORD_LINES = 10
"""How many lines one record has at most: its first line, and its last ones. A traceback pushes out no other record."""
TAIL_BYTES = 16 * 1024

_INDENT = "    "


@dataclass(frozen=True, slots=True, kw_only=True)
class _Said:
    """What is kept of a record: time and level, its first and last lines, how many are left out between, its length."""

    start: str
    excerpts: list[Excerpt]
    left_out: int
    characters: int


class LogTail(logging.Handler):
    """Remembers the last `lines` lines. `variables` are those of the process, whose secrets no line holds."""

    def __init__(self, lines: int, variables: Mapping[str, str]) -> None:
        super().__init__()
        self._count = lines
        self._variables = variables
        self._variables_at_start = dict(variables)
        self._said: deque[_Said] = deque()
        self._characters = 0

    def emit(self, record: logging.LogRecord) -> None:
        """Remember a record's lines. As with every handler of logging, a record that cannot be written is reported."""
        try:
            said = _said(record)
            self._said.append(said)
            self._characters += said.characters
            while len(self._said) > self._count or self._characters - self._said[0].characters > TAIL_BYTES:
                self._characters -= self._said.popleft().characters
        except Exception:
            self.handleError(record)

    def text(self, ending: Ending) -> str:
        """Return the lines, with one of the ending and its error as the last. Whoever still logs is not waited for.

        An error that cannot be shown is reported as in `emit`, and there are no lines: the attempt's end is written.
        """
        error = ending.error
        keys = {"state": ending.state, "reason": ending.reason}
        record = logging.makeLogRecord(keys | {"levelname": "ERROR", "msg": "finished"})
        record.exc_info = (type(error), error, error.__traceback__) if error else None
        try:
            return self._text((*self._said.copy(), _said(record)))
        except Exception:
            self.handleError(record)
            return ""

    def _text(self, kept: tuple[_Said, ...]) -> str:
        from region_tick.redact import secrets_of  # few ticks fail, and only those pay for the import

        secrets = tuple({*secrets_of(self._variables_at_start), *secrets_of(self._variables)})
        lines = [line for said in kept for line in _lines(said, secrets)][-self._count :]
        while sum(len(line.encode()) + 1 for line in lines) > TAIL_BYTES:
            del lines[0]
        return "\n".join(lines)


def _said(record: logging.LogRecord) -> _Said:
    keys = (f"{key}={to_json_value(value)}" for key, value in keys_of(record).items())
    text = " ".join((record.getMessage(), *keys))
    if record.exc_info and record.exc_info[1]:
        text += "\n" + logging.Formatter().formatException(record.exc_info)
    text = text.replace("\0", "")  # a secret in UTF-16 would be readable between its NULs
    count = text.count("\n") + 1
    left_out = count - RECORD_LINES + 1 if count > RECORD_LINES else 0
    lines = _line_spans(text, last=RECORD_LINES - 2 if left_out else count - 1)
    return _Said(
        start=f"{iso_of(record)} {record.levelname.lower()} ",
        excerpts=excerpts(text, lines),
        left_out=left_out,
        characters=sum(end - start for start, end in lines),
    )


def _line_spans(text: str, *, last: int) -> list[Span]:
    """Return what may be kept of the first line and of the `last` ones, with one more character if a line goes on."""
    found, end = [], len(text)
    for _ in range(last):
        start = text.rfind("\n", 0, end) + 1
        found.append((start, min(end, start + LINE_CHARACTERS + 1)))
        end = start - 1
    first_end = text.find("\n", 0, LINE_CHARACTERS + 1)
    found.append((0, first_end if first_end >= 0 else min(len(text), LINE_CHARACTERS + 1)))
    return found[::-1]


def _lines(said: _Said, secrets: tuple[str, ...]) -> Iterator[str]:
    from region_tick.redact import redact_parts

    parts = [
        (line.removesuffix("\r"), end - start > LINE_CHARACTERS)
        for excerpt in said.excerpts
        for line, (start, end) in zip(redact_parts(excerpt.text, secrets, excerpt.parts), excerpt.parts, strict=True)
    ]
    (first, goes_on), *others = parts
    yield _cut(_printable(f"{said.start}{first}"), goes_on=goes_on)
    if said.left_out:
        yield f"{_INDENT}... {said.left_out} lines left out ..."
    for line, goes_on in others:
        yield _cut(_printable(f"{_INDENT}{line}"), goes_on=goes_on)


def _printable(line: str) -> str:
    line = line.expandtabs(4)
    if line.isprintable():
        return line
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in line)


def _cut(line: str, *, goes_on: bool) -> str:
    return f"{line[: LINE_CHARACTERS - 3]}..." if goes_on or len(line) > LINE_CHARACTERS else line
