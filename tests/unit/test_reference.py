"""docs/reference: each page is what `make reference` would write, and what reads the code for the pages reads right."""

from __future__ import annotations

import ast

import pytest

from docs.generator.log_calls import UNREADABLE, LogCall, LogCalls
from docs.generator.markdown import table
from docs.generator.output import find_outdated
from docs.generator.packages import BEGIN, END, fill_markers
from docs.generator.pages import PAGES, find_leftovers, make_pages
from docs.generator.settings import read_variables
from docs.generator.source import CHECKOUT, MissingTextError, Texts, read_texts, summary
from region_tick import contract
from region_tick.poll_settings import PollSettings


def test_every_page_is_as_the_code_is() -> None:
    pages = make_pages()
    wrong = [str(path.relative_to(CHECKOUT)) for path in (*find_outdated(pages), *find_leftovers(pages))]
    assert not wrong, f"{', '.join(wrong)}: differs from the code, run make reference"


def test_every_source_that_a_page_names_exists() -> None:
    assert [source for page in PAGES for source in page.sources if not (CHECKOUT / source).exists()] == []


def test_every_event_and_key_of_the_log_could_be_read() -> None:
    page = next(page for page in PAGES if page.file == "log-events.md")
    unread = [line for line in page.make().splitlines() if f"`{UNREADABLE}`" in line]
    assert not unread, f"write the event as text and `extra` as a dictionary: {unread}"


def test_a_text_is_what_stands_below_the_name() -> None:
    source = '''
LIMIT = 3
"""How many."""
OTHER = 4

class Colour(StrEnum):
    """Not of a member."""

    RED = "red"
    """Like
    blood."""
    BLUE = "blue"
'''
    assert read_texts(source) == {"": {"LIMIT": "How many."}, "Colour": {"RED": "Like blood."}}


def test_a_missing_text_names_file_thing_and_remedy() -> None:
    with pytest.raises(MissingTextError, match=r"contract\.py: State\.NEW has no text .* run make reference"):
        Texts(contract).of(contract.State, "NEW")


@pytest.mark.parametrize("text", ["One thing: and more.", "One thing. And more.", "One thing; and more", "One\nthing."])
def test_a_summary_is_the_first_clause(text: str) -> None:
    assert summary(text) == "One thing"


def test_a_cell_is_one_line_without_a_bare_pipe() -> None:
    assert table(("a", "b"), [("x|y", "two\nlines")]) == "| a | b |\n| --- | --- |\n| x\\|y | two lines |"


def test_only_what_stands_between_the_markers_is_replaced() -> None:
    page = f"before\n{BEGIN}\nold\n{END}\nafter\n"
    assert fill_markers(page, "new") == f"before\n{BEGIN}\nnew\n{END}\nafter\n"
    assert fill_markers("no markers", "new") is None


def test_a_field_is_read_from_the_variable_that_read_names() -> None:
    assert read_variables(PollSettings)["concurrency_per_host"] == "POLL_CONCURRENCY_PER_HOST"


LOGGING = {
    "a literal": ('def f(): log.info("e", extra={"a": 1, **{"b": 2}})', [("e", "info", ("a", "b"))]),
    "no keys": ('def f(): self._log.warning("e")', [("e", "warning", ())]),
    "an exception": ('def f(): log.exception("e")', [("e", "error", ("error", "traceback"))]),
    "exc_info": ('def f(x): log.info("e", exc_info=x or None)', [("e", "info", ("error", "traceback"))]),
    "a union": (
        'def f(): log.info("e", extra={"a": 1} | ({"b": 2} if x else {"c": 3}))',
        [("e", "info", tuple("abc"))],
    ),
    "what was added to a name before": (
        'def f():\n x = {"a": 1}\n x["b"] = 2\n x |= {"c": 3}\n log.info("e", extra=x)\n x["d"] = 4',
        [("e", "info", ("a", "b", "c"))],
    ),
    "a called function": (
        'def f(): log.info("e", extra=keys())\ndef keys():\n return {"a": 1}',
        [("e", "info", ("a",))],
    ),
    "an object's fields": (
        'class R:\n a: int\n b: int\ndef make() -> R: ...\ndef f():\n r = make()\n log.info("e", extra=asdict(r))',
        [("e", "info", ("a", "b"))],
    ),
    "two levels": (
        'def f(): log.log(logging.INFO if x else logging.DEBUG, "e")',
        [("e", "info", ()), ("e", "debug", ())],
    ),
    "event and level together": (
        'def f():\n if x: n, e = logging.INFO, "a"\n else: n, e = logging.ERROR, "b"\n log.log(n, e)',
        [("a", "info", ()), ("b", "error", ())],
    ),
    "what callers give": (
        'def f(): say("a", level=logging.INFO)\ndef say(event, *, level): log.log(level, event)',
        [("a", "info", ())],
    ),
    "an expression for several": ("def f(): log.info(change.reason)", [("added", "info", ()), ("removed", "info", ())]),
    "what cannot be read": ("def f(x): log.info(x.y, extra=x.z)", [(UNREADABLE, "info", (UNREADABLE,))]),
    "no logger": ('def f(): math.log(2); click.info("e")', []),
}


@pytest.mark.parametrize(("source", "calls"), LOGGING.values(), ids=LOGGING)
def test_a_call_of_a_logger_is_read(source: str, calls: list[tuple[str, str, tuple[str, ...]]]) -> None:
    read = LogCalls({"m": ast.parse(source)}, spelled={"change.reason": ["added", "removed"]})
    assert list(read.all()) == [LogCall(event, level, keys, "m") for event, level, keys in calls]


def test_keys_of_every_line_are_those_given_to_configure() -> None:
    read = LogCalls(
        {"m": ast.parse('logs.configure(keys={"a": 1})\nlogs.configure(keys={"a": 1, "b": 2})')}, spelled={}
    )
    assert read.common_keys() == ["a", "b"]
