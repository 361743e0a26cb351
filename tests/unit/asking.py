"""The way to an upstream that adapters get, with answers as a test wants them."""

from __future__ import annotations

import json
from typing import Any

from urllib3 import HTTPHeaderDict

from region_tick.adapters import Creator, Found, NotModified
from region_tick.fetch import Request, Response
from region_tick.retry import judge

URL = "https://upstream.test/blog/feed.xml"


def response(body: object = b"", status: int = 200, *, url: str = URL, **headers: str) -> Response:
    named = HTTPHeaderDict({name.replace("_", "-"): value for name, value in headers.items()})
    text = body if isinstance(body, bytes) else json.dumps(body).encode()
    return Response(url=url, host="upstream.test", status=status, headers=named, body=text)


class Asking:
    """Stands for the way to an upstream: gives these answers, as region_tick.retry judges them, without repetition.

    Remembers the requests.
    """

    def __init__(self, *answers: Response | Exception) -> None:
        self.answers, self.requests = list(answers), list[Request]()

    def __call__(self, request: Request) -> Response:
        self.requests.append(request)
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        if (error := judge(request, answer)) is not None:
            raise error
        return answer


def creator(**columns: Any) -> Creator:
    row: dict[str, Any] = {"id": 1, "platform": "any", "handle": None, "url": None}
    return Creator(**row | columns)


def found(result: Found | NotModified) -> Found:
    assert isinstance(result, Found)
    return result
