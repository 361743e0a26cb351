"""leftovers.py: the script that removes what is left. What is found: tests/cluster/test_orphan.py."""

from __future__ import annotations

import shlex

from region_operator.leftovers import NAMES_AT_ONCE, Leftovers


def commands(leftovers: Leftovers) -> list[list[str]]:
    """Return the script's commands as a shell splits them."""
    split = (shlex.split(line, comments=True) for line in leftovers.as_script().splitlines())
    return [words for words in split if words]


def test_each_cronjob_is_named_once_and_no_command_is_too_long() -> None:
    names = tuple(f"r-{number}" for number in range(2 * NAMES_AT_ONCE + 1))
    found = commands(Leftovers(namespace="n", cronjobs=names, quota=True))
    assert [len(words) for words in found[:-1]] == [NAMES_AT_ONCE + 5, NAMES_AT_ONCE + 5, 6]
    assert all(words[:5] == ["kubectl", "delete", "-n", "n", "--cascade=orphan"] for words in found[:-1])
    assert [word for words in found[:-1] for word in words[5:]] == [f"cronjob.batch/{name}" for name in names]
    assert found[-1] == ["kubectl", "delete", "-n", "n", "resourcequota/region-tick"]


def test_the_lease_is_mentioned_and_not_removed_because_an_operator_may_hold_it() -> None:
    leftovers = Leftovers(namespace="n", quota=True)
    assert "delete -n n lease" in leftovers.as_script()
    assert len(commands(leftovers)) == 1


def test_nothing_left_is_no_command() -> None:
    assert not Leftovers(namespace="n")
    assert commands(Leftovers(namespace="n")) == []
    assert "namespace n" in Leftovers(namespace="n").as_script()
