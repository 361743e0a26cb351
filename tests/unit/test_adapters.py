"""What all adapters share: how a platform's adapter is found, and which validators are kept and sent."""

from __future__ import annotations

import subprocess
import sys
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest

from region_tick.adapters import (
    VALIDATOR_LIMIT,
    Adapter,
    NotModified,
    conditional_headers,
    make_adapters,
    make_found,
    make_not_modified,
)
from region_tick.adapters.generic import Generic
from region_tick.adapters.youtube import YouTube
from region_tick.fetch import RefusedError
from region_tick.poll_settings import PollSettings
from tests.unit.asking import Asking, creator, response

if TYPE_CHECKING:
    from pathlib import Path

NOW = datetime(2026, 11, 24, 9, tzinfo=UTC)
CHANNEL = "UC" + "x" * 22
YOUTUBE = YouTube(api_url="https://api.test", feed_url="https://feed.test", key=None, daily_units=1)
PROJECT = """
[build-system]
requires = ["hatchling"]
build-backend = "hatchling.build"
[project]
name = "odd-adapters"
version = "1"
[project.entry-points."region_tick.adapters"]
guestbook = "guestbook:make"
broken = "no_such_module:make"
[tool.hatch.build.targets.wheel]
include = ["guestbook.py"]
"""
MODULE = """
from region_tick.adapters import Found, Item
from region_tick.fetch import Request, host_of


def make(settings, until):
    return Guestbook(settings, until)


class Guestbook:
    def __init__(self, settings, until):
        self._settings, self._until = settings, until

    def host(self, creator):
        return host_of(creator.url)

    def poll(self, creator, ask):
        lines = ask(Request(url=creator.url)).body.decode().splitlines()
        return Found(items=[Item(id=line, published_at=self._until) for line in lines])
"""


def test_each_platform_has_its_adapter() -> None:
    every = make_adapters(PollSettings(), until=NOW)
    assert {"http", "youtube", "tiktok"} <= set(every)
    assert every["youtube"].host(creator()) == "www.youtube.com"
    assert every["tiktok"].host(creator()) == "open.tiktokapis.com"
    assert every["http"].host(creator(url="https://upstream.test:8443/a")) == "upstream.test:8443"
    assert every["http"] is every["http"]
    with pytest.raises(KeyError):
        every["myspace"]


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Install a package with two adapters, as a user's Dockerfile does, and return the folder."""
    source, target = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("target")
    (source / "pyproject.toml").write_text(PROJECT)
    (source / "guestbook.py").write_text(MODULE)
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-index", "--no-deps", "--no-build-isolation"]
    subprocess.run([*command, "--target", str(target), str(source)], check=True, timeout=120)
    return target


def test_a_package_brings_an_adapter(installed: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(installed))
    every = make_adapters(PollSettings(), until=NOW)
    guests = creator(platform="guestbook", url="https://upstream.test/guests")
    assert every["guestbook"].host(guests) == "upstream.test"
    result = every["guestbook"].poll(guests, Asking(response(b"ann\nbob")))
    assert not isinstance(result, NotModified)
    assert [(item.id, item.published_at) for item in result.items] == [("ann", NOW), ("bob", NOW)]
    assert {"guestbook", "broken", "http"} <= set(every)


def test_an_adapter_that_cannot_be_made_costs_its_creators_alone(
    installed: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(installed))
    every = make_adapters(PollSettings(), until=NOW)
    for _ in range(2):
        with pytest.raises(RefusedError, match="no_such_module:make of broken cannot be made: ModuleNotFoundError"):
            every["broken"]
    assert every["http"].host(creator(url="https://upstream.test/")) == "upstream.test"


def test_what_is_known_is_sent_along() -> None:
    known = creator(etag='W/"1"', last_modified="Fri, 06 Mar 2015 21:40:57 GMT")
    assert conditional_headers(known) == {
        "If-None-Match": 'W/"1"',
        "If-Modified-Since": "Fri, 06 Mar 2015 21:40:57 GMT",
    }
    assert conditional_headers(creator()) == {}


@pytest.mark.parametrize("etag", [None, '"1"'])
def test_a_last_modified_in_the_future_is_not_sent_for_ever(etag: str | None) -> None:
    today, ahead = datetime.now(UTC), "Fri, 01 Mar 2041 00:00:00 GMT"
    midnight = today.replace(hour=0, minute=0, second=0, microsecond=0)
    later = conditional_headers(creator(etag=etag, last_modified=ahead, last_polled_at=today))
    assert later["If-Modified-Since"] == ahead
    for polled_at in (midnight - timedelta(seconds=1), today - timedelta(days=9)):
        assert conditional_headers(creator(etag=etag, last_modified=ahead, last_polled_at=polled_at)) == {}
    past = creator(etag=etag, last_modified="Fri, 06 Mar 2015 21:40:57 GMT", last_polled_at=today - timedelta(days=9))
    assert "If-Modified-Since" in conditional_headers(past)
    assert conditional_headers(creator(last_modified="soon", last_polled_at=today)) == {"If-Modified-Since": "soon"}


@pytest.mark.parametrize("value", ["", "x" * (VALIDATOR_LIMIT + 1), '"\n"', '"\x00"', '"é"'])
def test_a_validator_that_could_not_be_sent_is_neither_kept_nor_sent(value: str) -> None:
    assert conditional_headers(creator(etag=value, last_modified=value)) == {}
    kept = make_found(response(etag=value, last_modified=value), [])
    assert (kept.etag, kept.last_modified) == (None, None)


def test_an_answer_with_a_problem_has_no_validators() -> None:
    answer = response(etag='"1"', last_modified="Fri, 06 Mar 2015 21:40:57 GMT")
    broken = make_found(answer, [], problem="breaks off", etag='"body"')
    assert (broken.etag, broken.last_modified, broken.problem) == (None, None, "breaks off")


@pytest.mark.parametrize(
    ("adapter", "row"),
    [
        (Generic(), creator(url="https://upstream.test/", etag='"1"', last_modified="Fri")),
        (YOUTUBE, creator(handle=CHANNEL, etag='"1"', last_modified="Fri")),
    ],
)
def test_304_is_nothing_new_and_brings_its_validators(adapter: Adapter, row: object) -> None:
    assert adapter.poll(row, Asking(response(status=304))) == NotModified(etag='"1"', last_modified="Fri")  # type: ignore[arg-type]
    asking = Asking(response(status=304, etag='"2"'))
    assert adapter.poll(row, asking) == NotModified(etag='"2"', last_modified="Fri")  # type: ignore[arg-type]
    assert make_not_modified(response(status=304, etag="é"), creator(etag='"1"')) == NotModified(etag='"1"')
