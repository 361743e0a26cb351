"""console/drawing.py: boxes as a path that says the same numbers, and nothing for nothing."""

from __future__ import annotations

from region_operator.console.drawing import Box, draw_boxes


def test_boxes_are_one_path() -> None:
    assert draw_boxes("failed", [Box(0, 0.5, 3, 9), Box(200, 20.5, 1, 9)]) == (
        '<path class="failed" d="M0 0.5h3v9h-3zM200 20.5h1v9h-1z"/>'
    )


def test_a_color_stands_where_no_style_sheet_is() -> None:
    assert draw_boxes("late", [Box(1, 2, 3, 4)], fill="#00796b").endswith(' fill="#00796b"/>')


def test_no_box_is_no_path() -> None:
    assert draw_boxes("failed", []) == ""
