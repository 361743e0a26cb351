"""Finds and changes places in the text of a YAML file. The comments stay, because only the places are replaced."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import yaml
from yaml import MappingNode, Node, ScalarNode, SequenceNode

if TYPE_CHECKING:
    from collections.abc import Iterator


class MissingPlaceError(Exception):
    """A manifest lacks a place that the chart has a value for; the message names the file and the place."""


@dataclass(frozen=True, slots=True)
class Edit:
    """Puts `text` in the place of what stands in a manifest from `start` to `end`, counted in characters."""

    start: int
    end: int
    text: str


class Manifest:
    """A YAML file of one object or more. A place is a dotted path in the first object; a step into a list is the `name`
    of an item, as in `spec.containers.operator.image`.
    """

    def __init__(self, name: str, text: str) -> None:
        self.name = name
        self.text = text
        self._objects = [node for node in yaml.compose_all(text, yaml.SafeLoader) if node]

    def read(self, path: str) -> Any:
        """Return the value at a path. Raises MissingPlaceError."""
        return _value(self._find(path))

    def replace(self, path: str, text: str) -> Edit:
        """Replace the value at a path. Raises MissingPlaceError."""
        node = self._find(path)
        return Edit(node.start_mark.index, _end(node), text)

    def append(self, path: str, text: str) -> Edit:
        """Add lines behind the line where the value at a path ends. Raises MissingPlaceError."""
        end = self.text.find("\n", _end(self._find(path)))
        return Edit(end, end, f"\n{text}")

    def replace_all(self, key: str, value: str, text: str) -> Iterator[Edit]:
        """Replace a value wherever it belongs to a key, in all objects."""
        for node in self._objects:
            for found in _scalars(node, key):
                if found.value == value:
                    yield Edit(found.start_mark.index, found.end_mark.index, text)

    def replace_lines(self, key: str, value: str, text: str) -> Iterator[Edit]:
        """Replace the whole line wherever a value belongs to a key, in all objects."""
        for found in self.replace_all(key, value, text):
            yield Edit(self.text.rfind("\n", 0, found.start) + 1, self.text.find("\n", found.end), text)

    def edited(self, edits: list[Edit]) -> str:
        """Return the text with the changes made."""
        text = self.text
        for edit in sorted(edits, key=lambda edit: edit.start, reverse=True):
            text = text[: edit.start] + edit.text + text[edit.end :]
        return text

    def _find(self, path: str) -> Node:
        node = self._objects[0]
        for step in path.split("."):
            found = next((child for name, child in _children(node) if name == step), None)
            if found is None:
                raise MissingPlaceError(f"{self.name} has no {path}: {step!r} is missing, see docs/chart/values.py")
            node = found
        return node


def _children(node: Node) -> Iterator[tuple[str, Node]]:
    if isinstance(node, MappingNode):
        yield from ((key.value, value) for key, value in node.value)
    elif isinstance(node, SequenceNode):
        for item in node.value:
            yield next((value.value for key, value in _children(item) if key == "name"), ""), item


def _scalars(node: Node, key: str) -> Iterator[ScalarNode]:
    for name, child in _children(node):
        if name == key and isinstance(child, ScalarNode):
            yield child
        yield from _scalars(child, key)


def _value(node: Node) -> Any:
    loader = yaml.SafeLoader("")
    return loader.construct_document(node)


def _end(node: Node) -> int:
    """Return where a node ends. PyYAML lets a block end where the next token begins, behind blanks and comments."""
    children = [child for _, child in _children(node)]
    if children and not getattr(node, "flow_style", True):
        return _end(children[-1])
    return int(node.end_mark.index)
