"""console/pages.py: a page of every kind: escaped, without script or style of its own, relative links, small."""

from __future__ import annotations

import gzip
import re
from dataclasses import fields, is_dataclass, replace
from datetime import datetime
from enum import Enum
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import pytest
from lxml import html

from region_operator.console import views as v
from region_operator.console.pages import STATIC, render
from region_operator.console.region_views import LastTick
from region_operator.console.request_views import Error, ErrorReason
from region_tick.contract import State
from tests.harness import console_regions as regions
from tests.harness import console_values as made
from tests.harness.console_facts import SOURCE
from tests.harness.console_values import HOSTILE, context_of

if TYPE_CHECKING:
    from region_operator.console.region_views import View

VIEWS = made.all_views()
PAGES = [pytest.param(path, view, id=f"{type(view).__name__}") for path, view in VIEWS.items()]
FEW = {
    "": made.overview(troubles=False),
    "regions": replace(regions.region_list(1), items=(), total=0),
    "ledger": replace(regions.ledger(1), rows=(), total=0),
    "regions/FR-IDF": regions.region(
        ticks=(), cron_job=None, creators=None, next_ticks=(), next=None, last_success=None, last_tick=None, why=None,
        remedy=None, schedule=None, recent=(), row={}, troubles=(), state=v.RegionState.PENDING,
    ),
    "regions/FR-IDF/ticks": replace(regions.tick_list(), items=(), next=None),
    "next": replace(regions.coming(), items=()),
    "plan": made.plan(empty=True),
    "forecast": made.forecast(crowded=False),
}  # fmt: skip
CODES = [pytest.param(path, view, id=f"{type(view).__name__}-with-little") for path, view in FEW.items()]


def parse(page: str) -> html.HtmlElement:
    return html.document_fromstring(page)


def text_of(element: html.HtmlElement) -> str:
    return re.sub(r"\s+", " ", element.text_content())


@pytest.mark.parametrize(("path", "view"), [*PAGES, *CODES])
def test_a_page_has_its_landmarks_and_one_heading(path: str, view: View) -> None:
    page = parse(render(view, context_of(path)))
    assert page.get("lang") == "en"
    for one in ("//main", "//h1", "//body/header", "//body/footer", "/html/head/title"):
        assert len(page.xpath(one)) == 1, one
    assert page.xpath("//a[@class='skip']/@href") == ["#content"]
    levels = [int(heading.tag[1]) for heading in page.xpath("//h1|//h2|//h3|//h4")]
    assert all(later - earlier <= 1 for earlier, later in pairwise(levels))
    assert all(table.xpath(".//thead//th[@scope='col']") for table in page.xpath("//table"))
    ids = page.xpath("//@id")
    assert len(ids) == len(set(ids))


@pytest.mark.parametrize(("path", "view"), PAGES)
def test_a_page_obeys_its_content_security_policy(path: str, view: View) -> None:
    page = parse(render(view, context_of(path)))
    assert page.xpath("//style|//@style|//iframe|//object|//base|//script[not(@src)]") == []
    assert [name for element in page.iter() for name in element.attrib if name.startswith("on")] == []


@pytest.mark.parametrize(("path", "view"), PAGES)
def test_links_are_relative_and_keep_to_the_console(path: str, view: View) -> None:
    page = parse(render(view, context_of(path)))
    for address in page.xpath("//@href|//@src|//@action"):
        assert re.match(r"(\./|\.\./|static/|\?|#)", address), address


@pytest.mark.parametrize(("troubles", "green"), [(True, 0), (False, 1)])
def test_an_overview_is_green_only_if_nothing_needs_a_look(troubles: bool, green: int) -> None:
    page = parse(render(made.overview(troubles=troubles), context_of("")))
    assert len(page.xpath("//div[@class='banner good']")) == green
    assert "Ready: " in text_of(page.xpath("//main")[0])


@pytest.mark.parametrize("reason", ErrorReason)
def test_a_page_without_an_answer_is_called_by_what_is_missing(reason: ErrorReason) -> None:
    page = parse(render(Error(reason=reason, message="why", remedy="do this"), context_of("")))
    assert page.xpath("//h1")[0].text_content() == reason.headline
    assert reason.headline != "Service Unavailable"
    assert "do this" in text_of(page.xpath("//main")[0])


def spoil(value: Any) -> Any:
    """Put the hostile text into every text of a view."""
    if is_dataclass(value) and not isinstance(value, type):
        return replace(value, **{each.name: spoil(getattr(value, each.name)) for each in fields(value)})
    if isinstance(value, dict):
        return {HOSTILE + key if key in ("id", "items") else key: spoil(item) for key, item in value.items()}
    if isinstance(value, (tuple, list)):
        return type(value)(map(spoil, value))
    if isinstance(value, str) and not isinstance(value, Enum) and not re.match(r"\d{4}-\d\d-\d\dT", value):
        return HOSTILE
    return value


@pytest.mark.parametrize(("path", "view"), PAGES)
def test_no_text_of_a_table_or_a_server_is_markup(path: str, view: View) -> None:
    document = render(spoil(view), context_of(path, code=HOSTILE, reason=HOSTILE))
    page = parse(document)
    assert len(page.xpath("//script")) == 1
    assert page.xpath("//script/text()") == []
    assert [address for address in page.xpath("//@href") if address.lower().startswith("javascript")] == []
    assert "alert('x')</script>" not in document
    turned = [text for text in texts_of(page) if "\u202e" in text or "\u200b" in text]
    assert not turned, turned[:3]


def texts_of(page: html.HtmlElement) -> list[str]:
    """Return every text of a page and of its attributes, but for what the reader wrote into a field."""
    attributes = [value for element in page.iter() if element.tag != "input" for value in element.attrib.values()]
    return [*page.itertext(), *attributes]


def test_what_turns_text_around_is_isolated_and_visible() -> None:
    page = parse(render(regions.region(name="abc\u202edef"), context_of("regions/FR-IDF")))
    (name,) = page.xpath("//p[@class='dim'][1]/bdi")
    assert name.text == "abc\\u202edef"


@pytest.mark.parametrize(("path", "view"), [
    *PAGES,
    pytest.param("ledger", regions.ledger(bad=0.3, from_="1435m"), id="ledger-of-a-bad-day"),
    pytest.param("regions", regions.region_list(200), id="200-regions"),
])  # fmt: skip
def test_a_page_is_small(path: str, view: View) -> None:
    assert len(gzip.compress(render(view, context_of(path)).encode())) < 100_000


def test_the_files_beside_the_pages_are_small_and_load_nothing() -> None:
    assert {file.name for file in STATIC.iterdir()} == {"console.css", "console.js", "icon.svg"}
    assert sum(file.stat().st_size for file in STATIC.iterdir()) < 30_000
    assert "url(" not in (STATIC / "console.css").read_text()
    assert "http" not in (STATIC / "console.js").read_text()


def test_the_overview_begins_with_what_needs_a_look() -> None:
    view = made.overview()
    page = parse(render(view, context_of("")))
    assert text_of(page.xpath("//h1")[0]) == f"{view.attention_total} regions need a look"
    first, *_ = page.xpath("//section//tbody/tr/th")
    assert text_of(first) == "IS-1"
    assert page.xpath("//ul[@class='tiles']//a[contains(., 'failing')]/@href") == ["./regions?state=failing"]


def test_many_regions_that_need_a_look_do_not_hide_the_counts() -> None:
    view = made.overview()
    page = parse(render(replace(view, attention=view.attention * 8), context_of("")))
    assert len(page.xpath("//section[@aria-labelledby='attention']/table/tbody/tr")) == 10
    assert len(page.xpath("//details[@id='more-attention']//tbody/tr")) == 8 * len(view.attention) - 10


def test_a_region_that_fails_is_not_listed_as_ticking_alone() -> None:
    page = parse(render(regions.region_list(), context_of("regions")))
    [cell] = page.xpath("//tr[th/a='FR-IDF']/td[@data-label='State']")
    assert text_of(cell).startswith("ticking failing")


def test_no_line_breaks_within_a_time() -> None:
    text = "<b> failed at 2026-11-30T09:15:00Z, not 2026-11-30"
    attention = (replace(made.overview().attention[0], text=text),)
    document = render(replace(made.overview(), attention=attention), context_of(""))
    assert (
        '&lt;b&gt; failed at <time datetime="2026-11-30T09:15:00Z">2026-11-30T09:15:00Z</time>, not 2026-11-30'
        in document
    )


def test_a_quiet_overview_says_so() -> None:
    page = parse(render(made.overview(troubles=False), context_of("")))
    assert text_of(page.xpath("//h1")[0]) == "All is well"
    assert "Nothing. No region is" in text_of(page)


def test_a_table_in_which_nothing_is_active_is_not_all_well() -> None:
    """Perhaps it is the wrong table."""
    view = made.overview(troubles=False)
    page = parse(render(replace(view, regions=replace(view.regions, active=0)), context_of("")))
    assert text_of(page.xpath("//h1")[0]) == "No region is active"


def test_suspended_by_the_spec_is_no_good_news() -> None:
    view = made.overview(troubles=False)
    page = parse(render(replace(view, scheduler=replace(view.scheduler, suspended=True)), context_of("")))
    assert text_of(page.xpath("//h1")[0]) == "All regions are suspended"
    assert "Suspended: the operator suspends all regions at its next reconcile." in text_of(page)


def test_what_will_be_lost_is_not_all_well() -> None:
    view = made.overview(troubles=False)
    over = v.Condition(type="Overcommitted", status="True", reason="TicksLost", message="why", since=view.now)
    page = parse(render(replace(view, conditions=(*view.conditions, over)), context_of("")))
    assert text_of(page.xpath("//h1")[0]) == "No region needs a look, but the RegionScheduler does: Overcommitted"


def test_a_suspension_is_told_once_in_the_operators_words() -> None:
    """By Ready, or beside Ready where that says something else."""
    words = "all 9 active regions are suspended by ana since 2026-11-30T01:00:00Z, until spec.suspend is set to false"
    view = made.overview(troubles=False)
    told = v.Condition(type="Suspended", status="True", reason="Suspend", message=words, since=view.now)
    view = replace(view, scheduler=replace(view.scheduler, suspended=True), conditions=(told,))
    for ready in (
        v.Ready(status="True", reason="Suspended", message=words),
        v.Ready(status="False", reason="DatabaseUnavailable", message="no route to host"),
    ):
        banner = parse(render(replace(view, ready=ready), context_of(""))).xpath("//div[contains(@class, 'banner')]")[0]
        assert text_of(banner).count(words) == 1


def test_reasons_that_handlers_made_up_lead_nowhere() -> None:
    """They are counted as one, and no tick has the reason `other`."""
    view = made.overview()
    other = v.ReasonCount(state=State.FAILED, reason="other", ticks=3)
    page = parse(render(replace(view, ticks=replace(view.ticks, by_reason=(other,))), context_of("")))
    assert "other (made up by handlers)" in text_of(page)
    assert page.xpath("//a[contains(@href, 'reason=other')]") == []


def test_a_ledger_that_stands_still_is_in_the_headline() -> None:
    for troubles, headline in (
        (False, "The ledger stands still"),
        (True, f"{made.overview().attention_total} regions need a look, and the ledger stands still"),
    ):
        view = made.overview(troubles=troubles)
        page = parse(render(replace(view, ledger=replace(view.ledger, standstill="no operator runs")), context_of("")))
        assert text_of(page.xpath("//h1")[0]) == headline
        assert "no operator runs" in text_of(page.xpath("//div[@class='banner bad']")[0])


def test_a_region_that_is_gone_shows_its_ticks_and_offers_no_command() -> None:
    gone = regions.gone_region()
    page = parse(render(gone, context_of("regions/FR-IDF")))
    said = text_of(page)
    assert f"No active row of {SOURCE} has this code now: the row was deleted or deactivated" in said
    assert page.xpath("//dt[text()='Ticks']/following-sibling::dd[1]/text()") == ["no more"]
    assert len(page.xpath("//section[@aria-labelledby='ticks']//tbody/tr")) == len(gone.ticks)
    for nothing in ("//*[@id='commands']", "//*[@id='row']", "//dt[text()='In the row']"):
        assert page.xpath(nothing) == [], nothing
        assert parse(render(regions.region(), context_of("regions/FR-IDF"))).xpath(nothing), nothing


def test_a_paused_region_does_not_look_like_a_running_one() -> None:
    page = parse(render(regions.region_list(), context_of("regions")))
    paused = page.xpath("//tr[.//span[@class='state paused']]")
    assert paused
    assert {row.get("class") for row in paused} == {"stopped"}
    ticking = page.xpath("//tr[.//span[@class='state ticking']]")
    assert {row.get("class") for row in ticking} == {None}


def test_a_filter_stays_in_the_address_of_the_next_page_and_of_the_json() -> None:
    page = parse(render(regions.region_list(), context_of("regions", state="failing", sort="next")))
    assert page.xpath("//a[@rel='next']/@href")[0] == "?state=failing&sort=next&page=2"
    assert page.xpath("//footer//a/@href") == ["?state=failing&sort=next&format=json"]
    assert page.xpath("//select[@name='state']/option[@selected]/text()") == ["failing"]
    assert page.xpath("//ul[@aria-label='Filter by state']//a[@aria-current]/text()") == ["failing"]


def test_a_region_shows_when_it_ticks_next_and_who_paused_it() -> None:
    page = text_of(parse(render(regions.region(), context_of("regions/FR-IDF"))))
    assert "every 15 minutes" in page
    assert "2026-11-30 09:30Z in 12 min 18 s" in page
    paused = text_of(parse(render(regions.paused_region(), context_of("regions/FR-IDF"))))
    assert "Paused by ana@example.com since 2026-11-30 04:17Z 5 h ago, until 2026-11-30 14:17Z in 5 h" in paused
    assert "kubectl region resume -n region-tick -- FR-75" in paused
    pause = replace(regions.paused_region().pause, until=None)  # type: ignore[type-var]
    for_good = text_of(parse(render(replace(regions.paused_region(), pause=pause), context_of("regions/FR-IDF"))))
    assert "5 h ago, until somebody resumes it" in for_good


def test_a_region_that_is_suspended_with_all_says_how_to_end_that() -> None:
    with_all = "with all regions, by spec.suspend or spec.suspendUntil"
    cron_job = replace(regions.region().cron_job, suspended=True, suspended_by=with_all)  # type: ignore[type-var]
    view = regions.region(state=v.RegionState.SUSPENDED, troubles=(), cron_job=cron_job)
    page = text_of(parse(render(view, context_of("regions/FR-IDF"))))
    assert f"yes: {with_all}" in page
    assert "kubectl region resume -n region-tick --all" in page


def test_a_command_that_changes_nothing_is_not_called_a_run() -> None:
    for view, path in ((regions.region_list(), "regions"), (regions.region(), "regions/FR-IDF")):
        page = parse(render(view, context_of(path)))
        for command in page.xpath("//pre[@class='command']"):
            assert command.get("aria-label").startswith("Show") == ("--dry-run" in command.text)


def test_a_command_in_a_remedy_is_shown_as_one() -> None:
    told = "See `kubectl region forecast`, and `<b>`; a lone ` stays"
    path = "regions/FR-IDF/ticks/2026-11-30T09:15:00Z"
    attention = tuple(replace(each, remedy=told) for each in made.overview().attention)
    for view, where in (
        (regions.region(remedy=told), "regions/FR-IDF"),
        (made.tick(remedy=told), path),
        (replace(made.overview(), attention=attention), ""),
        (Error(reason=ErrorReason.NOT_FOUND, message="why", remedy=told), ""),
    ):
        document = render(view, context_of(where))
        assert "See <code>kubectl region forecast</code>, and <code>&lt;b&gt;</code>; a lone ` stays" in document


def test_a_tick_says_why_step_by_step_and_how_to_see_its_logs() -> None:
    page = parse(render(VIEWS[made.TICK], context_of(made.TICK)))
    steps = [text_of(step) for step in page.xpath("//ol[@class='chain']/li")]
    assert [
        step for step in steps if re.search("Not as it should be: attempt 1 ended: failed, error, exit code 65", step)
    ]
    assert "kubectl logs -n region-tick" in text_of(page)


def test_a_tick_shows_what_a_failed_attempt_left_of_its_log() -> None:
    path = made.TICK
    kept = v.FailedLog(attempt=1, lines=("2026-11-30T09:15:02.000Z info asked page=3", f"    OSError: {HOSTILE}"))
    document = render(made.tick(failed_log=kept, attempt=2, exit_code=0), context_of(path))
    page = parse(document)
    (heading,) = page.xpath("//h2[@id='failed-log']")
    assert text_of(heading) == "Last log lines of attempt 1, which failed"
    (lines,) = page.xpath("//section[@aria-labelledby='failed-log']/pre")
    first, second = lines.text_content().splitlines()
    assert first == kept.lines[0]
    assert second.startswith("    OSError: <script>alert('x')</script>\\u202e")
    assert "alert('x')</script>" not in document
    assert page.xpath("//dt[text()='Exit code']/following-sibling::dd[1]/text()") == ["0"]
    assert not parse(render(made.tick(), context_of(path))).xpath("//h2[@id='failed-log']")


def test_a_hold_has_the_command_that_approves_it() -> None:
    page = parse(render(made.plan(), context_of("plan")))
    assert made.holds()[0].command in [command.text for command in page.xpath("//pre[@class='command']")]


def test_the_command_that_approves_a_hold_is_said_once() -> None:
    page = text_of(parse(render(made.overview(), context_of("")))).partition("Conditions")[0]
    assert page.count(made.holds()[0].command) == 1


def test_an_error_names_the_value_and_the_remedy() -> None:
    page = text_of(parse(render(made.error(), context_of("regions/FR-IDX"))))
    assert "Not Found" in page
    assert "there is no region with the code 'FR-IDX'" in page
    assert "look for it in the list of regions" in page


def test_each_state_has_a_word_beside_its_colour() -> None:
    page = parse(render(VIEWS["ledger"], context_of("ledger")))
    assert {text_of(item).strip() for item in page.xpath("//ul[@aria-label='What the bars mean']/li")} == set(State)


def test_a_row_of_the_ledger_says_in_words_what_its_bars_show() -> None:
    page = parse(render(VIEWS["ledger"], context_of("ledger")))
    names = page.xpath("//ul[@class='names']/li")
    assert len(names) == 200
    assert re.search(r"AU-NSW: (failed|missed|skipped) in \d+ of 145 spans", text_of(names[0]))


def test_times_are_machine_readable_and_in_utc() -> None:
    page = parse(render(VIEWS["regions/FR-IDF"], context_of("regions/FR-IDF")))
    for time in page.xpath("//time"):
        assert datetime.fromisoformat(time.get("datetime")).utcoffset() is not None
        assert time.text.endswith("Z")


def test_the_made_up_views_tell_one_story() -> None:
    """The pictures of the README are made of them."""
    attention = {each.code: each for each in made.overview().attention}
    listed = {each.code: each for each in regions.region_list().items}
    assert attention.keys() == {code for code, row in listed.items() if row.troubles}
    assert all(listed[code].why == each.text for code, each in attention.items())
    tick, region = made.tick(), regions.region()
    newest = region.ticks[0]
    assert all(getattr(tick, each.name) == getattr(newest, each.name) for each in fields(newest))
    assert listed["FR-IDF"].last_tick == LastTick(tick_at=tick.tick_at, state=tick.state, reason=tick.reason)
    assert region.cron_job
    assert tick.job_name == f"{region.cron_job.name}-{int(tick.tick_at.timestamp()) // 60}"
