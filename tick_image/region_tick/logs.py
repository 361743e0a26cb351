"""One JSON object a line on stdout, alike in operator and tick: ts, level, event, then what the line is about.

Keys are given by the standard library's own means, `log.info("claimed", extra={"attempt": 2})`; those that hold for the
whole process are given once, to `configure`. Standard library only: the tick pays for every import at each start.
Secrets are the callers' business: nothing is looked for or masked here.
"""

from __future__ import annotations

import json
import logging
import sys
from datetime import UTC, datetime
from decimal import Decimal
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

_OF_EVERY_RECORD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime"}


def configure(level: int | str = logging.INFO, keys: Mapping[str, object] | None = None) -> None:
    """Send every logger's lines of at least `level` to stdout, each with `keys`; a later call replaces this one."""
    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(JsonFormatter(keys or {}))
    logging.basicConfig(level=level, handlers=[handler], force=True)


def iso(moment: datetime) -> str:
    """Write a time as ISO 8601 in UTC with milliseconds and Z; one without a zone is UTC."""
    aware = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return aware.astimezone(UTC).isoformat(timespec="milliseconds").removesuffix("+00:00") + "Z"


class JsonFormatter(logging.Formatter):
    """Formats a record as one line of ASCII JSON; an exception becomes the keys `error` and `traceback`."""

    def __init__(self, keys: Mapping[str, object]) -> None:
        super().__init__()
        self._keys = dict(keys)

    def format(self, record: logging.LogRecord) -> str:
        """Return the line, without its end."""
        line: dict[str, object] = {
            "ts": iso(datetime.fromtimestamp(record.created, UTC)),
            "level": record.levelname.lower(),
            "event": record.getMessage(),
            **self._keys,
            **{key: value for key, value in vars(record).items() if key not in _OF_EVERY_RECORD},
        }
        if record.exc_info and record.exc_info[1]:
            line["error"] = f"{type(record.exc_info[1]).__qualname__}: {record.exc_info[1]}"
            line["traceback"] = self.formatException(record.exc_info)
        return json.dumps(line, default=_plain)


def _plain(value: object) -> float | str:
    match value:
        case Decimal():
            return float(value)
        case datetime():
            return iso(value)
        case _:
            return str(value)
