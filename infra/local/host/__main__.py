"""`python -m infra.local.host [--port 7071] [--app DIR]`: run until SIGTERM or Ctrl-C, drain, exit 0."""

import argparse
import logging
import os
import signal
import sys
import threading
from pathlib import Path

from infra.local.errors import LocalStackError
from infra.local.host.errors import HostError
from infra.local.host.host import Host, Tuning
from infra.local.paths import REPO_ROOT
from infra.local.ports import Ports


def main() -> int:
    """0 after a drain, 1 when the app, its settings or the port is refused."""
    arguments = _arguments()
    logging.basicConfig(
        level=logging.INFO, stream=sys.stderr, format="%(asctime)s %(levelname)s %(name)s: %(message)s"
    )
    logging.getLogger("azure").setLevel(logging.WARNING)
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    host = Host(arguments.app, arguments.port, tuning=Tuning(grace_s=arguments.grace))
    try:
        host.start()
    except (HostError, LocalStackError) as error:
        print(f"host: {error}", file=sys.stderr)
        return 1
    stop.wait()
    if not host.stop():
        print(f"host: something still ran after {arguments.grace:.0f} s and was cut off", file=sys.stderr)
    return 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m infra.local.host", description=__doc__)
    parser.add_argument("--port", type=int, default=Ports.from_environment(os.environ).host)
    parser.add_argument(
        "--app", type=Path, default=REPO_ROOT, help="directory of function_app.py and host.json"
    )
    parser.add_argument(
        "--grace", type=float, default=30, help="seconds that running functions get on SIGTERM"
    )
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
