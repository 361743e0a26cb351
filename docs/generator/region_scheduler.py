"""The page of the RegionScheduler's fields, from its CustomResourceDefinition."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import yaml

from docs.generator.markdown import code, codes, join, section, table, wrap
from docs.generator.source import CHECKOUT

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

CRD = "crds/regionscheduler.yaml"
_DURATION = r"^([0-9]+(\.[0-9]+)?(ms|s|m|h))+$"
_HEAD = ("field", "type", "default", "limits", "meaning")


def region_scheduler_page() -> str:
    """Return the page without its head."""
    crd = yaml.safe_load((CHECKOUT / CRD).read_text())["spec"]
    [version] = crd["versions"]
    schema = version["schema"]["openAPIV3Schema"]
    rules = " ".join(f"Rule: {rule['message']}." for rule in schema["x-kubernetes-validations"])
    name = code(f"{crd['names']['plural']}.{crd['group']}/{version['name']}")
    return join(
        wrap(
            f"{schema['description']} The resource is {name}, for short {codes(crd['names']['shortNames'])}. {rules}"
            " A duration is a Go duration, such as `90s` or `1h30m`. `kubectl explain regionscheduler.spec` says the"
            " same in a terminal."
        ),
        section("spec", "What a user writes.", table(_HEAD, _rows(schema["properties"]["spec"], "spec"))),
        section("status", "What the operator writes.", table(_HEAD, _rows(schema["properties"]["status"], "status"))),
    )


def _rows(schema: Mapping[str, Any], path: str) -> Iterator[tuple[str, ...]]:
    for name, field in schema.get("properties", {}).items():
        within = f"{path}.{name}"
        yield code(within), _type(field), _default(field), "; ".join(_limits(field)), field.get("description", "")
        yield from _rows(field.get("items", field), f"{within}[]" if "items" in field else within)


def _type(field: Mapping[str, Any]) -> str:
    if field["type"] == "array":
        return f"list of {_type(field['items'])}s"
    if "additionalProperties" in field:
        return f"map of {_type(field['additionalProperties'])}s"
    if field.get("pattern") == _DURATION:
        return "duration"
    return "time" if field.get("format") == "date-time" else str(field["type"])


def _default(field: Mapping[str, Any]) -> str:
    default = field.get("default", {})
    if default == {}:
        return ""
    return code(default if isinstance(default, str) else json.dumps(default))


def _limits(field: Mapping[str, Any]) -> Iterator[str]:
    if bounds := _bounds(field.get("minimum"), field.get("maximum")):
        yield bounds
    if bounds := _bounds(field.get("minLength"), field.get("maxLength")):
        yield f"{bounds} characters"
    if "enum" in field:
        yield "one of " + codes(field["enum"])
    if "pattern" in field and field["pattern"] != _DURATION:
        yield "pattern " + code(field["pattern"])
    for rule in field.get("x-kubernetes-validations", ()):
        yield rule["message"]


def _bounds(least: int | None, most: int | None) -> str:
    if least is not None and most is not None:
        return f"{least} to {most}"
    if least is not None:
        return f"at least {least}"
    return f"at most {most}" if most is not None else ""
