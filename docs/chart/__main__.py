"""The command of `make chart`: writes each file that differs from the manifests, and removes each that has none."""

from __future__ import annotations

import sys

from docs.chart.files import find_leftovers, make_files
from docs.chart.manifest import MissingPlaceError
from docs.generator.source import CHECKOUT


def main() -> int:
    """Write the files; return the exit code."""
    try:
        files = make_files()
    except MissingPlaceError as error:
        print(error, file=sys.stderr)
        return 1
    for path, text in files.items():
        if not path.exists() or path.read_text() != text:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
            print(f"wrote {path.relative_to(CHECKOUT)}")
    for path in find_leftovers(files):
        path.unlink()
        print(f"removed {path.relative_to(CHECKOUT)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
