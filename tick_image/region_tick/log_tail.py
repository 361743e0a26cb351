"""Keeps the last log lines of an attempt, for the row of an attempt that fails: the pod and its log are often gone.

Log records are kept, also those of other libraries; what a handler prints is not. A line is written for people: time,
level and message, then the keys that its caller gave. The keys of all lines, such as the region, are in the row
already. The lines of a traceback are indented, so that no text can pose as a line of its own.

Secrets are taken out before anything is cut, so that no cut leaves half of a secret. Nothing that is kept can steer a
terminal, and everything is bounded: the lines, their lengths, the share of one record, and the bytes of the whole.
"""

from __future__ import annotations

import logging
from collections import deque
from typing import TYPE_CHECKING

from region_tick.logs import iso_of, keys_of, to_json_value
from region_tick.redact import redact, secrets_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from region_tick.fence import Ending

LINE_CHARACTERS = 1000
RECORD_LINES = 10
"""How many lines one record has at most: its first line, and its last ones. A traceback pushes out no other record."""
TAIL_BYTES = 16 * 1024

_INDENT = "    "


class LogTail(logging.Handler):
    """Remembers the last `lines` lines. `variables` are those of the process, whose secrets no line holds."""

    def __init__(self, lines: int, variables: Mapping[str, str]) -> None:
        super().__init__()
        self._secrets = secrets_of(variables)
        self._lines: deque[str] = deque(maxlen=lines)

    def emit(self, record: logging.LogRecord) -> None:
        """Remember a record's lines. As with every handler of logging, a record that cannot be written is reported."""
        try:
            self._lines.extend(self._lines_of(record))
        except Exception:
            self.handleError(record)

    def text(self, ending: Ending) -> str:
        """Return the lines, with one of the ending and its error as the last. Whoever still logs is not waited for."""
        error = ending.error
        said = {"state": ending.state, "reason": ending.reason}
        record = logging.makeLogRecord(said | {"levelname": "ERROR", "msg": "finished"})
        record.exc_info = (type(error), error, error.__traceback__) if error else None
        self.emit(record)
        lines = list(self._lines.copy())
        while sum(len(line.encode()) + 1 for line in lines) > TAIL_BYTES:
            del lines[0]
        return "\n".join(lines)

    def _lines_of(self, record: logging.LogRecord) -> list[str]:
        keys = (f"{key}={to_json_value(value)}" for key, value in keys_of(record).items())
        text = " ".join((record.getMessage(), *keys))
        if record.exc_info and record.exc_info[1]:
            text += "\n" + logging.Formatter().formatException(record.exc_info)
        first, *others = redact(text, self._secrets).splitlines() or [""]
        lines = [f"{iso_of(record)} {record.levelname.lower()} {first}", *(_INDENT + line for line in others)]
        if left_out := max(0, len(lines) - RECORD_LINES):
            last = lines[left_out + 2 :]
            lines = [lines[0], f"{_INDENT}... {left_out + 1} lines left out ...", *last]
        return [_cut(_printable(line.expandtabs(4))) for line in lines]


def _printable(line: str) -> str:
    if line.isprintable():
        return line
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in line)


def _cut(line: str) -> str:
    return line if len(line) <= LINE_CHARACTERS else f"{line[: LINE_CHARACTERS - 3]}..."
