"""Writes logs to stdout as one JSON object per line, in the same shape for operator and tick: ts, level, event, keys.

Callers give keys by the standard library's own means: `log.info("claimed", extra={"attempt": 2})`. Keys for all lines
of the process go to `configure`. Callers must keep secrets out of their keys and messages: this module masks nothing.
This module imports the standard library only, because every tick pays for every import.
"""

from __future__ import annotations

import json
import logging
import sys
from datetime import UTC, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

_STANDARD_ATTRIBUTES = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime"}
"""The attributes of every LogRecord; all other attributes are keys from `extra`."""


_APART = "kept_apart"
"""The attribute of a record with the keys that logging itself uses."""
_BASE_KEYS = ("ts", "level", "event")
"""The keys that every line has. A caller's key of the same name gets an underscore at its end."""


class TolerantLogger(logging.Logger):
    """A logger for other people's code: any key may stand in `extra`, also one like `name`, which logging refuses.

    The logger is not registered and hands its records to the root logger's handlers.
    """

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.parent = logging.getLogger()

    def makeRecord(  # noqa: N802 - logging's name and logging's parameters
        self,
        name: str,
        level: int,
        fn: str,
        lno: int,
        msg: object,
        args: Any,
        exc_info: Any,
        func: str | None = None,
        extra: Mapping[str, object] | None = None,
        sinfo: str | None = None,
    ) -> logging.LogRecord:
        """Make a record as logging does, and keep those keys of `extra` apart that logging itself uses."""
        apart = {key: value for key, value in (extra or {}).items() if key in _STANDARD_ATTRIBUTES}
        free = {key: value for key, value in (extra or {}).items() if key not in _STANDARD_ATTRIBUTES}
        return super().makeRecord(
            name, level, fn, lno, msg, args, exc_info, func, free | ({_APART: apart} if apart else {}), sinfo
        )


def configure(level: int | str = logging.INFO, keys: Mapping[str, object] | None = None) -> None:
    """Send every logger's lines of at least `level` to stdout, with `keys` in each line. A later call starts afresh."""
    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(JsonFormatter(keys or {}))
    logging.basicConfig(level=level, handlers=[handler], force=True)
    logging.logThreads = logging.logProcesses = logging.logMultiprocessing = False  # no line says them, each costs


def iso(moment: datetime) -> str:
    """Format a time as ISO 8601 in UTC, with milliseconds and Z. A time without a zone counts as UTC."""
    aware = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return aware.astimezone(UTC).isoformat(timespec="milliseconds").removesuffix("+00:00") + "Z"


def keys_of(record: logging.LogRecord) -> dict[str, Any]:
    """Return the keys that the caller gave to a record in `extra`."""
    keys = {key: value for key, value in vars(record).items() if key not in _STANDARD_ATTRIBUTES}
    keys |= keys.pop(_APART, {})
    return keys


def iso_of(record: logging.LogRecord) -> str:
    """Return the time of a record."""
    return iso(datetime.fromtimestamp(record.created, UTC))


class JsonFormatter(logging.Formatter):
    """Formats a record as one line of ASCII JSON. An exception becomes the keys `error` and `traceback`."""

    def __init__(self, keys: Mapping[str, object]) -> None:
        super().__init__()
        self._keys = dict(keys)

    def format(self, record: logging.LogRecord) -> str:
        """Return the line, without a line break at the end."""
        line: dict[str, object] = {
            "ts": iso_of(record),
            "level": record.levelname.lower(),
            "event": record.getMessage(),
            **self._keys,
            **{f"{key}_" if key in _BASE_KEYS else key: value for key, value in keys_of(record).items()},
        }
        if record.exc_info and record.exc_info[1]:
            line["error"] = f"{type(record.exc_info[1]).__qualname__}: {record.exc_info[1]}"
            line["traceback"] = self.formatException(record.exc_info)
        return _encode(line)


def to_json_value(value: object) -> float | str:
    """Return what a line has for a value that JSON does not know."""
    match value:
        case Decimal():
            return float(value)
        case datetime():
            return iso(value)
        case _:
            return str(value)


_encode = json.JSONEncoder(default=to_json_value).encode
