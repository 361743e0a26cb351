"""cronjobs/cache.py: which listings, events and answers are news, in whatever order they come."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from region_operator.cronjobs.cache import CronJobCache, News
from region_operator.cronjobs.live import LiveCronJob

NAME = "fr-75-eabddc4488ef"
FIRST = LiveCronJob.from_object(
    {"metadata": {"name": NAME, "uid": "u1", "resourceVersion": "7", "generation": 1}, "spec": {"schedule": "@daily"}}
)
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
