"""The command of `make reference`: writes each page that differs from the code, and removes each page without code."""

from __future__ import annotations

import sys

from docs.generator.pages import find_leftovers, make_pages
from docs.generator.source import CHECKOUT, MissingTextError


def main() -> int:
    """Write the pages; return the exit code."""
    try:
        pages = make_pages()
    except MissingTextError as error:
        print(error, file=sys.stderr)
        return 1
    for path, text in pages.items():
        if not path.exists() or path.read_text() != text:
            path.parent.mkdir(exist_ok=True)
            path.write_text(text)
            print(f"wrote {path.relative_to(CHECKOUT)}")
    for path in find_leftovers(pages):
        path.unlink()
        print(f"removed {path.relative_to(CHECKOUT)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
