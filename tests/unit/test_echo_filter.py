"""cronjobs/echo_filter.py: which events are news, and which events a tick or our own write causes."""

from __future__ import annotations

from copy import deepcopy
from typing import TYPE_CHECKING, Any

import pytest

from region_operator.cronjobs.echo_filter import EchoFilter

if TYPE_CHECKING:
    from collections.abc import Callable

CRONJOB: dict[str, Any] = {
    "metadata": {
        "name": "fr-75-eabddc4488ef",
        "uid": "u1",
        "generation": 1,
        "resourceVersion": "7",
        "labels": {"app": "region-tick", "team": "a"},
        "annotations": {"region-tick.dev/digest": "d1", "note": "x"},
        "ownerReferences": [{"uid": "o1", "controller": True}],
    },
    "status": {},
}


def edited(edit: Callable[[dict[str, Any]], object]) -> dict[str, Any]:
    body = deepcopy(CRONJOB)
    edit(body)
    return body


def seen() -> EchoFilter:
    seen = EchoFilter()
    seen.replace_all([CRONJOB])
    return seen


@pytest.mark.parametrize(
    "edit",
    [
        pytest.param(lambda body: body["metadata"].update(generation=2), id="spec"),
        pytest.param(lambda body: body["metadata"].update(uid="u2"), id="another of the same name"),
        pytest.param(lambda body: body["metadata"].update(deletionTimestamp="now"), id="going"),
        pytest.param(lambda body: body["metadata"]["labels"].pop("app"), id="label removed"),
        pytest.param(lambda body: body["metadata"].pop("labels"), id="labels removed"),
        pytest.param(lambda body: body["metadata"]["labels"].update(app="x"), id="label changed"),
        pytest.param(
            lambda body: body["metadata"]["annotations"].update({"region-tick.dev/digest": "d2"}), id="digest"
        ),
        pytest.param(
            lambda body: body["metadata"]["annotations"].update({"region-tick.dev/paused": "true"}), id="pause"
        ),
        pytest.param(lambda body: body["metadata"].pop("ownerReferences"), id="owner"),
    ],
)
def test_what_a_reconcile_would_see_is_news(edit: Callable[[dict[str, Any]], object]) -> None:
    assert seen().is_news(edited(edit), deleted=False)


@pytest.mark.parametrize(
    "edit",
    [
        pytest.param(lambda body: body.update(status={"lastScheduleTime": "now"}), id="a tick"),
        pytest.param(lambda body: body["metadata"].update(resourceVersion="8"), id="version"),
        pytest.param(lambda body: body["metadata"].update(managedFields=[{}]), id="managed fields"),
        pytest.param(lambda body: body["metadata"]["labels"].update(team="b"), id="foreign label"),
        pytest.param(lambda body: body["metadata"]["annotations"].update(note="y"), id="foreign annotation"),
    ],
)
def test_anything_else_is_not(edit: Callable[[dict[str, Any]], object]) -> None:
    assert not seen().is_news(edited(edit), deleted=False)


def test_an_unknown_one_is_news_until_it_is_noted() -> None:
    unknown = edited(lambda body: body["metadata"].update(name="is-1-000000000000"))
    known = seen()
    assert known.is_news(unknown, deleted=False)
    known.remember(unknown)
    assert not known.is_news(unknown, deleted=False)
    known.replace_all([CRONJOB])
    assert known.is_news(unknown, deleted=False)


def test_the_end_of_a_known_one_is_news_but_not_if_we_brought_it_about() -> None:
    known = seen()
    assert known.is_news(CRONJOB, deleted=True)
    known.expect_deletion(CRONJOB["metadata"]["name"], uid="u1")
    assert not known.is_news(CRONJOB, deleted=True)


def test_until_one_that_we_deleted_is_gone_nothing_of_it_is_news_and_nobody_else_did_it() -> None:
    going = edited(lambda body: body["metadata"].update(deletionTimestamp="now"))
    known = seen()
    known.expect_deletion(CRONJOB["metadata"]["name"], uid="u1")
    for body in (CRONJOB, edited(lambda body: body["metadata"].update(generation=2)), going):
        assert not known.is_news(body, deleted=False)
    for _ in range(2):
        assert known.replace_all([going]) == []
        assert not known.is_news(going, deleted=False)
        assert not known.is_news(going, deleted=True)
    assert known.replace_all([]) == []
    assert not known.is_news(going, deleted=False)  # an event that comes late
    again = edited(lambda body: body["metadata"].update(uid="u2"))
    assert known.is_news(again, deleted=False)


def test_one_whose_deletion_was_refused_matters_again_once_it_is_listed() -> None:
    known = seen()
    known.expect_deletion(CRONJOB["metadata"]["name"], uid="u1")
    known.replace_all([CRONJOB])
    assert known.is_news(edited(lambda body: body["metadata"].update(generation=2)), deleted=False)
    assert known.is_news(CRONJOB, deleted=True)
    assert known.replace_all([]) == [CRONJOB["metadata"]["name"]]


def test_the_end_of_an_earlier_one_of_the_same_name_is_not() -> None:
    assert not seen().is_news(edited(lambda body: body["metadata"].update(uid="u0")), deleted=True)


def test_those_that_others_have_deleted_are_told() -> None:
    known = seen()
    another = edited(lambda body: body["metadata"].update(name="is-1-000000000000"))
    known.remember(another)
    assert known.replace_all([CRONJOB, another]) == []
    known.expect_deletion("is-1-000000000000", uid="u1")
    assert known.replace_all([CRONJOB]) == []
    assert known.replace_all([edited(lambda body: body["metadata"].update(uid="u2"))]) == ["fr-75-eabddc4488ef"]
    assert known.replace_all([]) == ["fr-75-eabddc4488ef"]
    assert known.replace_all([]) == []


def test_one_with_no_name_of_ours_does_not_matter() -> None:
    backup = edited(lambda body: body["metadata"].update(name="backup"))
    known = seen()
    assert not known.is_news(backup, deleted=False)
    assert known.replace_all([CRONJOB, backup]) == []
    assert known.replace_all([CRONJOB]) == []
