"""chart: each file is what `make chart` would write, and what edits the manifests for it changes the right places."""

from __future__ import annotations

import pytest
import yaml

from docs.chart.files import FOLDER, find_leftovers, make_files
from docs.chart.manifest import Manifest, MissingPlaceError
from docs.chart.schema import of_crd, settings_schema
from docs.chart.values import TEMPLATES
from docs.generator.output import find_outdated
from docs.generator.source import CHECKOUT
from region_operator.settings import Settings

TEXT = """\
# first
spec:
  containers: # the only one
    - name: main
      resources: # few
        limits: {cpu: 1}
        # more
      env:
        - {name: A, value: one} # of A
        - {name: B, value: two} # of B
  # last
  namespace: here
---
subjects: [{name: x, namespace: here}, {name: y, namespace: there}]
"""
MAIN = "spec.containers.main"


def test_every_file_is_as_the_manifests_are() -> None:
    files = make_files()
    wrong = [str(path.relative_to(CHECKOUT)) for path in (*find_outdated(files), *find_leftovers(files))]
    assert not wrong, f"{', '.join(wrong)}: differs from the manifests, run make chart"


def test_a_file_without_a_manifest_is_a_leftover() -> None:
    files = make_files()
    gone = FOLDER / "templates" / TEMPLATES["crds/regionscheduler.yaml"]
    assert find_leftovers({path: text for path, text in files.items() if path != gone}) == [gone]


def test_a_place_is_read_through_lists_by_name() -> None:
    manifest = Manifest("a.yaml", TEXT)
    assert manifest.read(f"{MAIN}.env.B.value") == "two"
    assert manifest.read(f"{MAIN}.resources") == {"limits": {"cpu": 1}}


def test_only_the_places_change_and_comments_stay() -> None:
    manifest = Manifest("a.yaml", TEXT)
    edits = [
        manifest.append(f"{MAIN}.env", "        [more]"),
        manifest.replace(f"{MAIN}.resources", "[resources]"),
        manifest.replace(f"{MAIN}.env.A.value", "[a]"),
        *manifest.replace_all("namespace", "here", "[ns]"),
    ]
    expected = TEXT.replace("limits: {cpu: 1}", "[resources]").replace("one}", "[a]}").replace(" here", " [ns]")
    assert manifest.edited(edits) == expected.replace("# of B\n", "# of B\n        [more]\n")


def test_a_line_is_replaced_in_all_objects() -> None:
    manifest = Manifest("a.yaml", TEXT)
    expected = TEXT.replace("  namespace: here", "one").replace(
        "subjects: [{name: x, namespace: here}, {name: y, namespace: there}]", "one"
    )
    assert manifest.edited(list(manifest.replace_lines("namespace", "here", "one"))) == expected


def test_a_missing_place_names_the_file_and_the_step() -> None:
    with pytest.raises(MissingPlaceError, match=r"a\.yaml has no spec\.containers\.other\.image: 'other' is missing"):
        Manifest("a.yaml", TEXT).read("spec.containers.other.image")


def test_the_settings_are_all_but_what_the_deployment_gives_and_secrets() -> None:
    known = settings_schema(given=["TICK_IMAGE", "POD_NAMESPACE"])["properties"]
    assert known["RETENTION_DAYS"].items() >= {"type": "integer", "minimum": 1, "maximum": 3650}.items()
    assert known["LOG_LEVEL"]["enum"] == ["DEBUG", "INFO", "WARNING", "ERROR"]
    assert "TICK_IMAGE" not in known
    fields = {name.upper() for name in Settings.model_fields} - known.keys()
    assert {name for name in fields if "URL" not in name} == {"NAMESPACE", "TICK_IMAGE", "HEALTH_PORT"}


def test_a_schema_of_a_crd_takes_no_unknown_names_but_where_kubernetes_does() -> None:
    text = """
        type: object
        x-kubernetes-validations: [{rule: self}]
        properties:
          open: {type: object, x-kubernetes-preserve-unknown-fields: true, properties: {a: {type: string}}}
          items: {type: array, items: {type: object, properties: {b: {type: integer, description: ...}}}}
          labels: {type: object, additionalProperties: {type: string}}
    """
    assert of_crd(yaml.safe_load(text)) == {
        "type": "object",
        "additionalProperties": False,
        "properties": {
            "open": {"type": "object", "properties": {"a": {"type": "string"}}},
            "items": {
                "type": "array",
                "items": {"type": "object", "additionalProperties": False, "properties": {"b": {"type": "integer"}}},
            },
            "labels": {"type": "object", "additionalProperties": {"type": "string"}},
        },
    }
