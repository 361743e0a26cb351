"""docs/questions.md and docs/install.md: a person who follows them forgets no place and no option."""

from __future__ import annotations

import re
from pathlib import Path

import yaml

CHECKOUT = Path(__file__).parents[2]
DOCS = [CHECKOUT / "README.md", *(CHECKOUT / "docs").glob("*.md")]
MANIFESTS = CHECKOUT / "manifests"
OF_THE_CLUSTER = {"ClusterRole", "ValidatingAdmissionPolicy", "ValidatingAdmissionPolicyBinding"}


def section(title: str) -> str:
    """Return what stands below a heading of questions.md."""
    page = (CHECKOUT / "docs/questions.md").read_text()
    return page.partition(f"\n## {title}\n")[2].partition("\n## ")[0]


def options() -> dict[str, list[str]]:
    """Return the kinds of the objects of each option, by its folder: of each folder that is not of the base."""
    base = yaml.safe_load((MANIFESTS / "Kustomization").read_text())["resources"]
    folders = [path.parent for path in MANIFESTS.glob("*/Kustomization") if path.parent.name not in base]
    return {
        f"manifests/{folder.name}": [
            each["kind"] for path in folder.glob("*.yaml") for each in yaml.safe_load_all(path.read_text())
        ]
        for folder in folders
    }


def test_a_database_that_moves_is_told_in_every_place_that_the_docs_have_people_write_its_url_to() -> None:
    moved = section("The database moved")
    docs = "\n".join(path.read_text() for path in DOCS)
    secrets = set(re.findall(r"kubectl create secret generic (\S+) .*--from-literal=DATABASE", docs))
    assert secrets >= {"region-tick-database", "region-tick-ticks", "region-tick-console"}
    assert {secret for secret in secrets if f"`{secret}`" not in moved} == set()
    keys = set(re.findall(r"\bDATABASE(?:_[A-Z]+)*_URL\b", docs))
    assert {key for key in keys if f"`{key}`" not in moved} == set()
    values = yaml.safe_load((CHECKOUT / "chart/values.yaml").read_text())
    assert {value for value in values["database"] if f"`database.{value}`" not in moved} == set()


def test_every_option_is_offered_and_what_would_outlive_the_namespace_is_deleted() -> None:
    offered = (CHECKOUT / "docs/install.md").read_text().partition("\nOptions")[2].partition("\n\n")[0]
    assert len(options()) >= 6
    assert {option for option in options() if f"`{option}`" not in offered} == set()
    deleted = section("How do I get rid of everything?")
    outlive = {option for option, kinds in options().items() if OF_THE_CLUSTER & set(kinds)}
    assert {option for option in outlive if f"kubectl delete -f {option} " not in deleted} == set()
