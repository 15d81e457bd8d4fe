"""Named points where a test may kill, hang, stop or fail the process; nothing at all unless the environment arms one.

`TRIBUTARY_FAILPOINTS="chunk.copy=kill@2;claim.after=raise"`: at the second hit of the first, at every hit of
the second. Arming refuses to work on Azure.
"""

import os
import signal
import time
from collections import Counter
from typing import Literal, cast

from shared.platform import azure_marker

Action = Literal["kill", "hang", "raise", "stop"]

# Every point in the code, so that a test can walk them all and a typo in a test is an error.
POINTS = (
    "detect.before_create", "detect.after_create", "outbox.before_send", "outbox.after_send", "outbox.after_commit",
    "claim.before", "claim.after", "page.before", "page.after", "stages.after", "chunk.begin", "chunk.lookup",
    "chunk.copy", "chunk.update", "chunk.rejects", "chunk.seen", "chunk.before_commit", "chunk.after_commit",
    "stage.create", "publish.before_commit", "publish.after_commit", "deletes.mark", "deletes.before_commit",
    "deletes.chunk", "continuation.before", "continuation.after", "finish.before", "finish.after", "log.before",
    "log.after", "acknowledge.before", "window.created", "window.cursor", "rehash.before_commit",
    "rehash.after_commit", "verify.saved", "verify.concluded",
    "chunk.held", "release.pick", "release.landed", "release.before_commit", "release.after_commit",
    "retry.before_create", "retry.after_create", "replay.pick", "replay.before_commit", "replay.after_commit",
    "application.claim", "application.claimed", "application.before_commit", "application.after_commit",
    "journal.intended", "journal.before_conclude", "journal.concluded",
)  # fmt: skip


class FailpointError(BaseException):
    """What an armed point raises; not an Exception, so no handler mistakes it for an error."""


_armed: dict[str, tuple[Action, int | None]] = {}
_hits: Counter[str] = Counter()


def arm(specification: str) -> None:
    """Arm the points that `specification` lists; raises ValueError for an unknown point or on Azure."""
    _armed.clear()
    _hits.clear()
    for part in filter(None, specification.split(";")):
        name, _, rest = part.partition("=")
        action, _, nth = rest.partition("@")
        if name not in POINTS or action not in ("kill", "hang", "raise", "stop"):
            raise ValueError(f"failpoint {part!r}: no such point or action")
        if azure_marker(os.environ):
            raise ValueError("failpoints never arm on Azure")
        _armed[name] = (cast(Action, action), int(nth) if nth else None)


def hit(name: str) -> None:
    """Do what was armed for this point; by default nothing."""
    if name not in _armed:
        return
    _hits[name] += 1
    action, nth = _armed[name]
    if nth is not None and _hits[name] != nth:
        return
    if action == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    elif action == "hang":
        time.sleep(3600)
    elif action == "stop":
        # Whoever sends SIGCONT lets the process go on from here, however late.
        os.kill(os.getpid(), signal.SIGSTOP)
        return
    raise FailpointError(name)


if "TRIBUTARY_FAILPOINTS" in os.environ:
    arm(os.environ["TRIBUTARY_FAILPOINTS"])
