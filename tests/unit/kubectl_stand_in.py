"""A kubectl for faults that no real one has at a test's wish: its API server passes no request on to the console.

`python kubectl_stand_in.py STATE ...` is the program, for which STATE is the file of a `StandIn`.
"""

from __future__ import annotations

import json
import os
import sys
import time
from dataclasses import asdict, dataclass
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

HANGS = "hangs"
CHECKOUT = Path(__file__).parents[2]


@dataclass(frozen=True, kw_only=True)
class StandIn:
    """What kubectl does. `refusal` and `says` are what it says of a GET, and instead of a port-forward.

    `answer` is the console's answer to anything; HANGS: none ever comes. `waits` are seconds before the refusal.
    """

    refusal: str
    says: str = ""
    answer: Any = HANGS
    waits: float = 0

    def write(self, folder: Path) -> str:
        """Write the program. Return the PATH that has it."""
        from tests.unit.plugin import write_kubectl  # the program itself is to start fast

        state = folder / "state.json"
        state.write_text(json.dumps(asdict(self)))
        words = f"cd {CHECKOUT} && exec {sys.executable} -m tests.unit.kubectl_stand_in {state}"
        return write_kubectl(folder, f'{words} "$@"')


def calls(folder: Path) -> list[list[str]]:
    """Return the words of the calls so far."""
    return [json.loads(line) for line in (folder / "calls").read_text().splitlines()]


def listener(folder: Path) -> tuple[int, int] | None:
    """Return the process and the port of the latest port-forward; None before the first."""
    place = folder / "listener"
    if not place.exists():
        return None
    pid, port = place.read_text().split()
    return int(pid), int(port)


def main(state: Path, words: list[str]) -> None:
    with (state.parent / "calls").open("a") as file:
        file.write(json.dumps(words) + "\n")
    stand_in = StandIn(**json.loads(state.read_text()))
    if words[0] == "get":
        time.sleep(stand_in.waits)
        sys.exit(stand_in.refusal)
    if stand_in.says:
        print(stand_in.says, file=sys.stderr)
        sys.exit(1)

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            (state.parent / "asked").write_text(self.path)
            print(f"Handling connection for {server.server_port}", flush=True)
            if stand_in.answer == HANGS:
                time.sleep(600)
            self.send_response(200)
            self.end_headers()
            self.wfile.write(json.dumps(stand_in.answer).encode())

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the parameter's name is given
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    (state.parent / "listener").write_text(f"{os.getpid()} {server.server_port}")
    print(f"Forwarding from 127.0.0.1:{server.server_port} -> 8080", flush=True)
    server.serve_forever()


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2:])
