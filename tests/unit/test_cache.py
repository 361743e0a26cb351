"""cronjobs/cache.py: which listings, events and answers are news, in whatever order they come."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from region_operator.cronjobs.cache import CronJobCache, News
from region_operator.cronjobs.live import LiveCronJob
from region_operator.cronjobs.wire import encode

NAME = "fr-75-eabddc4488ef"
BODY: dict[str, Any] = {
    "metadata": {"name": NAME, "uid": "u1", "resourceVersion": "7", "generation": 1},
    "spec": {"schedule": "@daily"},
}
FIRST = LiveCronJob.from_object(BODY)
TICKED = replace(FIRST, resource_version="8")
EDITED = replace(FIRST, resource_version="9", fingerprint=0)
GOING = replace(FIRST, resource_version="10", terminating=True)
ANOTHER = replace(FIRST, uid="u2", resource_version="11")


def knowing(*lives: LiveCronJob) -> CronJobCache:
    cache = CronJobCache()
    for live in lives:
        cache.fold(live)
    return cache


@pytest.mark.parametrize(
    ("live", "news"),
    [
        pytest.param(FIRST, News.NOTHING, id="the same"),
        pytest.param(TICKED, News.NOTHING, id="a tick"),
        pytest.param(EDITED, News.CHANGED, id="an edit"),
        pytest.param(GOING, News.CHANGED, id="going"),
        pytest.param(ANOTHER, News.DELETED, id="another of the same name"),
        pytest.param(replace(EDITED, resource_version="6"), News.NOTHING, id="an event that comes late"),
    ],
)
def test_an_event_is_news_if_a_reconcile_would_judge_it_differently(live: LiveCronJob, news: News) -> None:
    assert knowing(FIRST).fold(live) is news


def test_only_an_unknown_version_is_read_in_full() -> None:
    cache = knowing(FIRST)
    assert cache.read(encode(BODY)) is FIRST
    for change in ({"resourceVersion": "8"}, {"uid": "u2"}, {"name": "another-eabddc4488ef"}):
        body = BODY | {"metadata": BODY["metadata"] | change}
        assert cache.read(encode(body)) == LiveCronJob.from_object(body)
        assert cache.read(encode(body)) is not FIRST


def test_a_new_one_is_news_unless_it_is_going_already_or_has_another_form() -> None:
    assert CronJobCache().fold(FIRST) is News.CHANGED
    assert CronJobCache().fold(GOING) is News.NOTHING
    assert CronJobCache().fold(replace(FIRST, name="backup", key="")) is News.NOTHING


def test_the_newest_is_known_whatever_the_order() -> None:
    for lives in ([FIRST, EDITED], [EDITED, FIRST]):
        assert knowing(*lives).get(NAME) is EDITED


def test_the_end_of_a_known_one_is_news_but_not_if_we_brought_it_about() -> None:
    assert knowing(FIRST).remove(NAME, "u1") is News.DELETED
    cache = knowing(FIRST)
    cache.begin_deletion("u1")
    cache.end_deletion(NAME, "u1", done=True)
    assert cache.remove(NAME, "u1") is News.NOTHING
    assert knowing(FIRST).remove(NAME, "u0") is News.NOTHING, "an earlier one of the same name"
    assert CronJobCache().remove(NAME, "u1") is News.NOTHING


def test_until_one_that_we_deleted_is_gone_it_counts_as_going() -> None:
    cache = knowing(FIRST)
    cache.begin_deletion("u1")
    cache.end_deletion(NAME, "u1", done=True)
    for live in (TICKED, GOING):
        assert cache.fold(live) is News.NOTHING
        assert [known.terminating for known in cache.cronjobs] == [True]
    assert cache.fold(ANOTHER) is News.CHANGED


def test_events_of_our_deletion_are_no_news_before_its_answer() -> None:
    cache = knowing(FIRST)
    cache.begin_deletion("u1")
    assert cache.fold(GOING) is News.NOTHING
    cache.end_deletion(NAME, "u1", done=True)
    assert cache.remove(NAME, "u1") is News.NOTHING


def test_one_whose_deletion_was_refused_is_as_before() -> None:
    cache = knowing(FIRST)
    cache.begin_deletion("u1")
    cache.fold(TICKED)
    cache.end_deletion(NAME, "u1", done=False)
    assert [known.terminating for known in cache.cronjobs] == [False]
    assert cache.fold(EDITED) is News.CHANGED
    assert cache.remove(NAME, "u1") is News.DELETED


def test_an_event_of_our_own_write_is_no_news_before_the_answer_nor_after_it() -> None:
    for early in (True, False):
        cache = knowing(FIRST)
        cache.begin_write(NAME)
        if early:
            assert cache.fold(EDITED) is News.NOTHING
        assert cache.end_write(NAME, EDITED) is News.NOTHING
        assert cache.fold(EDITED) is News.NOTHING
        assert cache.get(NAME) == EDITED


def test_what_somebody_changes_after_our_write_is_news_also_before_the_answer() -> None:
    theirs = replace(EDITED, resource_version="12", suspended=True)
    cache = knowing(FIRST)
    cache.begin_write(NAME)
    assert cache.fold(theirs) is News.NOTHING
    assert cache.end_write(NAME, EDITED) is News.CHANGED
    assert cache.get(NAME) is theirs
    cache = knowing(FIRST)
    cache.begin_write(NAME)
    assert cache.fold(replace(EDITED, resource_version="12")) is News.NOTHING
    assert cache.end_write(NAME, EDITED) is News.NOTHING, "a tick came after the write"


def test_a_write_without_an_answer_changes_nothing() -> None:
    cache = knowing(FIRST)
    cache.begin_write(NAME)
    assert cache.end_write(NAME, None) is News.NOTHING
    assert cache.get(NAME) is FIRST
    assert cache.fold(EDITED) is News.CHANGED


def test_an_answer_brings_nothing_back_that_has_gone_since() -> None:
    cache = knowing(FIRST)
    cache.begin_write(NAME)
    assert cache.remove(NAME, "u1") is News.DELETED
    assert cache.end_write(NAME, EDITED) is News.NOTHING
    assert cache.cronjobs == []


def test_a_listing_finds_what_no_event_told_of() -> None:
    gone = replace(FIRST, name="gone-000000000000", uid="u3")
    cache = knowing(FIRST, gone)
    assert cache.replace_all([EDITED], "10") == [(gone.name, News.DELETED), (NAME, News.CHANGED)]
    assert cache.cronjobs == [EDITED]
    assert cache.replace_all([EDITED], "10") == []


def test_a_listing_that_is_older_than_an_event_takes_nothing_back() -> None:
    cache = knowing(EDITED)
    assert cache.replace_all([FIRST], "7") == []
    assert cache.replace_all([], "7") == []
    assert cache.cronjobs == [EDITED]
    cache.remove(NAME, "u1")
    assert cache.replace_all([FIRST], "7") == []
    assert cache.cronjobs == []


STATES = [FIRST, TICKED, EDITED, GOING]


@given(st.lists(st.sampled_from(STATES)))
def test_in_any_order_the_newest_of_the_events_is_known(events: list[LiveCronJob]) -> None:
    cache = knowing(*events)
    newest = max(events, key=lambda live: int(live.resource_version), default=None)
    assert cache.get(NAME) is newest


def test_what_was_deleted_before_a_listing_does_not_come_back_by_an_older_one() -> None:
    cache = knowing(FIRST)
    assert cache.remove(NAME, "u1") is News.DELETED
    assert cache.replace_all([], "12") == []
    assert cache.replace_all([FIRST], "9") == []
    assert cache.cronjobs == []


def test_what_a_watch_tells_again_is_past() -> None:
    cache = knowing(FIRST)
    cache.replace_all([ANOTHER], "12")
    for late in (TICKED, GOING):
        assert cache.fold(late) is News.NOTHING
    assert cache.remove(NAME, "u1") is News.NOTHING
    assert cache.get(NAME) is ANOTHER


def test_an_answer_that_is_older_than_a_listing_without_it_is_past() -> None:
    cache = CronJobCache()
    cache.begin_write(NAME)
    cache.replace_all([], "8")
    assert cache.end_write(NAME, FIRST) is News.NOTHING
    assert cache.cronjobs == []


def test_a_listing_mends_what_was_lost() -> None:
    cache = CronJobCache()
    cache.replace_all([], "100")
    assert cache.replace_all([FIRST], "200") == [(NAME, News.CHANGED)]


def test_a_deletion_without_an_answer_makes_nobody_deaf_for_ever() -> None:
    cache = knowing(FIRST)
    cache.begin_deletion("u1")
    assert cache.fold(EDITED) is News.NOTHING
    cache.replace_all([EDITED], "9")
    assert cache.fold(replace(EDITED, resource_version="10", suspended=True)) is News.CHANGED
    assert cache.remove(NAME, "u1") is News.DELETED


def test_the_same_version_told_twice_leaves_the_very_same_value() -> None:
    cache = knowing(FIRST)
    assert cache.replace_all([replace(FIRST)], "7") == []
    assert cache.get(NAME) is FIRST


class World:
    """An API server with one name, a watch that may lag and repeat itself, listings and writes, all in any order."""

    def __init__(self) -> None:
        self.cache = CronJobCache()
        self.state: LiveCronJob | None = None
        self._events: list[tuple[LiveCronJob, bool]] = []
        self._delivered = 0
        self._version, self._uid = 10, 0
        self._listing: tuple[list[LiveCronJob], str] | None = None
        self._writing = False
        self._answer: LiveCronJob | None = None
        self._deleting: LiveCronJob | None = None

    def act(self, action: str) -> None:
        getattr(self, action)()

    def _change(self, state: LiveCronJob, *, gone: bool = False) -> LiveCronJob:
        self._version += 1
        state = replace(state, resource_version=str(self._version))
        self._events.append((state, gone))
        self.state = None if gone else state
        return state

    def _create(self) -> LiveCronJob:
        self._uid += 1
        return self._change(replace(FIRST, uid=f"u{self._uid}", fingerprint=self._version))

    def create(self) -> None:
        if self.state is None:
            self._create()

    def edit(self) -> None:
        if self.state:
            self._change(replace(self.state, fingerprint=self._version))

    def tick(self) -> None:
        if self.state:
            self._change(self.state)

    def delete(self) -> None:
        if self.state and not self.state.terminating:
            self._change(replace(self.state, terminating=True))

    def finish(self) -> None:
        if self.state and self.state.terminating:
            self._change(self.state, gone=True)

    def deliver(self) -> None:
        for state, gone in self._events[self._delivered : self._delivered + 1]:
            self._delivered += 1
            if gone:
                self.cache.remove(state.name, state.uid)
            else:
                self.cache.fold(state)

    def begin_listing(self) -> None:
        if self._listing is None:
            self._listing = [self.state] if self.state else [], str(self._version)

    def end_listing(self) -> None:
        if self._listing:
            self.cache.replace_all(*self._listing)
            self._listing = None

    def watch_anew(self) -> None:
        self.cache.replace_all([self.state] if self.state else [], str(self._version))
        self._delivered = len(self._events)

    def begin_write(self) -> None:
        if not self._writing:
            self.cache.begin_write(NAME)
            self._writing, self._answer = True, None

    def write(self) -> None:
        if self._writing and self._answer is None and not (self.state and self.state.terminating):
            edited = self.state and replace(self.state, fingerprint=self._version)
            self._answer = self._change(edited) if edited else self._create()

    def end_write(self) -> None:
        if self._writing:
            self.cache.end_write(NAME, self._answer)
            self._writing = False

    def lose_the_answer(self) -> None:
        if self._writing:
            self.cache.end_write(NAME, None)
            self._writing = False

    def begin_deletion(self) -> None:
        known = self.cache.get(NAME)
        if known and self._deleting is None and not self._writing:
            self._deleting = known
            self.cache.begin_deletion(known.uid)

    def end_deletion(self) -> None:
        if self._deleting is None:
            return
        asked, self._deleting = self._deleting, None
        done = self.state is not None and self.state.resource_version == asked.resource_version
        if done:
            self.delete()
        if done or self.state is None:
            self.cache.end_deletion(NAME, asked.uid, done=True)
        else:
            self.cache.end_deletion(NAME, asked.uid, done=False)

    def settle(self) -> None:
        """Let everything arrive that is still under way."""
        for action in ("end_write", "end_deletion", "end_listing"):
            self.act(action)
        while self._delivered < len(self._events):
            self.deliver()


ACTIONS = sorted(name for name in vars(World) if not name.startswith("_") and name not in ("act", "settle"))


@settings(max_examples=1000)
@given(st.lists(st.sampled_from(ACTIONS), max_size=25))
def test_when_everything_has_arrived_the_cache_is_right_whatever_the_order(actions: list[str]) -> None:
    world = World()
    for action in actions:
        world.act(action)
    world.settle()
    known = world.cache.get(NAME)
    assert (known and (known.uid, known.resource_version)) == (
        world.state and (world.state.uid, world.state.resource_version)
    )


NOON = datetime(2026, 11, 24, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("pauses", "hours"),
    [
        ([], 0),
        ([""], 0),
        (["2026-11-24T10:00:00Z", "2026-11-24T07:00:00+00:00", ""], 5),
        (["2026-11-24T09:00:00"], 3),
        (["0001-01-01T00:00:00+14:00", "2026-11-23T23:59:59Z", "2026-11-24T00:00:00Z"], 12),  # no older than it is
        (["yesterday", "2026-11-24T13:00:00Z"], 0),  # nobody reads minds, and a clock may be ahead
    ],
)
def test_the_longest_pause_is_that_of_the_earliest_time_that_can_be_read(pauses: list[str], hours: int) -> None:
    paused = [
        replace(
            FIRST,
            name=f"a-{number:012x}",
            uid=f"u{number}",
            ours=True,
            created_at="2026-11-24T00:00:00Z",
            paused_since=since,
        )
        for number, since in enumerate(pauses)
    ]
    assert knowing(*paused).longest_pause(NOON) == timedelta(hours=hours)


def test_a_pause_of_what_is_not_ours_does_not_count() -> None:
    assert knowing(replace(FIRST, ours=False, paused_since="2026-11-24T10:00:00Z")).longest_pause(NOON) == timedelta()
