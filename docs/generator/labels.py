"""The page of the labels and annotations that the operator and the plugin write or read."""

from __future__ import annotations

from typing import TYPE_CHECKING

from docs.generator.markdown import code, codes, join, section, table, wrap
from docs.generator.source import Texts, constants
from region_operator import scheduler
from region_operator.cronjobs import labels
from region_operator.cronjobs.manifest_parts import COMMON_LABELS
from region_operator.kube import nudge
from region_tick import contract

if TYPE_CHECKING:
    from collections.abc import Iterator


def labels_page() -> str:
    """Return the page without its head."""
    marks = codes(f"{name}={value}" for name, value in COMMON_LABELS.items())
    return join(
        wrap(
            f"Every object that the operator makes has the labels {marks}. Labels and annotations of your own are left"
            " alone."
        ),
        section("Labels", table(("label", "meaning"), _rows("_LABEL"))),
        section("Annotations", table(("annotation", "meaning"), _rows("_ANNOTATION"))),
    )


def _rows(suffix: str) -> Iterator[tuple[str, str]]:
    for module in (labels, scheduler, nudge, contract):
        texts = Texts(module)
        for name, value in constants(module, suffix):
            yield code(value), texts.of(None, name)
