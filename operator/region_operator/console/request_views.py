"""What the console knows of a request, and says of one that it cannot answer, as values. See `views`."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from http import HTTPStatus
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping


class ErrorReason(StrEnum):
    """Why a request has no answer."""

    BAD_PARAMETER = "BadParameter"
    """A parameter cannot be used: the message has its name and value, the remedy what is allowed. Status 400."""
    NOT_FOUND = "NotFound"
    """There is no such page, region or tick. Status 404."""
    METHOD_NOT_ALLOWED = "MethodNotAllowed"
    """The console answers GET and HEAD only. Status 405."""
    DATABASE_UNAVAILABLE = "DatabaseUnavailable"
    """The database does not answer, or cannot be read. Status 503."""
    CLUSTER_UNAVAILABLE = "ClusterUnavailable"
    """The API server does not answer, or refuses. Status 503."""
    NO_SCHEDULER = "NoRegionScheduler"
    """The namespace has no RegionScheduler. Status 503."""
    TOO_SLOW = "TooSlow"
    """The database took too long for what was asked. Status 503."""
    INTERNAL = "Internal"
    """An error of the console itself. Status 500."""

    @property
    def status(self) -> HTTPStatus:
        """The answer's HTTP status."""
        return _STATUS[self]

    @property
    def headline(self) -> str:
        """What the page is called that says so."""
        return _HEADLINES.get(self, self.status.phrase)


_STATUS = {
    ErrorReason.BAD_PARAMETER: HTTPStatus.BAD_REQUEST,
    ErrorReason.NOT_FOUND: HTTPStatus.NOT_FOUND,
    ErrorReason.METHOD_NOT_ALLOWED: HTTPStatus.METHOD_NOT_ALLOWED,
    ErrorReason.DATABASE_UNAVAILABLE: HTTPStatus.SERVICE_UNAVAILABLE,
    ErrorReason.CLUSTER_UNAVAILABLE: HTTPStatus.SERVICE_UNAVAILABLE,
    ErrorReason.NO_SCHEDULER: HTTPStatus.SERVICE_UNAVAILABLE,
    ErrorReason.TOO_SLOW: HTTPStatus.SERVICE_UNAVAILABLE,
    ErrorReason.INTERNAL: HTTPStatus.INTERNAL_SERVER_ERROR,
}

_HEADLINES = {
    ErrorReason.DATABASE_UNAVAILABLE: "No answer from the database",
    ErrorReason.CLUSTER_UNAVAILABLE: "No answer from the API server",
    ErrorReason.NO_SCHEDULER: "No RegionScheduler",
    ErrorReason.TOO_SLOW: "It takes too long",
}
"""Names of what is missing. `Service Unavailable` would sound as if the console itself were away."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestContext:
    """What a page must know of its request.

    `path` has no leading slash, and its codes are decoded. `root` leads from the page to the overview: "" or "../" as
    often as needed; every link begins with it. `query` are the parameters as they came, each once. `namespace` is the
    console's, for commands.
    """

    namespace: str
    path: str
    root: str
    query: Mapping[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Error:
    """A request that has no answer. `message` names the value, `remedy` says what to do."""

    reason: ErrorReason
    message: str
    remedy: str
