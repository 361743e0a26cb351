"""Reads what YouTube says in a refusal: the day's quota is used up, the key is not good, or the creator is to blame.

The Data API names reasons in two places: in `errors` (https://developers.google.com/youtube/v3/docs/errors), and in
`details`, as all of Google's APIs do (google.api.ErrorReason). No message shows the text beside a reason, because the
text may hold the key.
"""

from __future__ import annotations

import json
import random
import re
from datetime import UTC, timedelta, timezone
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from region_tick.fetch import CredentialsError, FetchError, RefusedError, TransientError
from region_tick.retry import THROTTLED_SECONDS, ThrottledError, retry_after, server_time

if TYPE_CHECKING:
    from region_tick.fetch import Response

_QUOTA_REASONS = {"quotaExceeded", "dailyLimitExceeded", "RESOURCE_QUOTA_EXCEEDED"}
_RATE_REASONS = {"rateLimitExceeded", "userRateLimitExceeded", "RATE_LIMIT_EXCEEDED"}
_KEY_REASON = re.compile(
    "API_KEY_[A-Z_]+|ACCESS_TOKEN_[A-Z_]+|CONSUMER_[A-Z_]+|SERVICE_[A-Z_]+|GCP_SUSPENDED|BILLING_DISABLED"
    "|CREDENTIALS_MISSING|USER_PROJECT_DENIED|RESOURCE_PROJECT_INVALID"
    "|keyInvalid|keyExpired|(ip|)[rR]efererBlocked|accessNotConfigured|billingNotEnabled|dailyLimitExceededUnreg"
)
"""The reasons that blame the key or the key's project."""
_REASON = re.compile(r"\w{1,60}", re.ASCII)
_RESET_JITTER_SECONDS = 120.0
"""Over which time the first requests after the quota's renewal are spread."""


class FeedRefusedError(RefusedError):
    """YouTube's feeds answer 404 to everybody at times, for hours: that says little about the channel."""

    longest_pause = 3600.0


def judge_api(response: Response) -> FetchError | None:
    """Return what a refusal of the Data API means, with its reasons; None for any other answer."""
    if response.status < 400:
        return None
    reasons = reasons_of(response)
    said = ", ".join([f"{response.host} answers {response.status}", *reasons])
    if response.status in (403, 429) and _QUOTA_REASONS.intersection(reasons):
        return ThrottledError(f"{said}: the day's quota is used up", _seconds_until_renewal(response))
    if response.status == 403 and _RATE_REASONS.intersection(reasons):
        return ThrottledError(said, THROTTLED_SECONDS)
    to_blame = [reason for reason in reasons if _KEY_REASON.fullmatch(reason)]
    if to_blame or response.status == 401 or _is_suspended(response):
        because = to_blame[0] if to_blame else said
        return CredentialsError(f"YouTube refuses the key, {because}: check YOUTUBE_API_KEY and its project")
    if response.status >= 500 and retry_after(response.headers) is None:
        return TransientError(said)
    return RefusedError(said, response) if reasons and response.status in (400, 403, 404) else None


def judge_feed(response: Response) -> FetchError | None:
    """Return a refusal with a short pause for a 404 of the feeds' host; None for any other answer."""
    if response.status == 404:
        return FeedRefusedError(f"{response.host} answers 404", response)
    return None


def reasons_of(response: Response | None) -> list[str]:
    """Return the reasons in an answer's body, each once."""
    error = _error(response)
    named = [*_members(error.get("errors")), *_members(error.get("details"))]
    reasons = [reason for one in named if isinstance(reason := one.get("reason"), str) and _REASON.fullmatch(reason)]
    return list(dict.fromkeys(reasons))


def _is_suspended(response: Response) -> bool:
    """Tell whether an older answer, without details, says that the key's project is suspended."""
    return response.status == 403 and "has been suspended" in str(_error(response).get("message"))


def _error(response: Response | None) -> dict[str, Any]:
    try:
        error = json.loads(response.body)["error"] if response else {}
    except (ValueError, KeyError, TypeError, RecursionError):
        return {}
    return error if isinstance(error, dict) else {}


def _members(value: Any) -> list[dict[str, Any]]:
    return [one for one in value if isinstance(one, dict)] if isinstance(value, list) else []


def _seconds_until_renewal(response: Response) -> float:
    """Return the seconds until midnight, Pacific time, when YouTube renews the quota, and a little more."""
    now = server_time(response.headers).astimezone(_pacific())
    tomorrow = (now + timedelta(days=1)).replace(hour=0, minute=0, second=0, microsecond=0)
    seconds = (tomorrow.astimezone(UTC) - now.astimezone(UTC)).total_seconds()
    return seconds + random.uniform(0.0, _RESET_JITTER_SECONDS)  # noqa: S311


def _pacific() -> ZoneInfo | timezone:
    """Return Pacific time; without a time zone database Pacific standard time, an hour late in summer at most."""
    try:
        return ZoneInfo("America/Los_Angeles")
    except ZoneInfoNotFoundError:
        return timezone(timedelta(hours=-8))
