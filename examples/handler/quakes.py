"""An example handler: copies a region's earthquakes since the last tick from the USGS catalogue into the table `quake`.

The catalogue publishes a quake minutes after the quake, and sometimes hours. Each tick therefore also asks for the time
before its window, and skips the quakes that are already stored.

The catalogue answers only so many quakes at once, and a window may be long, as after an outage. The window is therefore
fetched and stored in pieces, each half as long as one that the catalogue refused. If time runs out, the tick ends with
what it has, and the next tick goes on from there.
"""

from __future__ import annotations

import json
import os
from datetime import timedelta
from typing import TYPE_CHECKING, Any
from urllib.error import HTTPError
from urllib.parse import urlencode
from urllib.request import urlopen

from region_tick.handlers import Outcome, PermanentError

if TYPE_CHECKING:
    from datetime import datetime

    from region_tick.handlers import BoundingBox, Tick

CATALOGUE = "https://earthquake.usgs.gov/fdsnws/event/1/query"  # parameters: earthquake.usgs.gov/fdsnws/event/1/
FIRST_WINDOW = timedelta(days=1)
"""How far back a region's first tick asks for quakes."""
PUBLICATION_DELAY = timedelta(hours=6)
"""How long after a quake the catalogue may still publish the quake."""
BODY_LIMIT = 16_000_000
"""The largest answer, in bytes."""
SHORTEST_PIECE = timedelta(minutes=1)
"""What the catalogue must be able to answer."""
PIECE_SECONDS = 30.0
"""How long one piece may take."""

STORE = """
INSERT INTO quake (id, region_id, happened_at, magnitude, place)
SELECT id, %(region_id)s, to_timestamp(ms / 1000.0), magnitude, place
FROM jsonb_to_recordset(%(quakes)s::jsonb) AS quakes (id text, ms bigint, magnitude float8, place text)
ON CONFLICT (id, region_id) DO NOTHING
"""


class TooMuchError(Exception):
    """The catalogue does not answer a question as large as this, or its answer is too large."""


def run(tick: Tick) -> None:
    """Fetch a piece without a transaction, then store it in one, until the window is done or the time is short.

    The last piece ends the tick in its transaction. Raises PermanentError for a region without a bounding box, and the
    errors of fetch_piece().
    """
    if tick.region.bbox is None:
        raise PermanentError(f"region {tick.region.code} has no bounding box: fill in the four corners of its row")
    start, end = tick.window.start, tick.window.end
    begin = start - PUBLICATION_DELAY if start else end - FIRST_WINDOW
    length = end - begin
    fetched = stored = 0
    done = False
    while not done:
        tick.check()
        quakes, until = fetch_piece(tick, tick.region.bbox, begin, min(begin + length, end))
        begin, length = until, max(until - begin, SHORTEST_PIECE)
        done = until >= end or tick.remaining() < PIECE_SECONDS
        with tick.transaction() as connection:
            fetched += len(quakes)
            stored += connection.execute(STORE, {"region_id": tick.region.id, "quakes": json.dumps(quakes)}).rowcount
            if done:
                until = max(until, start) if start else until
                tick.finish(Outcome({"fetched": fetched, "stored": stored}, fetched_until=until))


def fetch_piece(tick: Tick, box: BoundingBox, begin: datetime, end: datetime) -> tuple[list[dict[str, Any]], datetime]:
    """Return the quakes from `begin` on, and up to when: up to `end`, or earlier if that were too many.

    Raises PermanentError for errors that another attempt cannot repair. After any other error the tick is tried again.
    """
    while True:
        try:
            return fetch(tick, box, begin, end), end
        except TooMuchError as error:
            if end - begin <= SHORTEST_PIECE:
                raise PermanentError(f"{error}, for {SHORTEST_PIECE} alone: give the region a smaller box") from error
            end = begin + max((end - begin) / 2, SHORTEST_PIECE)


def fetch(tick: Tick, box: BoundingBox, begin: datetime, end: datetime) -> list[dict[str, Any]]:
    """Return the quakes in a span of time. Raises TooMuchError, PermanentError, and errors that may pass."""
    query = {
        "format": "geojson",
        "starttime": begin.isoformat(),
        "endtime": end.isoformat(),
        "minlongitude": box.min_lon,
        "maxlongitude": box.max_lon + (360 if box.min_lon > box.max_lon else 0),
        "minlatitude": box.min_lat,
        "maxlatitude": box.max_lat,
    }
    url = f"{os.environ.get('QUAKES_URL', CATALOGUE)}?{urlencode(query)}"
    try:
        with urlopen(url, timeout=min(PIECE_SECONDS, tick.remaining() + 1)) as answer:
            body = answer.read(BODY_LIMIT + 1)
    except HTTPError as error:
        if error.code in (400, 413):  # 400 also says that there are more quakes than the catalogue answers at once
            raise TooMuchError(f"the catalogue refused {url}: {error.code} {error.reason}") from error
        if error.code in (408, 429) or error.code >= 500:
            raise
        raise PermanentError(f"the catalogue refused {url}: {error.code} {error.reason}") from error
    if len(body) > BODY_LIMIT:
        raise TooMuchError(f"{url} has more than {BODY_LIMIT} bytes")
    return [
        {"id": quake["id"], "ms": properties["time"], "magnitude": properties["mag"], "place": properties["place"]}
        for quake in json.loads(body)["features"]
        for properties in (quake["properties"],)
    ]
