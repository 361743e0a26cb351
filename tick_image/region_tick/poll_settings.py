"""Reads the settings of `poll` from the pod's environment. Users set the variables by `spec.tick.env` and `envFrom`."""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import ip_network
from typing import TYPE_CHECKING

from region_tick.contract import ExitCode
from region_tick.fetch import Secret
from region_tick.handlers import PermanentError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from region_tick.addresses import Network

_HEADER_LIMIT = 256


class PollSettingError(PermanentError):
    """A variable cannot be used. The message has the variable's name, its value (never a key) and the remedy."""

    exit_code = ExitCode.CONFIGURATION


@dataclass(frozen=True, slots=True, kw_only=True)
class PollSettings:
    """The settings and keys of `poll`, as docs/polling.md explains."""

    concurrency: int = 4
    """How many requests a tick sends at the same time. Each request may take 16 MB of the pod's memory."""
    concurrency_per_host: int = 2
    """How many requests go to one host at once. A redirect counts for the host that it comes from."""
    request_seconds: int = 20
    """How long one request may take, with redirects and body."""
    allow_networks: tuple[Network, ...] = ()
    """Private networks to which requests may go. Requests to all other private addresses are refused."""
    deny_networks: tuple[Network, ...] = ()
    """Networks to which no request goes, although their addresses are public: those of pods or nodes, for example."""
    fresh_seconds: int = 3600
    """For how long an upstream is left alone at most because it says that its answer is fresh; 0 to ask at each tick.
    """
    user_agent: str = ""
    """The User-Agent of every request, instead of our name and version. Name yourself and a way to reach you: many
    sites turn away who does not, e.g. acme-news/1.0 (+https://acme.example/bot).
    """
    youtube_api_url: str = "https://www.googleapis.com/youtube/v3"
    """The URL of YouTube's Data API. Set another URL to test against a server of your own."""
    youtube_feed_url: str = "https://www.youtube.com/feeds/videos.xml"
    """The URL of YouTube's feeds. Set another URL to test against a server of your own."""
    youtube_api_key: Secret | None = None
    """A key of YouTube's Data API. Without a key, the channel's feed is asked."""
    youtube_daily_units: int = 10_000
    """How many units of the key's quota may be spent in a day. Google gives 10,000, and more to those who ask."""
    tiktok_api_url: str = "https://open.tiktokapis.com"
    """The URL of TikTok's Research API. Set another URL to test against a server of your own."""
    tiktok_client_key: Secret | None = None
    """The key of a client that TikTok approved for the Research API."""
    tiktok_client_secret: Secret | None = None
    """The secret of that client."""

    @classmethod
    def read(cls, variables: Mapping[str, str]) -> PollSettings:
        """Read the variables. A missing or empty variable has its default. Raises PollSettingError."""
        default = cls()
        return cls(
            concurrency=_whole_number(variables, "POLL_CONCURRENCY", default.concurrency),
            concurrency_per_host=_whole_number(variables, "POLL_CONCURRENCY_PER_HOST", default.concurrency_per_host),
            request_seconds=_whole_number(variables, "POLL_REQUEST_SECONDS", default.request_seconds),
            allow_networks=_networks(variables, "POLL_ALLOW_NETWORKS"),
            deny_networks=_networks(variables, "POLL_DENY_NETWORKS"),
            fresh_seconds=_whole_number(
                variables, "POLL_FRESH_SECONDS", default.fresh_seconds, smallest=0, largest=86_400
            ),
            user_agent=_header(variables, "POLL_USER_AGENT", default.user_agent),
            youtube_api_url=_url(variables, "YOUTUBE_API_URL", default.youtube_api_url),
            youtube_feed_url=_url(variables, "YOUTUBE_FEED_URL", default.youtube_feed_url),
            youtube_api_key=_secret(variables, "YOUTUBE_API_KEY"),
            youtube_daily_units=_whole_number(
                variables, "YOUTUBE_DAILY_UNITS", default.youtube_daily_units, largest=1_000_000_000
            ),
            tiktok_api_url=_url(variables, "TIKTOK_API_URL", default.tiktok_api_url),
            tiktok_client_key=_secret(variables, "TIKTOK_CLIENT_KEY"),
            tiktok_client_secret=_secret(variables, "TIKTOK_CLIENT_SECRET"),
        )


def _whole_number(
    variables: Mapping[str, str], name: str, default: int, *, smallest: int = 1, largest: int = 1000
) -> int:
    text = variables.get(name, "").strip()
    if not text:
        return default
    if not (text.isascii() and text.isdigit() and smallest <= int(text[:12]) <= largest):
        raise PollSettingError(
            f"{name} is {text[:40]!r}: write a whole number from {smallest} to {largest}, e.g. {default}"
        )
    return int(text)


def _url(variables: Mapping[str, str], name: str, default: str) -> str:
    return variables.get(name, "").strip().rstrip("/") or default


def _networks(variables: Mapping[str, str], name: str) -> tuple[Network, ...]:
    words = variables.get(name, "").replace(",", " ").split()
    try:
        return tuple(ip_network(word) for word in words)
    except ValueError as error:
        raise PollSettingError(f"{name}: {error}: write networks like 10.20.0.0/16, with commas between") from None


def _header(variables: Mapping[str, str], name: str, default: str) -> str:
    text = variables.get(name, "").strip() or default
    if not (text.isascii() and text.isprintable() and len(text) <= _HEADER_LIMIT):
        raise PollSettingError(
            f"{name} is {text[:_HEADER_LIMIT]!r}: write one line of ASCII, {_HEADER_LIMIT} characters at most"
        )
    return text


def _secret(variables: Mapping[str, str], name: str) -> Secret | None:
    """Read a key, without the blanks and the line break that files in Secrets often have at the end."""
    text = variables.get(name, "").strip()
    if not text:
        return None
    if not (text.isascii() and text.isprintable() and " " not in text):
        raise PollSettingError(f"{name} holds characters that no key has (its value is not shown): set it anew")
    return Secret(text)
