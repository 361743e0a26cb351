"""The command `region-tick`: runs one tick and exits.

The kernel gives a container's first process no default action for SIGTERM. The imports take most of a short tick's
time, so main() installs a SIGTERM handler before the imports. A process without a claim has nothing to clean up and
may end at once. region_tick.run does the work.

With arguments, it is a command for people (region_tick.command).
"""

import gc
import os
import signal
import sys

AGAIN = 75  # the same as contract.ExitCode.AGAIN; contract is not imported yet


def main() -> int:
    """Run the tick that the environment variables describe, or the command of the arguments. Return the exit code."""
    look_here_last()
    if len(sys.argv) > 1:
        from region_tick.command import main as command

        return command(sys.argv[1:])
    signal.signal(signal.SIGTERM, lambda *_: os._exit(AGAIN))
    gc.disable()  # imported objects live until the end: scanning them repeatedly costs a tenth of a short tick
    from region_tick.run import main as run

    gc.freeze()
    gc.enable()
    return run()


def look_here_last() -> None:
    """Have the current folder looked through for modules after all others: a handler's module may have any name."""
    here = os.getcwd()  # noqa: PTH109 - pathlib is not imported otherwise
    sys.path[:] = [folder for folder in sys.path if folder not in ("", here)] + [here]


if __name__ == "__main__":
    sys.exit(main())
