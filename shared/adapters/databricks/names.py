"""Which names may become part of a path. The SDK puts them there as they are: `..` would ask for something else."""

import re

from shared.sharing.errors import WorkspaceRefusedError

_NAME = re.compile(r"[a-z0-9_-]{1,255}")
_ID = re.compile(r"[A-Za-z0-9_-]{1,128}")
_SEGMENT = re.compile(r"[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*")
# Before a recipient has fetched its credential file, whoever asks here takes it, once.
_ACTIVATION = "/public/"


def securable(name: str) -> str:
    """The name of a share or recipient, in lower case; WorkspaceRefusedError for any other text."""
    return _checked(name.lower(), _NAME, name)


def full_name(name: str, parts: int | None = None) -> str:
    """`catalog.schema` or `catalog.schema.object` in lower case, or exactly so many parts."""
    pieces = name.lower().split(".")
    if len(pieces) not in ((2, 3) if parts is None else (parts,)):
        raise _refused(name)
    return ".".join(_checked(piece, _NAME, name) for piece in pieces)


def identifier(value: str) -> str:
    """An id that the workspace gave out."""
    return _checked(value, _ID, value)


def path(value: str) -> str:
    """A whole path just before it is sent; a defence behind the others, for calls yet to be written."""
    segments = value.removeprefix("/").split("/")
    if _ACTIVATION in value or not all(_SEGMENT.fullmatch(segment) for segment in segments):
        raise _refused(value)
    return value


def _checked(text: str, allowed: re.Pattern[str], name: str) -> str:
    if not allowed.fullmatch(text):
        raise _refused(name)
    return text


def _refused(name: str) -> WorkspaceRefusedError:
    return WorkspaceRefusedError(
        f"name {name[:100]!r}: not one that may be sent to a workspace",
        reason="INVALID_NAME",
        hint="use letters, digits, _ and - only; dots only between catalog, schema and object",
    )
