"""An example handler: copies a region's earthquakes since the last tick from the USGS catalogue into the table `quake`.

The catalogue publishes a quake minutes after the quake, and sometimes hours. Each tick therefore also asks for the time
before its window, and skips the quakes that are already stored.
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
    from region_tick.handlers import BoundingBox, Tick

CATALOGUE = "https://earthquake.usgs.gov/fdsnws/event/1/query"  # parameters: earthquake.usgs.gov/fdsnws/event/1/
FIRST_WINDOW = timedelta(days=1)
"""How far back a region's first tick asks for quakes."""
PUBLICATION_DELAY = timedelta(hours=6)
"""How long after a quake the catalogue may still publish the quake."""
BODY_LIMIT = 16_000_000
"""The largest answer, in bytes."""

STORE = """
INSERT INTO quake (id, region_id, happened_at, magnitude, place)
SELECT id, %(region_id)s, to_timestamp(ms / 1000.0), magnitude, place
FROM jsonb_to_recordset(%(quakes)s::jsonb) AS quakes (id text, ms bigint, magnitude float8, place text)
ON CONFLICT (id, region_id) DO NOTHING
"""


def run(tick: Tick) -> None:
    """Fetch the quakes without a transaction; then store the quakes and finish the tick in one transaction.

    Raises PermanentError for a region without a bounding box, and the errors of fetch().
    """
    if tick.region.bbox is None:
        raise PermanentError(f"region {tick.region.code} has no bounding box: fill in the four corners of its row")
    quakes = fetch(tick, tick.region.bbox)
    tick.check()
    with tick.transaction() as connection:
        stored = connection.execute(STORE, {"region_id": tick.region.id, "quakes": json.dumps(quakes)}).rowcount
        tick.finish(Outcome({"fetched": len(quakes), "stored": stored}))


def fetch(tick: Tick, box: BoundingBox) -> list[dict[str, Any]]:
    """Return the quakes in the tick's window and in PUBLICATION_DELAY before the window.

    Raises PermanentError for errors that another attempt cannot repair. After any other error the tick is tried again.
    """
    start, end = tick.window.start, tick.window.end
    start = start - PUBLICATION_DELAY if start else end - FIRST_WINDOW
    query = {
        "format": "geojson",
        "starttime": start.isoformat(),
        "endtime": end.isoformat(),
        "minlongitude": box.min_lon,
        "maxlongitude": box.max_lon + (360 if box.min_lon > box.max_lon else 0),
        "minlatitude": box.min_lat,
        "maxlatitude": box.max_lat,
    }
    url = f"{os.environ.get('QUAKES_URL', CATALOGUE)}?{urlencode(query)}"
    try:
        with urlopen(url, timeout=min(30.0, tick.remaining() + 1)) as answer:
            body = answer.read(BODY_LIMIT + 1)
    except HTTPError as error:
        if error.code in (408, 429) or error.code >= 500:
            raise
        raise PermanentError(f"the catalogue refused {url}: {error.code} {error.reason}") from error
    if len(body) > BODY_LIMIT:
        raise PermanentError(
            f"{url} has more than {BODY_LIMIT} bytes: give the region a smaller box or tick more often"
        )
    return [
        {"id": quake["id"], "ms": properties["time"], "magnitude": properties["mag"], "place": properties["place"]}
        for quake in json.loads(body)["features"]
        for properties in (quake["properties"],)
    ]
