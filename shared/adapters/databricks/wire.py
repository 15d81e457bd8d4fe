"""What databricks-sdk's services send through: every call, every page of a list, paced and checked.

The SDK would repeat any call whose reply was lost, writes included, and sleep as long as a Retry-After says. Here it
makes one attempt, and what is repeated is decided here: reads, and writes that were refused for want of patience or
never left. A rotation of a token is never sent a second time, whatever became of the first.
"""

import math
import time
from collections.abc import Callable, Mapping
from copy import copy
from dataclasses import dataclass
from typing import Any

import requests
from databricks.sdk.clock import Clock
from databricks.sdk.core import ApiClient, Config
from databricks.sdk.errors.base import DatabricksError

from shared.adapters.databricks import names
from shared.adapters.databricks.failures import Call, translated
from shared.adapters.databricks.pace import TokenBucket
from shared.errors import AppError
from shared.sharing.errors import LookCutShortError, WorkspaceThrottledError, WorkspaceUnavailableError

_ONCE = "/rotate-token"
_SAFE_TO_REPEAT = (WorkspaceThrottledError, WorkspaceUnavailableError)


class OneAttempt(Clock):
    """A clock on which any sleep uses up every budget, without waiting: the SDK gives up after its first attempt."""

    _FAR_S = 1e6

    def __init__(self) -> None:
        self._skipped = 0.0

    def time(self) -> float:
        """Seconds, moved on by every sleep."""
        return time.time() + self._skipped

    def sleep(self, seconds: float) -> None:
        """Returns at once, with the time far ahead."""
        self._skipped += self._FAR_S


@dataclass(frozen=True, slots=True)
class Patience:
    """How long a call may be repeated, in seconds in all; `sleep` and `clock` are the machine's but in tests."""

    budget_s: float = 60.0
    first_wait_s: float = 1.0
    longest_wait_s: float = 10.0
    clock: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] = time.sleep


class Wire:
    """Stands where the SDK's services expect their API client; safe for several threads."""

    def __init__(self, config: Config, bucket: TokenBucket, patience: Patience) -> None:
        # The services read the workspace's id from it.
        self._cfg = config
        self._client, self._bucket, self._patience = ApiClient(config), bucket, patience
        # A redirect would take the call, and what it says, to a host that nobody allowed; no option forbids it.
        self._client._api_client._session.max_redirects = 0
        self._until = math.inf

    def until(self, moment: float) -> "Wire":
        """The same wire, which makes no call after this moment of `Patience.clock`, but raises LookCutShortError."""
        bounded = copy(self)
        bounded._until = moment
        return bounded

    def do(self, method: str, path: str, **options: Any) -> Any:
        """The answer's JSON; raises the errors of `shared.sharing.errors`."""
        names.path(path)
        call: Call = "read" if method == "GET" else "write"
        what = f"{method} {path.split('/', 3)[-1]}"
        if path.endswith(_ONCE):
            return self._once(what, call, method, path, options)
        return self._patiently(lambda: self._once(what, call, method, path, options))

    def _patiently(self, attempt: Callable[[], Any]) -> Any:
        patience, wait = self._patience, self._patience.first_wait_s
        until = min(patience.clock() + patience.budget_s, self._until)
        while True:
            try:
                return attempt()
            except _SAFE_TO_REPEAT as error:
                pause = max(wait, error.retry_after_s or 0.0)
                if patience.clock() + pause > until:
                    raise
            patience.sleep(pause)
            wait = min(wait * 2, patience.longest_wait_s)

    def _once(self, what: str, call: Call, method: str, path: str, options: Mapping[str, Any]) -> Any:
        self._bucket.take()
        if self._patience.clock() >= self._until:
            raise LookCutShortError(f"{what}: the time for looking at the workspace is up")
        try:
            return self._client.do(method, path, **options)
        except Exception as error:
            raise _reason(error, what, call) from None


def _reason(error: Exception, what: str, call: Call) -> AppError:
    # The SDK wraps what it would have repeated; without a cause it never began.
    if isinstance(error, TimeoutError) and not isinstance(error, DatabricksError):
        cause = error.__cause__
        error = cause if isinstance(cause, Exception) else requests.ConnectTimeout()
    return translated(error, what, call)
