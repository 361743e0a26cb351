"""console/static/console.css: enough contrast, light and dark, and states that the colour-blind tell apart."""

from __future__ import annotations

import math
import re
from itertools import combinations

import pytest

from region_operator.console.pages import STATIC
from region_tick.contract import State

SHEET = (STATIC / "console.css").read_text()
Color = tuple[float, float, float]


def palette(scheme: str) -> dict[str, Color]:
    """Return the variables of a scheme as linear RGB."""
    light, dark = (
        re.search(pattern, SHEET, re.DOTALL) for pattern in (r":root \{(.*?)\}", r"dark\) \{.*?:root \{(.*?)\}")
    )
    assert light
    assert dark
    block = (light if scheme == "light" else dark)[1]
    found = {name: linear(value) for name, value in re.findall(r"--([\w-]+): #([0-9a-f]{6});", block)}
    assert {"paper", "ink", *State} <= set(found)
    return found


def linear(value: str) -> Color:
    red, green, blue = (int(value[place : place + 2], 16) / 255 for place in (0, 2, 4))
    return to_linear(red), to_linear(green), to_linear(blue)


def to_linear(channel: float) -> float:
    return channel / 12.92 if channel <= 0.04045 else ((channel + 0.055) / 1.055) ** 2.4


def luminance(color: Color) -> float:
    return 0.2126 * color[0] + 0.7152 * color[1] + 0.0722 * color[2]


def contrast(one: Color, other: Color) -> float:
    """Return the contrast ratio of WCAG 2."""
    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


BLINDNESS = {
    "protanopia": ((0.152, 1.053, -0.205), (0.115, 0.786, 0.099), (-0.004, -0.048, 1.052)),
    "deuteranopia": ((0.367, 0.861, -0.228), (0.280, 0.673, 0.047), (-0.012, 0.043, 0.969)),
    "tritanopia": ((1.256, -0.077, -0.179), (-0.078, 0.931, 0.148), (0.005, 0.691, 0.304)),
    "full sight": ((1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0)),
}
"""How a colour looks, in linear RGB: Machado, Oliveira, Fernandes (2009), severity 1.0."""


def seen(color: Color, kind: str) -> Color:
    red, green, blue = (
        sum(weight * channel for weight, channel in zip(row, color, strict=True)) for row in BLINDNESS[kind]
    )
    return max(0.0, red), max(0.0, green), max(0.0, blue)


def distance(one: Color, other: Color) -> float:
    """Return the distance in OKLab, times 100: about 2 is just noticeable side by side."""
    return 100 * math.dist(oklab(one), oklab(other))


def oklab(color: Color) -> Color:
    red, green, blue = color
    long = (0.4122214708 * red + 0.5363325363 * green + 0.0514459929 * blue) ** (1 / 3)
    middle = (0.2119034982 * red + 0.6806995451 * green + 0.1073969566 * blue) ** (1 / 3)
    short = (0.0883024619 * red + 0.2817188376 * green + 0.6299787005 * blue) ** (1 / 3)
    return (
        0.2104542553 * long + 0.7936177850 * middle - 0.0040720468 * short,
        1.9779984951 * long - 2.4285922050 * middle + 0.4505937099 * short,
        0.0259040371 * long + 0.7827717662 * middle - 0.8086757660 * short,
    )


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_has_the_contrast_of_wcag_aa(scheme: str) -> None:
    colors = palette(scheme)
    grounds = ("paper", "panel", "bad-panel", "hold-panel", "good-panel")
    low = {
        (text, ground): round(ratio, 2)
        for text in ("ink", "dim", "link")
        for ground in grounds
        if (ratio := contrast(colors[text], colors[ground])) < 4.5
    }
    assert low == {}


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("state", State)
def test_a_bar_stands_out_from_the_page(scheme: str, state: State) -> None:
    colors = palette(scheme)
    assert contrast(colors[state], colors["paper"]) >= 3


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("kind", BLINDNESS)
def test_good_and_bad_look_different_whatever_the_eyes(scheme: str, kind: str) -> None:
    colors = palette(scheme)
    good = seen(colors[State.SUCCEEDED], kind)
    for bad in (State.FAILED, State.MISSED):
        assert distance(good, seen(colors[bad], kind)) >= 10, bad


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_all_states_differ_for_full_sight(scheme: str) -> None:
    colors = palette(scheme)
    near = [pair for pair in combinations(State, 2) if distance(colors[pair[0]], colors[pair[1]]) < 8]
    assert near == []
