"""The only place that builds objects: settings in, the application out, each part made when first needed.

    app          what triggers call
    table_sync   what table sync consists of
    sharing      what share packs consist of; imported where ENABLE_WORKFLOW is true, and only then
    directory    directory syncs and notices; likewise
    api          the management API; imported on the first request
    resources    databases, identity, secrets, storage and other services, which all of them stand on

A trigger calls `services()`; whoever wants other settings or guards makes an `App`.
"""

from functools import cache
from threading import Lock

from shared.composition.app import App
from shared.composition.resources import LEASE_S, SystemClock, new_uid, new_uids

__all__ = ["LEASE_S", "App", "SystemClock", "new_uid", "new_uids", "services"]

_lock = Lock()


def services() -> App:
    """The application of this process, built on the first call."""
    with _lock:
        return _app()


@cache
def _app() -> App:
    from shared.settings import load_settings

    return App(load_settings())
