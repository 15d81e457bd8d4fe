"""Progress lines for people: nothing below two seconds, then a line now and again."""

import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

FIRST_LINE_S = 2.0
NEXT_LINE_S = 5.0


def say(text: str) -> None:
    """Print one line at once; standard output is left to results."""
    print(f"[stack] {text}", file=sys.stderr, flush=True)


@contextmanager
def progress(what: str) -> Iterator[None]:
    """Announce `what` once it lasts two seconds, again every five, and its end."""
    began, finished = time.monotonic(), threading.Event()
    speaker = threading.Thread(target=_speak, args=(what, began, finished), daemon=True)
    speaker.start()
    try:
        yield
    finally:
        finished.set()
        speaker.join()
    if time.monotonic() - began >= FIRST_LINE_S:
        say(f"{what}: done in {time.monotonic() - began:.1f} s")


def _speak(what: str, began: float, finished: threading.Event) -> None:
    wait = FIRST_LINE_S
    while not finished.wait(wait):
        say(f"{what} ... {time.monotonic() - began:.0f} s")
        wait = NEXT_LINE_S
