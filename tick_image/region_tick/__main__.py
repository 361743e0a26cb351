"""The command `region-tick`: one tick, then gone.

The kernel gives a container's first process no default action for SIGTERM, so the handler stands before the imports,
which take most of a short tick's time. Until something is claimed there is nothing to put in order.
"""

import gc
import os
import signal
import sys

AGAIN = 75  # contract.ExitCode.AGAIN, which is not imported yet


def main() -> int:
    """Run the tick that the environment describes; return its exit code."""
    signal.signal(signal.SIGTERM, lambda *_: os._exit(AGAIN))
    gc.disable()  # what imports make stays: looking through it again and again costs a tenth of a short tick
    from region_tick.run import main as run

    gc.freeze()
    gc.enable()
    return run()


if __name__ == "__main__":
    sys.exit(main())
