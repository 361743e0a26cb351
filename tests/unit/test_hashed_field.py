"""regions/hashed_field.py: what `H` compiles to, how evenly the values lie, and which forms are refused."""

from __future__ import annotations

import re
from collections import Counter
from itertools import count, islice

import pytest
from hypothesis import given
from hypothesis import strategies as st

from region_operator.regions.cron_field import DAY, FIELDS, WEEKDAY, Field, ScheduleError, parse_field
from region_operator.regions.hashed_field import compile_hashes

MINUTE, HOUR, _, MONTH, _ = FIELDS
WORDS = ["FR", "São Paulo", "region", "us-east", "北京", "DE/BY", "Île-de-France", "🗼"]
CODES = list(islice((f"{word}{sign}{n}" for n in count() for word in WORDS for sign in "/- "), 10_000))
codes = st.text(min_size=1, max_size=63)


@pytest.mark.parametrize(
    ("field", "text", "compiled"),
    [
        (MINUTE, "H", "50"),
        (MINUTE, "H/15", "5-59/15"),
        (MINUTE, "H(0-29)", "20"),
        (MINUTE, "H(0-29)/10", "0-29/10"),
        (MINUTE, "H(30-59),5,H(0-29)", "50,5,20"),
        (HOUR, "H", "7"),
        (DAY, "H", "19"),
        (MONTH, "H", "8"),
        (MONTH, "H(jan-jun)", "2"),
        (WEEKDAY, "H", "3"),
    ],
)
def test_a_code_keeps_its_values_for_ever(field: Field, text: str, compiled: str) -> None:
    """`printf 'minute\\nFR/75' | sha256sum`, read as one number, modulo the range or the step, gives the values."""
    assert compile_hashes(field, text, "FR/75") == compiled


@pytest.mark.parametrize("text", ["*", "*/5", "5", "1-5,30", "mon-fri", ""])
def test_what_has_no_hash_stays_as_it_is(text: str) -> None:
    assert compile_hashes(MINUTE, text, None) == text


@given(codes, st.sampled_from(FIELDS), st.data())
def test_a_hash_is_values_of_its_range_at_its_step(code: str, field: Field, data: st.DataObject) -> None:
    highest = 28 if field is DAY else field.high
    low = data.draw(st.integers(field.low, highest))
    high = data.draw(st.integers(low, highest))
    step = data.draw(st.integers(2, high - low)) if high - low > 2 and data.draw(st.booleans()) else None
    text = f"H({low}-{high})" + (f"/{step}" if step else "")
    compiled = compile_hashes(field, text, code)
    assert compile_hashes(field, text, code) == compiled
    assert "H" not in compiled
    values = parse_field(field, compiled).values
    assert low <= values[0] <= values[-1] <= high
    if step is None:
        assert len(values) == 1
    else:
        assert values == tuple(range(values[0], high + 1, step))
        assert values[0] < low + step


def share_of_each_minute(text: str) -> dict[int, float]:
    """Return how many of the codes have each minute, as a multiple of the mean."""
    minutes = Counter(
        value for code in CODES for value in parse_field(MINUTE, compile_hashes(MINUTE, text, code)).values
    )
    mean = sum(minutes.values()) / MINUTE.size
    return {minute: minutes[minute] / mean for minute in range(MINUTE.size)}


@pytest.mark.parametrize(("text", "tolerance"), [("H/5", 0.12), ("H/10", 0.12), ("H/15", 0.12), ("H", 0.3)])
def test_ten_thousand_codes_lie_evenly(text: str, tolerance: float) -> None:
    # 10,000 codes on 60 minutes are 167 each with a standard deviation of 7.7 %, so 60 minutes reach 3 of them.
    assert len(set(CODES)) == 10_000
    shares = share_of_each_minute(text)
    assert max(abs(share - 1) for share in shares.values()) < tolerance, shares


def test_minute_and_hour_of_a_code_are_independent() -> None:
    pairs = Counter((compile_hashes(MINUTE, "H(0-23)", code), compile_hashes(HOUR, "H", code)) for code in CODES)
    mean = len(CODES) / 24**2
    chi_square = sum((pairs[str(a), str(b)] - mean) ** 2 / mean for a in range(24) for b in range(24))
    assert chi_square < 24**2 + 5 * (2 * 24**2) ** 0.5, "5 standard deviations"


@pytest.mark.parametrize(
    ("field", "text", "instead"),
    [
        (MINUTE, "h/15", "H/15"),
        (MINUTE, "H/60", "H"),
        (MINUTE, "H/100", "H"),
        (MINUTE, "H(0-29)/30", "H(0-29)"),
        (MINUTE, "H/1", "*"),
        (MINUTE, "H(5-29)/1", "5-29"),
        (MINUTE, "H/+5", "H/5"),
        (DAY, "H/28", "H"),
        (WEEKDAY, "H/7", "H"),
        (MONTH, "H/12", "H"),
    ],
)
def test_a_refusal_says_what_to_write_and_that_is_taken(field: Field, text: str, instead: str) -> None:
    with pytest.raises(ScheduleError) as refusal:
        compile_hashes(field, text, "FR/75")
    assert str(refusal.value).startswith(f'{field.name} "{text}": ')
    assert str(refusal.value).endswith(f'write "{instead}"')
    assert compile_hashes(field, instead, "FR/75")


@pytest.mark.parametrize(
    ("field", "text", "message"),
    [
        (HOUR, "H(22-2)", 'hour "H(22-2)": a range does not wrap around; write "H(22-23)" or "H(0-2)"'),
        (MINUTE, "H(0-60)", 'minute "60": out of range; write 0 to 59'),
        (MINUTE, "H(x-9)", 'minute "H(x-9)": not a value of this field; write 0 to 59, or "*"'),
        (DAY, "H(1-31)", 'day of month "H(1-31)": a hash chooses among days that every month has; write 1 to 28 in'),
        (WEEKDAY, "H(1-7)", 'day of week "H(1-7)": a hash chooses among values of the field; write 0 to 6 in the'),
        (MINUTE, "H/0", "a step is a whole number; write one / and 1 to 59 after it"),
        (MINUTE, "H/", "a step is a whole number; write one / and 1 to 59 after it"),
        (MINUTE, "H(0-29)/x", "a step is a whole number; write one / and 1 to 29 after it"),
        (MINUTE, "H5", 'not a hash; write "H" or "H(0-59)", each with or without a step such as "/2"'),
        (MINUTE, "H(5)", 'not a hash; write "H" or "H(0-59)", each with'),
        (DAY, "H-3", 'not a hash; write "H" or "H(1-28)", each with'),
        (MINUTE, "H(0-29", 'not a hash; write "H" or'),
    ],
)
def test_a_refusal_names_field_value_and_remedy(field: Field, text: str, message: str) -> None:
    with pytest.raises(ScheduleError, match=re.escape(message)):
        compile_hashes(field, text, "FR/75")


def test_a_hash_without_a_code_is_refused() -> None:
    with pytest.raises(ScheduleError, match='minute "H": only the row of a region may have a hash; write a number'):
        compile_hashes(MINUTE, "H", None)


@given(codes, st.sampled_from(FIELDS), st.text(alphabet="Hh()/-,0123456789x", max_size=12))
def test_any_text_is_compiled_or_refused_in_one_line_that_says_what_to_write(
    code: str, field: Field, text: str
) -> None:
    try:
        message = f"write {parse_field(field, compile_hashes(field, text, code))}"
    except ScheduleError as refusal:
        message = str(refusal)
    assert "write " in message
    assert message.isprintable()
