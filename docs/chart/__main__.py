"""The command of `make chart`: writes each file that differs from the manifests, and removes each that has none."""

from __future__ import annotations

import sys

from docs.chart.files import find_leftovers, make_files
from docs.chart.manifest import MissingPlaceError
from docs.generator.output import bring_up_to_date


def main() -> int:
    """Write the files; return the exit code."""
    try:
        files = make_files()
    except MissingPlaceError as error:
        print(error, file=sys.stderr)
        return 1
    bring_up_to_date(files, find_leftovers(files))
    return 0


if __name__ == "__main__":
    sys.exit(main())
