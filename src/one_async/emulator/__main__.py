"""``python -m one_async.emulator``: run an emulator in the foreground."""

from __future__ import annotations

import argparse
import signal
import sys
from pathlib import Path

from one_async.emulator.server import serve


def main() -> None:
    """Parse the command line and serve."""
    parser = argparse.ArgumentParser(
        prog="python -m one_async.emulator", description="A small Alyx, by default on 127.0.0.1."
    )
    parser.add_argument("--records", type=Path, help="serve a records folder instead of the seeded world")
    parser.add_argument("--host", default="127.0.0.1", help="the IPv4 address to listen on; 0.0.0.0: all")
    parser.add_argument("--port", type=int, default=0, help="0 (the default): any free port")
    parser.add_argument(
        "--latency", type=float, default=0.0, metavar="MS", help="milliseconds before each answer"
    )
    parser.add_argument("--throttle", type=int, metavar="N", help="requests in a minute for each user")
    parser.add_argument("--state", type=Path, metavar="FILE", help="keep what is written in this SQLite file")
    parser.add_argument("--json", action="store_true", help="print address and logins as one line of JSON")
    args = parser.parse_args()
    received = serve(
        args.records,
        args.port,
        args.latency,
        args.throttle,
        state=args.state,
        as_json=args.json,
        host=args.host,
    )
    if received == signal.SIGINT:
        sys.exit(130)


if __name__ == "__main__":
    main()
