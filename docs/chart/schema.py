"""What a value may be, as JSON Schema: the operator's settings from their class, a RegionScheduler's spec from the CRD.

Nothing that has no name here is taken, so that a misspelt value is an error and no silence.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from docs.generator.source import Texts
from region_operator import settings
from region_operator.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping

Schema = dict[str, Any]

TEXT: Schema = {"type": "string"}
NAME: Schema = {"type": "string", "minLength": 1}
YES_OR_NO: Schema = {"type": "boolean"}
COUNT: Schema = {"type": "integer", "minimum": 0}
OBJECT: Schema = {"type": "object"}
_LIMITS = (
    "type",
    "enum",
    "pattern",
    "minLength",
    "maxLength",
    "minimum",
    "maximum",
    "minItems",
    "maxItems",
    "required",
)
_DESCRIBED_ELSEWHERE = "HEALTH_PORT"  # the Deployment's probes and the NetworkPolicy name this port too


def closed(properties: Mapping[str, Schema]) -> Schema:
    """Return an object that has these properties at most."""
    return {"type": "object", "additionalProperties": False, "properties": dict(properties)}


IMAGE = closed({"repository": NAME, "tag": TEXT, "digest": {"type": "string", "pattern": "^(sha256:[0-9a-f]{64})?$"}})


def settings_schema(given: Collection[str]) -> Schema:
    """Return the settings of the operator, by their variables, but for those that the Deployment has `given`."""
    texts = Texts(settings)
    found = Settings.model_json_schema()["properties"]
    fields = {name if name in found else field.validation_alias: name for name, field in Settings.model_fields.items()}
    properties: dict[str, Schema] = {}
    for key, name in fields.items():
        variable = str(key).upper()
        if (
            variable not in (*given, _DESCRIBED_ELSEWHERE) and "anyOf" not in found[key]
        ):  # a URL belongs into the Secret
            limits = {limit: value for limit, value in found[key].items() if limit in (*_LIMITS, "default")}
            properties[variable] = limits | {"description": texts.of(Settings, name)}
    return closed(properties)


def of_crd(schema: Mapping[str, Any]) -> Schema:
    """Return a part of a CRD's schema without what only Kubernetes reads, closed wherever Kubernetes prunes."""
    kept: Schema = {key: value for key, value in schema.items() if key in _LIMITS}
    if "properties" in schema:
        kept["properties"] = {name: of_crd(part) for name, part in schema["properties"].items()}
        if not schema.get("x-kubernetes-preserve-unknown-fields"):
            kept["additionalProperties"] = False
    for key in ("items", "additionalProperties"):
        if isinstance(schema.get(key), dict):
            kept[key] = of_crd(schema[key])
    if schema.get("x-kubernetes-int-or-string"):
        kept["type"] = ["integer", "string"]
    return kept


def nested(schemas: Iterable[tuple[str, Schema]]) -> Schema:
    """Return the schema of an object from the schemas of its dotted paths."""
    groups: dict[str, list[tuple[str, Schema]]] = {}
    for path, schema in schemas:
        head, _, rest = path.partition(".")
        groups.setdefault(head, []).append((rest, schema))
    return closed({head: parts[0][1] if parts[0][0] == "" else nested(parts) for head, parts in groups.items()})
