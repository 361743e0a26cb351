"""The command of `make reference`: writes each page that differs from the code, and removes each page without code."""

from __future__ import annotations

import sys

from docs.generator.output import bring_up_to_date
from docs.generator.pages import find_leftovers, make_pages
from docs.generator.source import MissingTextError


def main() -> int:
    """Write the pages; return the exit code."""
    try:
        pages = make_pages()
    except MissingTextError as error:
        print(error, file=sys.stderr)
        return 1
    bring_up_to_date(pages, find_leftovers(pages))
    return 0


if __name__ == "__main__":
    sys.exit(main())
