"""kube/leader_election.py without an API server: the clock, the names, the end of the process.

The rest: tests/cluster/test_leader_election.py and tests/cluster/test_lease_renewal.py.
"""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time

from region_operator.kube import leader_election
from region_operator.kube.lease_record import LEASE_SECONDS


def test_two_processes_of_one_pod_have_different_identities() -> None:
    first, second = leader_election.new_identity(), leader_election.new_identity()
    assert first != second
    assert first.startswith(f"{socket.gethostname()}_")


def test_a_standby_waits_longer_than_a_request_of_the_former_leader_can_last() -> None:
    attempts = leader_election.RENEW_SECONDS + leader_election.ATTEMPT_SECONDS + max(leader_election.RETRY_SECONDS)
    assert attempts < leader_election.RENEW_DEADLINE_SECONDS, "one attempt that hangs leaves time for another"
    assert leader_election.RENEW_DEADLINE_SECONDS < LEASE_SECONDS


def test_the_clock_is_the_one_that_goes_on_while_the_machine_sleeps() -> None:
    before = time.clock_gettime(time.CLOCK_BOOTTIME)
    assert before <= leader_election.boottime() <= time.clock_gettime(time.CLOCK_BOOTTIME)


def test_the_end_is_immediate_and_logged_once() -> None:
    program = """
import threading, time
from region_operator.kube.leader_election import end_process
from region_tick import logs
logs.configure()
threading.Thread(target=time.sleep, args=(3600,)).start()
try:
    end_process("a reason")
finally:
    print("an orderly end")
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == os.EX_TEMPFAIL
    [line] = done.stdout.splitlines()
    assert '"leadership lost"' in line
    assert '"a reason"' in line
