"""Run one function through the worker and, when it succeeded, flush its queue outputs."""

import logging
import secrets
import time
import uuid
from collections.abc import Mapping
from concurrent.futures import Future

from infra.local.host import outputs
from infra.local.host.protocol import Finished, Invoke, Payload, Text
from infra.local.host.supervisor import Supervisor
from infra.local.host.triggers import Function

log = logging.getLogger("host.function")


class Runner:
    """What the listeners share: the worker and the way outputs are encoded."""

    def __init__(self, supervisor: Supervisor, base64_bodies: bool) -> None:
        self.supervisor, self._base64 = supervisor, base64_bodies

    def begin(
        self,
        function: Function,
        payload: Payload,
        metadata: Mapping[str, Text] | None = None,
        traceparent: str | None = None,
    ) -> "Future[Finished]":
        """Start an invocation; give its future to `finish`."""
        invoke = Invoke(
            str(uuid.uuid4()), function.name, payload, traceparent or new_traceparent(), metadata or {}
        )
        log.info("Executing '%s' (Id=%s)", function.name, invoke.invocation_id)
        began = time.monotonic()
        done = self.supervisor.invoke(invoke)
        done.add_done_callback(lambda future: _report(function.name, invoke.invocation_id, began, future))
        return done

    def finish(self, function: Function, finished: Finished) -> bool:
        """True when it succeeded and its queue outputs were sent; a failed send is a failed invocation."""
        if finished.error is not None:
            return False
        outputs.send(function.outputs, finished.outputs, self._base64)
        return True


def new_traceparent(caller: str | None = None) -> str:
    """A W3C trace context: the caller's trace with a new span, or a trace of its own."""
    parts = (caller or "").split("-")
    trace = parts[1] if len(parts) == 4 and len(parts[1]) == 32 else secrets.token_hex(16)
    return f"00-{trace}-{secrets.token_hex(8)}-01"


def _report(name: str, invocation_id: str, began: float, done: "Future[Finished]") -> None:
    seconds = time.monotonic() - began
    error = done.exception() or done.result().error
    if error is None:
        log.info("Executed '%s' (Succeeded, Id=%s, %.3f s)", name, invocation_id, seconds)
    else:
        log.error("Executed '%s' (Failed, Id=%s, %.3f s): %s", name, invocation_id, seconds, error)
