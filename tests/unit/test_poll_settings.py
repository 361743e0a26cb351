"""What poll reads from the environment, and what it says about what it cannot use."""

from __future__ import annotations

from ipaddress import ip_network

import pytest

from region_tick.contract import ExitCode
from region_tick.poll_settings import PollSettingError, PollSettings
from tests.harness.upstream import NO_KEY


@pytest.mark.parametrize("variables", [{}, {"POLL_CONCURRENCY": " ", "YOUTUBE_API_KEY": "", "YOUTUBE_API_URL": ""}])
def test_what_is_not_set_has_its_default(variables: dict[str, str]) -> None:
    assert PollSettings.read(variables) == PollSettings()


def test_everything_can_be_set() -> None:
    settings = PollSettings.read(
        {
            "POLL_CONCURRENCY": "3",
            "POLL_CONCURRENCY_PER_HOST": "1",
            "POLL_REQUEST_SECONDS": "5",
            "POLL_ALLOW_NETWORKS": "10.20.0.0/16, fd00::/8",
            "POLL_DENY_NETWORKS": "2600:1f00::/24",
            "POLL_USER_AGENT": " acme/1 (+https://acme.example/bot)\n",
            "YOUTUBE_API_URL": "http://127.0.0.1:1/v3/",
            "YOUTUBE_FEED_URL": "http://127.0.0.1:1/feed",
            "YOUTUBE_API_KEY": f" {NO_KEY}\n",
            "YOUTUBE_DAILY_UNITS": "1000000",
            "POLL_FRESH_SECONDS": "0",
            "TIKTOK_API_URL": "http://127.0.0.1:1",
            "TIKTOK_CLIENT_KEY": "a",
            "TIKTOK_CLIENT_SECRET": "b",
        }
    )
    assert (settings.concurrency, settings.concurrency_per_host, settings.request_seconds) == (3, 1, 5)
    assert settings.allow_networks == (ip_network("10.20.0.0/16"), ip_network("fd00::/8"))
    assert settings.deny_networks == (ip_network("2600:1f00::/24"),)
    assert settings.user_agent == "acme/1 (+https://acme.example/bot)"
    assert settings.youtube_api_url == "http://127.0.0.1:1/v3"
    assert (settings.youtube_daily_units, settings.fresh_seconds) == (1_000_000, 0)
    assert settings.youtube_api_key is not None
    assert settings.youtube_api_key.value == NO_KEY
    assert NO_KEY not in repr(settings)


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("POLL_CONCURRENCY", "0", "POLL_CONCURRENCY is '0': write a whole number from 1 to 1000, e.g. 4"),
        ("POLL_CONCURRENCY_PER_HOST", "two", "POLL_CONCURRENCY_PER_HOST is 'two'"),
        ("POLL_REQUEST_SECONDS", "1.5", "POLL_REQUEST_SECONDS is '1.5'"),
        (
            "POLL_FRESH_SECONDS",
            "86401",
            "POLL_FRESH_SECONDS is '86401': write a whole number from 0 to 86400, e.g. 3600",
        ),
        ("YOUTUBE_DAILY_UNITS", "0", "YOUTUBE_DAILY_UNITS is '0': write a whole number from 1 to 1000000000"),
        ("POLL_REQUEST_SECONDS", "9999999", "POLL_REQUEST_SECONDS is '9999999'"),
        ("POLL_ALLOW_NETWORKS", "10.0.0.1/8", "POLL_ALLOW_NETWORKS: 10.0.0.1/8 has host bits set: write networks like"),
        ("POLL_ALLOW_NETWORKS", "cluster", "POLL_ALLOW_NETWORKS: 'cluster' does not appear"),
        ("POLL_DENY_NETWORKS", "10.0.0.1/8", "POLL_DENY_NETWORKS: 10.0.0.1/8 has host bits set: write networks like"),
        ("POLL_USER_AGENT", "a\r\nX-Key: b", "POLL_USER_AGENT is 'a\\r\\nX-Key: b': write one line of ASCII"),
        ("POLL_USER_AGENT", "x" * 300, "256 characters at most"),
    ],
)
def test_what_cannot_be_used_is_named_with_its_value_and_the_remedy(name: str, value: str, said: str) -> None:
    with pytest.raises(PollSettingError) as caught:
        PollSettings.read({name: value})
    assert said in str(caught.value)
    assert caught.value.exit_code is ExitCode.CONFIGURATION


@pytest.mark.parametrize("name", ["YOUTUBE_API_KEY", "TIKTOK_CLIENT_KEY", "TIKTOK_CLIENT_SECRET"])
@pytest.mark.parametrize(
    "text", [f"{NO_KEY}\r\nx: y", f"{NO_KEY}\N{RIGHT SINGLE QUOTATION MARK}", f"key: {NO_KEY}", f"{NO_KEY}\x00"]
)
def test_a_key_that_could_not_be_sent_is_refused_without_being_shown(name: str, text: str) -> None:
    with pytest.raises(PollSettingError, match=name) as caught:
        PollSettings.read({name: text})
    assert NO_KEY not in str(caught.value)
