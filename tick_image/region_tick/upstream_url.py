"""Reads the URLs that rows and redirects hold, and says what is wrong with those that cannot be requested. Pure.

No message holds a URL's path, query or password. A host counts once, however it is written: in any case, with the
scheme's own port, with the dot of an absolute name.
"""

from __future__ import annotations

from contextlib import suppress
from typing import TypeAlias
from urllib.parse import urljoin

from urllib3.exceptions import LocationParseError
from urllib3.util import Url, parse_url

PORTS = {"http": 80, "https": 443}
Origin: TypeAlias = tuple[str | None, str | None, int]
"""Scheme, host and port."""
_INVISIBLE = "\ufeff\u200b\u2060"
"""What str.strip leaves at the ends of a pasted text although nobody sees it."""


class UrlError(ValueError):
    """A text cannot be requested. The message says what to write instead."""


def parse(text: str) -> Url:
    """Parse an absolute http or https URL with blanks around it, and drop the fragment. Raises UrlError."""
    url = text.strip().strip(_INVISIBLE).strip()
    if not url.isprintable():
        raise UrlError("the URL holds a line break or another character that does not show: write it anew, in one line")
    try:
        target = parse_url(url)
    except LocationParseError:
        target = Url()
    if target.scheme not in PORTS or not (target.host or "").strip("."):
        raise UrlError("that is no URL to poll: write http:// or https://, a host in ASCII (xn--...), and a path")
    if target.auth is not None:
        raise UrlError(f"the URL of {target.host} holds a user or a password, which would show: take it out")
    port = None if target.port == PORTS[target.scheme] else target.port
    return target._replace(fragment=None, host=(target.host or "").removesuffix("."), port=port)


def parse_redirect(target: Url, location: str) -> Url:
    """Parse the Location of a redirect from `target`, as http.client shows it. Raises UrlError.

    Some servers send a Location in UTF-8 or Latin-1, although a URL is ASCII. http.client shows each byte as a
    character. As browsers do, bytes count as UTF-8 if they can be, otherwise as Latin-1.
    """
    with suppress(UnicodeError):
        location = location.encode("latin-1").decode()
    try:
        return parse(urljoin(target.url, location.strip()))
    except UrlError:
        raise
    except ValueError:
        raise UrlError(f"{target.host} redirects to what is no URL") from None


def origin_of(target: Url) -> Origin:
    """Return what a connection and a key belong to."""
    return target.scheme, target.host, target.port or PORTS[target.scheme or ""]
