"""The command `region-worker`: does the tasks that ticks with the handler `enqueue` have put into the queue.

The exit code is 0 after SIGTERM or SIGINT, 75 if the queue is unavailable (the worker is to be started again), and 78
for environment variables that cannot be used.
"""

import os
import signal
import sys


def main() -> int:
    """Work until told to stop; return the exit code."""
    signal.signal(signal.SIGTERM, lambda *_: os._exit(0))  # during the imports nothing has to be cleaned up
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
