"""Measures how much processor time the plugin takes to start, compared with a bare interpreter.

A plugin is started for each look at the cluster. Four programs run in turn, in one run:

- a bare interpreter.
- the floor: an interpreter that imports click. No plugin with click could be faster.
- `kubectl-region --help`, which imports no command.
- `kubectl-region version --client`, which imports a command and asks nobody.

Times depend on the machine, so the benchmark judges a ratio of processor times: the median of the plugin's may be LIMIT
times the floor's at most. `--imports` prints what the plugin imports beyond click's modules, the most expensive first.

    .venv/bin/python -m benchmarks.plugin_start [--imports]
"""

from __future__ import annotations

import re
import resource
import statistics
import subprocess
import sys

LIMIT = 1.5
ROUNDS = 40
BARE, FLOOR, HELP, VERSION = (
    *("a bare interpreter", "import click"),
    *("kubectl-region --help", "kubectl-region version --client"),
)
PROGRAMS = {
    BARE: ("-c", "pass"),
    FLOOR: ("-c", "import click"),
    HELP: ("-m", "kubectl_region", "--help"),
    VERSION: ("-m", "kubectl_region", "version", "--client"),
}


def main() -> int:
    """Measure and print a table. Return 1 if the plugin takes too long."""
    if "--imports" in sys.argv:
        show_imports()
        return 0
    medians = measure()
    print(f"{'MEDIAN OF PROCESSOR TIME':34} {'SECONDS':>8} {'TO BARE':>8} {'TO FLOOR':>8}")
    for name, median in medians.items():
        print(f"{name:34} {median:8.4f} {median / medians[BARE]:8.2f} {median / medians[FLOOR]:8.2f}")
    print(f"{'at most':34} {'':8} {'':8} {LIMIT:8.2f}")
    return 0 if max(medians.values()) <= LIMIT * medians[FLOOR] else 1


def measure() -> dict[str, float]:
    """Run the programs in turn, ROUNDS times. A first round fills caches and is not counted."""
    seconds: dict[str, list[float]] = {name: [] for name in PROGRAMS}
    for _ in range(ROUNDS + 1):
        for name, arguments in PROGRAMS.items():
            seconds[name].append(cpu_seconds(arguments))
    return {name: statistics.median(times[1:]) for name, times in seconds.items()}


def cpu_seconds(arguments: tuple[str, ...]) -> float:
    """Run a program, and return the processor time that it took, user and system."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([sys.executable, *arguments], stdout=subprocess.DEVNULL, check=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def show_imports() -> None:
    """Print the time of each import of `version --client` that `import click` does not have."""
    times = [_import_times(PROGRAMS[name]) for name in (VERSION, FLOOR)]
    ours = {name: microseconds for name, microseconds in times[0].items() if name not in times[1]}
    for name, microseconds in sorted(ours.items(), key=lambda item: -item[1]):
        print(f"{microseconds:6} us  {name}")
    print(f"{sum(ours.values()):6} us  all")


def _import_times(arguments: tuple[str, ...]) -> dict[str, int]:
    words = [sys.executable, "-X", "importtime", *arguments]
    done = subprocess.run(words, capture_output=True, text=True, check=True)
    return {name: int(own) for own, name in re.findall(r"import time: +(\d+) \| +\d+ \| +(\S+)", done.stderr)}


if __name__ == "__main__":
    sys.exit(main())
