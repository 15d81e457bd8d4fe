"""The hook for indexes that are built after a first load: how a run is told whether to do so.

The only place to change when the product offers it under another name.
"""

from uuid import UUID

from shared.composition import App

MISSING = "the product does not offer App.defer_indexes(entity_uid) yet"


def is_offered() -> bool:
    """Whether a first load can leave its indexes for later."""
    return hasattr(App, "defer_indexes")


def defer_indexes(app: App, entity_uid: UUID) -> None:
    """Let the entity's next first load build its indexes in its last transaction."""
    app.defer_indexes(entity_uid)  # type: ignore[attr-defined]  # absent until the product has it
