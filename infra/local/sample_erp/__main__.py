"""Serve the sample ERP until told to stop.

`python -m infra.local.sample_erp --port 8007 --data .local/erp`
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
import threading
import time
from pathlib import Path

from infra.local.sample_erp.erp import Credentials, SampleErp
from infra.local.sample_erp.errors import ErpError


def main() -> int:
    """0 after SIGTERM or SIGINT; 1 with one clear line when it can't start."""
    arguments = _arguments()
    started = time.perf_counter()
    try:
        erp = SampleErp(
            arguments.data, port=arguments.port, credentials=_credentials(), progress=_say
        ).start()
    except ErpError as error:
        return _refuse(str(error))
    except OSError as error:
        return _refuse(
            f"port {arguments.port} can't be opened ({error.strerror}); set ERP_PORT to another one"
        )
    _say(f"ready at {erp.base_url} after {time.perf_counter() - started:.1f} s, fresh={erp.fresh}")
    _wait_for_signal()
    erp.close()
    return 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m infra.local.sample_erp", description=__doc__)
    parser.add_argument("--port", type=int, default=int(os.environ.get("ERP_PORT", "8007")))
    parser.add_argument("--data", type=Path, default=Path(".local/erp"))
    return parser.parse_args()


def _credentials() -> Credentials:
    """The defaults, or what ERP_CLIENT_ID, ERP_CLIENT_SECRET, ERP_STATIC_TOKEN, ERP_TOKEN_SECONDS say."""
    default = Credentials()
    return Credentials(
        client_id=os.environ.get("ERP_CLIENT_ID", default.client_id),
        client_secret=os.environ.get("ERP_CLIENT_SECRET", default.client_secret),
        static_token=os.environ.get("ERP_STATIC_TOKEN", default.static_token),
        expires_in=int(os.environ.get("ERP_TOKEN_SECONDS", default.expires_in)),
    )


def _wait_for_signal() -> None:
    told = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: told.set())
    told.wait()


def _say(line: str) -> None:
    print(f"sample ERP: {line}", flush=True)


def _refuse(reason: str) -> int:
    print(f"sample ERP: {reason}", file=sys.stderr, flush=True)
    return 1


if __name__ == "__main__":
    sys.exit(main())
