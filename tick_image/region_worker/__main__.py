"""The command `region-worker`: fetches what ticks with the handler `enqueue` have put into the queue.

It ends with 0 when it was told to, with 75 where the queue is away (to be started again), with 78 for an environment
that cannot be used.
"""

import os
import signal
import sys


def main() -> int:
    """Work until told to stop; return the exit code."""
    signal.signal(signal.SIGTERM, lambda *_: os._exit(0))  # before the imports: nothing is to be put in order yet
    import asyncio
    import logging

    from region_tick.contract import ExitCode
    from region_tick.poll_settings import PollSettingError
    from region_worker.settings import WorkerSettingError, WorkerSettings
    from region_worker.worker import QueueUnavailableError, WorkerTimes, configure_logs, work

    configure_logs(os.environ)
    log = logging.getLogger("region_worker")
    try:
        asyncio.run(work(WorkerSettings.read(os.environ), WorkerTimes()))
    except (WorkerSettingError, PollSettingError) as error:
        log.error("environment", extra={"error": str(error)})
        return ExitCode.CONFIGURATION
    except QueueUnavailableError as error:
        log.error("queue unavailable", extra={"error": str(error)})
        return ExitCode.AGAIN
    return ExitCode.FINAL


if __name__ == "__main__":
    sys.exit(main())
