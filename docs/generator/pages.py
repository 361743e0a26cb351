"""All pages: their names, what each is made from, and their texts as the code would have them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from docs.generator.alerts import alerts_page
from docs.generator.console import console_page
from docs.generator.exit_codes import exit_codes_page
from docs.generator.labels import labels_page
from docs.generator.ledger import ledger_page
from docs.generator.log_events import log_events_page
from docs.generator.markdown import codes, join, table, wrap
from docs.generator.metrics import metrics_page
from docs.generator.packages import fill_markers, packages_picture
from docs.generator.region_scheduler import CRD, region_scheduler_page
from docs.generator.settings import settings_page
from docs.generator.source import CHECKOUT
from docs.generator.status import status_page
from docs.generator.tables import tables_page

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping
    from pathlib import Path

FOLDER = CHECKOUT / "docs/reference"
ARCHITECTURE = CHECKOUT / "docs/architecture.md"
_OPERATOR = "operator/region_operator"
_CONTRACT = "tick_image/region_tick/contract.py"


@dataclass(frozen=True, slots=True)
class Page:
    """A page of the reference. `sources` are the files that a reader edits to change the page."""

    file: str
    title: str
    about: str
    sources: tuple[str, ...]
    make: Callable[[], str]


PAGES = (
    Page(
        "settings.md",
        "Settings",
        "environment variables of operator, console, tick, `poll` and worker",
        (
            f"{_OPERATOR}/settings.py",
            f"{_OPERATOR}/console/settings.py",
            _CONTRACT,
            "tick_image/region_tick/poll_settings.py",
            "tick_image/region_worker/settings.py",
        ),
        settings_page,
    ),
    Page("regionscheduler.md", "RegionScheduler", "the fields of spec and status", (CRD,), region_scheduler_page),
    Page(
        "status.md",
        "Conditions, reasons and Events",
        "what a RegionScheduler says of itself",
        (f"{_OPERATOR}/plan/conditions.py", f"{_OPERATOR}/kube/events.py", f"{_OPERATOR}/plan/changes.py"),
        status_page,
    ),
    Page(
        "ledger.md",
        "The ledger",
        "states and reasons of `job_run`, and what to do",
        (_CONTRACT, f"{_OPERATOR}/console/reasons.py"),
        ledger_page,
    ),
    Page(
        "tables.md",
        "Tables and views",
        "what the database holds",
        (f"{_OPERATOR}/database/tables.py", f"{_OPERATOR}/database/comments.py"),
        tables_page,
    ),
    Page(
        "metrics.md",
        "Metrics",
        "what operator, console and workers count",
        (
            f"{_OPERATOR}/runtime/metrics.py",
            f"{_OPERATOR}/runtime/tick_metrics.py",
            f"{_OPERATOR}/runtime/freshness_metrics.py",
            f"{_OPERATOR}/runtime/condition_metrics.py",
            f"{_OPERATOR}/console/metrics.py",
            "tick_image/region_worker/metrics.py",
        ),
        metrics_page,
    ),
    Page(
        "console.md",
        "The console's JSON",
        "what `region-operator console` answers",
        tuple(f"{_OPERATOR}/console/{name}.py" for name in ("routes", "views", "region_views", "request_views")),
        console_page,
    ),
    Page(
        "alerts.md",
        "Alerts",
        "what somebody is called for",
        ("docs/monitoring/alerts.py", "docs/monitoring/expressions.py"),
        alerts_page,
    ),
    Page(
        "log-events.md",
        "Log events",
        "the lines of operator, tick and worker",
        (_OPERATOR, "tick_image/region_tick", "tick_image/region_worker"),
        log_events_page,
    ),
    Page(
        "exit-codes.md",
        "Exit codes",
        "how operator, tick and worker end",
        (_CONTRACT, f"{_OPERATOR}/commands.py", "tick_image/region_worker/__main__.py"),
        exit_codes_page,
    ),
    Page(
        "labels.md",
        "Labels and annotations",
        "what marks the objects, and what steers the operator",
        (f"{_OPERATOR}/cronjobs/labels.py", f"{_OPERATOR}/scheduler.py", f"{_OPERATOR}/kube/nudge.py"),
        labels_page,
    ),
)
_PACKAGES = Page(
    "packages.md",
    "The packages of the operator",
    "which package may import which",
    ("pyproject.toml",),
    packages_picture,
)


def make_pages() -> Mapping[Path, str]:
    """Return the text of each page by its file. Raises MissingTextError.

    The picture of the packages stands in docs/architecture.md, or on a page of its own if that page has no place for
    the picture.
    """
    architecture = ARCHITECTURE.read_text() if ARCHITECTURE.exists() else ""
    filled = fill_markers(architecture, packages_picture())
    pages = PAGES if filled else (*PAGES, _PACKAGES)
    texts = {FOLDER / page.file: _text(page) for page in pages} | {FOLDER / "README.md": _index(pages)}
    return texts | ({ARCHITECTURE: filled} if filled else {})


def find_leftovers(pages: Collection[Path]) -> list[Path]:
    """Return the files beside the pages that no code makes any more."""
    return sorted(path for path in FOLDER.glob("*.md") if path not in pages)


def _text(page: Page) -> str:
    links = ", ".join(f"[`{source}`](../../{source})" for source in page.sources)
    head = wrap(f"Made by `make reference` from {links}. Edit the source, not this page.")
    return join(f"# {page.title}", head, page.make()) + "\n"


def _index(pages: Collection[Page]) -> str:
    return (
        join(
            "# Reference",
            wrap(
                "Each page here is made from the code by `make reference`, and a test says when a page is out of date."
                f" Edit the source that a page names, never the page. The generator is {codes(['docs/generator'])}."
            ),
            table(("page", "what"), ((f"[{page.title}]({page.file})", page.about) for page in pages)),
        )
        + "\n"
    )
