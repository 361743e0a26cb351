"""The command `region-tick`: runs one tick and exits.

The kernel gives a container's first process no default action for SIGTERM. The imports take most of a short tick's
time, so main() installs a SIGTERM handler before the imports. A process without a claim has nothing to clean up and
may end at once. region_tick.run does the work.
"""

import gc
import os
import signal
import sys

AGAIN = 75  # the same as contract.ExitCode.AGAIN; contract is not imported yet


def main() -> int:
    """Run the tick that the environment variables describe, and return the exit code."""
    signal.signal(signal.SIGTERM, lambda *_: os._exit(AGAIN))
    gc.disable()  # imported objects live until the end: scanning them repeatedly costs a tenth of a short tick
    from region_tick.run import main as run

    gc.freeze()
    gc.enable()
    return run()


if __name__ == "__main__":
    sys.exit(main())
