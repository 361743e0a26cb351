"""poll as it runs in its pod: a real process, a real Postgres, a real HTTP server."""

from __future__ import annotations

import json
import signal
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from region_tick.contract import ExitCode, Variable
from tests.database.polls import FEED, Polls, polls, some
from tests.harness.ticks import SOURCE
from tests.harness.upstream import NO_KEY, Asked, Upstream, conditional, http_date, replying, upstream
from tests.harness.waiting import eventually

if TYPE_CHECKING:
    from tests.database.tick_process import Ticks

__all__ = ["polls"]  # a fixture

TIKTOK_KEY, TIKTOK_SECRET, TIKTOK_TOKEN = "tiktok-key-5d1c", "tiktok-secret-9be3", "clt.token-77aa"
KEYS = (NO_KEY, TIKTOK_KEY, TIKTOK_SECRET, TIKTOK_TOKEN)
CHANNEL = "UC" + "x" * 22


def test_a_second_round_of_unchanged_creators_transfers_only_304s(polls: Polls, server: Upstream) -> None:
    ids = []
    for number in range(20):
        feed = FEED.format(number).encode()
        ids.append(polls.add(server.on(f"/{number}", conditional(feed, etag=f'"{number}"'))))
    assert some(polls.counts()) == {"fetched": 20, "items": 40, "requests": 20}
    assert polls.items(ids[3]) == ["3-1", "3-2"]
    first = len(server.asked)
    assert some(polls.counts()) == {"not_modified": 20, "requests": 20}
    second = server.asked[first:]
    assert len(second) == 20
    assert {asked.status for asked in second} == {304}
    assert sum(asked.sent for asked in second) == 0


def test_what_is_new_is_added_and_what_is_known_stays(polls: Polls, server: Upstream) -> None:
    creator = polls.add(server.on("/", replying(200, FEED.format("a").encode()), replying(200, b"<rss/>")))
    assert polls.counts()["items"] == 2
    server.on("/", replying(200, FEED.format("b").encode()))
    assert polls.counts()["items"] == 2
    assert polls.items(creator) == ["a-1", "a-2", "b-1", "b-2"]


def test_one_that_fails_costs_no_neighbour_and_is_on_record(polls: Polls, server: Upstream) -> None:
    with upstream(address="127.0.0.2") as busy, upstream(address="127.0.0.3") as closed:
        good = polls.add(server.on("/good", conditional(b"<rss/>", etag='"1"')))
        flaky = polls.add(server.on("/flaky", replying(503), replying(200, b"<rss/>")))
        gone = polls.add(server.on("/gone", replying(404)))
        ill = polls.add(server.on("/ill", replying(500)))
        seconds = polls.add(busy.on("/", replying(429, b"", {"retry-after": "1800"})))
        now = 1_800_000_000
        date = {"retry-after": http_date(now + 900), "date": http_date(now)}
        dated = polls.add(closed.on("/", replying(503, b"", date)))
        inside = polls.add("http://169.254.169.254/latest/meta-data/")
        counts = polls.counts()
    rows = polls.creators()
    assert some(counts) == {"fetched": 2, "failed": 3, "throttled": 2, "requests": 1 + 2 + 1 + 3 + 1 + 1 + 1}
    assert [rows[creator]["last_error"] for creator in (good, flaky)] == [None, None]
    assert rows[gone]["last_error"] == "127.0.0.1 answers 404"
    assert rows[ill]["last_error"] == "127.0.0.1 answers 500"
    assert "169.254.169.254, which is not public" in rows[inside]["last_error"]
    assert 1700 < rows[seconds]["wait"] <= 1800
    assert 800 < rows[dated]["wait"] <= 900
    assert 0 < rows[gone]["wait"] <= 60
    assert 0 < rows[ill]["wait"] <= 60
    assert {rows[creator]["failures"] for creator in (gone, inside)} == {1}
    assert {rows[creator]["failures"] for creator in (ill, seconds, dated)} == {0}
    assert {rows[creator]["transient_failures"] for creator in (ill,)} == {1}


def test_who_wants_to_be_left_alone_is_not_asked(polls: Polls, server: Upstream) -> None:
    polls.add(server.on("/", replying(429, b"", {"retry-after": "1800"})))
    assert some(polls.counts()) == {"throttled": 1, "requests": 1}
    assert some(polls.counts()) == {"waiting": 1}
    assert len(server.asked) == 1


def test_a_region_without_creators_is_a_success(polls: Polls) -> None:
    assert some(polls.counts()) == {}


def test_private_addresses_are_refused_unless_they_are_allowed(polls: Polls, server: Upstream) -> None:
    creator = polls.add(server.on("/", replying(200, b"x")))
    assert some(polls.counts({"POLL_ALLOW_NETWORKS": ""})) == {"failed": 1, "requests": 1}
    assert "POLL_ALLOW_NETWORKS" in polls.creators()[creator]["last_error"]
    assert server.asked == []


def test_where_several_hosts_fail_for_the_first_time_the_tick_is_tried_again_once(
    polls: Polls, server: Upstream
) -> None:
    """The fault may be ours: the upstreams are asked again at once then, though once only, as hosts that failed are."""
    with upstream(address="127.0.0.2") as other:
        creator = polls.add(server.on("/", replying(503)))
        polls.add(other.on("/", replying(503)))
        assert polls.start().exit_code() == ExitCode.AGAIN
        (run,) = polls.runs()
        assert (run["state"], run["error_class"]) == ("interrupted", "region_tick.handlers.poll.NobodyReachedError")
        assert "none of 2 creators could be reached; 127.0.0." in run["error_message"]
        assert polls.creators()[creator]["last_error"] == "127.0.0.1 answers 503"
        assert polls.start(again=True).exit_code() == ExitCode.FINAL
        assert some(polls.runs()[0]["counts"]) == {"failed": 2, "requests": 2}
        assert some(polls.counts()) == {"waiting": 2}


def test_a_dead_host_is_no_failure_of_the_tick(polls: Polls, server: Upstream) -> None:
    polls.add(server.on("/", replying(503)))
    assert some(polls.counts()) == {"failed": 1, "requests": 3}
    assert some(polls.counts()) == {"waiting": 1}


NO_DNS = """
import socket, time
from region_tick import poller
from region_tick.handlers.poll import poll
system, poller._PATIENCE_SECONDS = socket.getaddrinfo, 0.1
socket.getaddrinfo = lambda host, *rest, **more: time.sleep(60) if host == "hangs.test" else system(host, *rest, **more)
"""


def test_who_has_not_answered_when_time_is_over_is_left_for_the_next_tick(polls: Polls, ticks: Ticks) -> None:
    creator = polls.add("http://hangs.test/")
    (ticks.folder / "no_dns.py").write_text(NO_DNS)
    counts = polls.counts({Variable.HANDLER: "no_dns:poll", Variable.TIMEOUT_SECONDS: "4"})
    assert some(counts) == {"left": 1}
    left = "SELECT asking_until <= clock_timestamp() AS free FROM region_tick.upstream"
    assert (polls.rows(left), polls.items(creator)) == ([{"free": True}], [])


def slow(asked: Asked) -> None:
    asked.start(200, content_length="1000000")
    asked.repeat(b"x", pause=0.05)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_what_was_found_before_the_end_stays_and_the_next_attempt_does_the_rest(
    number: signal.Signals, polls: Polls, server: Upstream
) -> None:
    done = [
        polls.add(server.on(f"/{name}", conditional(FEED.format(name).encode(), etag=f'"{name}"'))) for name in "abc"
    ]
    rest = polls.add(server.on("/slow", slow, conditional(FEED.format("d").encode(), etag='"d"')))
    process = polls.start()
    eventually(lambda: sum(len(polls.items(creator)) for creator in done) == 6, what="three creators were polled")
    process.popen.send_signal(number)
    process.exit_code()
    rows = polls.creators()
    assert all((rows[creator]["etag"] is None) == (polls.items(creator) == []) for creator in rows), rows
    asked = len(server.asked)
    if number == signal.SIGKILL:
        polls.rows("UPDATE region_tick.job_run SET lease_until = clock_timestamp() RETURNING 1")
    assert polls.start(again=True).exit_code() == ExitCode.FINAL
    assert server.paths()[asked:] == ["/slow"]
    assert polls.items(rest) == ["d-1", "d-2"]
    assert polls.runs()[0]["attempt"] == 2


def test_sigterm_ends_it_at_once_although_an_upstream_hangs(polls: Polls, server: Upstream) -> None:
    polls.add(server.on("/", lambda asked: asked.repeat(b"", pause=0.05)))
    process = polls.start()
    eventually(lambda: server.asked, what="the upstream is asked")
    process.popen.terminate()
    assert process.exit_code() == ExitCode.AGAIN
    (run,) = polls.runs()
    assert (run["state"], run["reason"]) == ("interrupted", "terminated")


def test_a_setting_that_cannot_be_used_is_permanent(polls: Polls) -> None:
    process = polls.start({"POLL_CONCURRENCY": "many"})
    assert process.exit_code() == ExitCode.CONFIGURATION
    assert "POLL_CONCURRENCY is 'many'" in polls.runs()[0]["error_message"]


# Keys


def platforms(server: Upstream) -> dict[str, str]:
    return {
        "YOUTUBE_API_URL": f"{server.url}/youtube/v3",
        "YOUTUBE_FEED_URL": f"{server.url}/feeds/videos.xml",
        "TIKTOK_API_URL": server.url,
    }


KEYED = {
    "YOUTUBE_API_KEY": f"{NO_KEY}\n",
    "TIKTOK_CLIENT_KEY": TIKTOK_KEY,
    "TIKTOK_CLIENT_SECRET": TIKTOK_SECRET,
}


def playlist(asked: Asked) -> None:
    assert asked.headers["x-goog-api-key"] == NO_KEY
    video = {
        "snippet": {"title": "One"},
        "contentDetails": {"videoId": "abc", "videoPublishedAt": "2026-11-24T07:00:00Z"},
    }
    if asked.headers.get("if-none-match") == '"p"':
        asked.answer(304)
    else:
        asked.json({"items": [video]}, etag='"p"')


def videos(asked: Asked) -> None:
    assert asked.headers["authorization"] == f"Bearer {TIKTOK_TOKEN}"
    name = json.loads(asked.body)["query"]["and"][0]["field_values"][0]
    asked.json({"data": {"videos": [{"id": 7, "create_time": 1764140400, "video_description": name}]}})


def test_platforms_are_asked_with_their_keys_and_the_quota_is_counted(polls: Polls, server: Upstream) -> None:
    channels = {"items": [{"contentDetails": {"relatedPlaylists": {"uploads": "UUx"}}}]}
    server.on("/youtube/v3/channels", lambda asked: asked.json(channels))
    server.on("/youtube/v3/playlistItems", playlist)
    server.on("/v2/oauth/token/", lambda asked: asked.json({"access_token": TIKTOK_TOKEN, "expires_in": 7200}))
    server.on("/v2/research/video/query/", videos)
    youtube = polls.add(platform="youtube", handle="@someone")
    tiktok = [polls.add(platform="tiktok", handle=name) for name in ("one", "two")]
    environment = platforms(server) | KEYED
    first = some(polls.counts(environment))
    assert first == {"fetched": 3, "items": 3, "requests": 5, "quota_youtube": 2, "quota_tiktok": 2}
    second = some(polls.counts(environment))
    assert second == {"fetched": 2, "not_modified": 1, "requests": 4, "quota_youtube": 1, "quota_tiktok": 2}
    assert polls.items(youtube) == ["abc"]
    assert [polls.items(creator) for creator in tiktok] == [["7"], ["7"]]


def test_a_tick_that_is_run_again_days_later_asks_up_to_now(polls: Polls, server: Upstream) -> None:
    """The upstream counts as asked now. A query up to the tick's own day would leave out the days since for good."""
    server.on("/v2/oauth/token/", lambda asked: asked.json({"access_token": TIKTOK_TOKEN, "expires_in": 7200}))
    server.on("/v2/research/video/query/", videos)
    polls.add(platform="tiktok", handle="one")
    tick_at = (datetime.now(UTC) - timedelta(days=9)).replace(minute=0, second=0, microsecond=0)
    polls.connection.execute(
        "INSERT INTO region_tick.job_run (source, region_id, tick_at, region_code, cron, state, reason, finished_at)"
        " VALUES (%s, '42', %s, 'ch-zrh', '0 * * * *', 'missed', 'not created', now())",
        (SOURCE, tick_at),
    )
    named = {Variable.RERUN_OF: f"{tick_at:%Y-%m-%dT%H:%M:00Z}", Variable.JOB_UID: "rerun-1"}
    days = {f"{datetime.now(UTC):%Y%m%d}"}
    assert polls.counts(platforms(server) | KEYED | named)["items"] == 1
    days |= {f"{datetime.now(UTC):%Y%m%d}"}
    assert json.loads(server.asked[-1].body)["end_date"] in days


def test_without_keys_youtube_is_read_from_its_feed(polls: Polls, server: Upstream) -> None:
    atom = b'<feed xmlns="http://www.w3.org/2005/Atom"><entry><id>yt:video:abc</id><title>A</title></entry></feed>'
    server.on("/feeds/videos.xml", conditional(atom, etag='"f"'))
    creator = polls.add(platform="youtube", handle=CHANNEL)
    assert some(polls.counts(platforms(server))) == {"fetched": 1, "items": 1, "requests": 1}
    assert some(polls.counts(platforms(server))) == {"not_modified": 1, "requests": 1}
    assert polls.items(creator) == ["abc"]
    assert server.asked[0].query == {"channel_id": [CHANNEL]}


def echo(status: int, reason: str = "") -> Any:
    """An answer that holds everything that it was sent, the keys among it."""

    def answer(asked: Asked) -> None:
        sent = json.dumps(asked.headers) + asked.body.decode()
        asked.json({"error": {"errors": [{"reason": reason or sent}], "message": sent}}, status, x_sent=sent)

    return answer


def bad_headers(asked: Asked) -> None:
    """Headers that urllib3 warns of, with the URL."""
    asked.write(b"HTTP/1.1 200 OK\r\nno header\r\ncontent-length: 0\r\n\r\n")
    asked.handler.close_connection = True


def no_http(asked: Asked) -> None:
    asked.write(b"no http")
    asked.handler.close_connection = True


@pytest.mark.parametrize(
    "answer",
    [
        echo(200),
        echo(400),
        echo(401),
        echo(403),
        echo(403, "quotaExceeded"),
        echo(429),
        echo(500),
        replying(302, b"", {"location": "http://169.254.169.254/"}),
        replying(302, b"", {"location": f"http://{NO_KEY}:x@127.0.0.1/"}),
        bad_headers,
        no_http,
    ],
    ids=range(11),
)
def test_no_key_is_in_any_line_or_row(answer: Any, polls: Polls, server: Upstream) -> None:
    for path in ("/youtube/v3/channels", "/youtube/v3/playlistItems"):
        server.on(path, answer)
    polls.add(platform="youtube", handle=CHANNEL)
    polls.add(platform="tiktok", handle="one")
    # Each platform has a host of its own: an answer that throttles one host leaves the other platform to be asked.
    with upstream(address="127.0.0.2") as tiktok:
        for path in ("/v2/oauth/token/", "/v2/research/video/query/"):
            tiktok.on(path, answer)
        process = polls.start(platforms(server) | KEYED | {"TIKTOK_API_URL": tiktok.url})
        process.exit_code()
    assert {asked.headers.get("x-goog-api-key") for asked in server.asked} >= {NO_KEY}
    assert any(TIKTOK_SECRET in asked.body.decode() for asked in tiktok.asked)
    shown = "".join(process.lines) + process.errors + polls.everything()
    assert polls.runs()
    assert [key for key in KEYS if key in shown] == []


def test_a_query_of_a_creators_url_is_in_no_line(polls: Polls, server: Upstream) -> None:
    """It is in the creator's row, where its owner wrote it, and may hold a key of theirs."""
    server.on("/", bad_headers)
    polls.add(f"{server.url}/?token={NO_KEY}")
    polls.add(f"{server.url}/gone?token={NO_KEY}")
    process = polls.start()
    assert process.exit_code() == ExitCode.FINAL
    assert NO_KEY not in "".join(process.lines) + process.errors
    assert all(NO_KEY not in (row["last_error"] or "") for row in polls.creators().values())
