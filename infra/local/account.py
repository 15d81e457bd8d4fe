"""Which system account runs PostgreSQL: our own, or an unprivileged one when we are root.

PostgreSQL refuses to run as root, so root lends the data directory to `nobody` and lets it
traverse (not list) the directories above it and above the binaries.
"""

import os
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from infra.local.progress import say

CANDIDATES = ("postgres", "nobody")


@dataclass(frozen=True, slots=True)
class Account:
    """A user and group id to run children under."""

    uid: int
    gid: int

    def spawn_arguments(self) -> dict[str, Any]:
        """Keyword arguments for `subprocess` that make the child run as this account."""
        return {"user": self.uid, "group": self.gid, "extra_groups": []}

    def own(self, path: Path) -> None:
        """Give one file or directory to this account."""
        os.chown(path, self.uid, self.gid)


def server_account() -> Account | None:
    """The account to run the server under; None means the caller's own will do."""
    if os.name == "nt" or os.geteuid() != 0:
        return None
    import pwd

    for name in CANDIDATES:
        try:
            entry = pwd.getpwnam(name)
        except KeyError:
            continue
        return Account(entry.pw_uid, entry.pw_gid)
    raise RuntimeError(
        f"running as root, and none of the accounts {', '.join(CANDIDATES)} exists; create one"
    )


def let_traverse(path: Path) -> None:
    """Allow other accounts to pass through every directory above `path` (search only, no listing)."""
    for parent in path.resolve().parents:
        mode = parent.stat().st_mode
        if not mode & stat.S_IXOTH:
            say(
                f"letting PostgreSQL's account pass through {parent} (chmod o+x), because root may not run it"
            )
            parent.chmod(mode | stat.S_IXOTH)


def let_read(tree: Path) -> None:
    """Allow other accounts to read and run what `tree` holds, where a strict umask at install time forbids it."""
    for path in (tree, *tree.rglob("*")):
        mode = path.stat().st_mode
        # Whatever the owner may run or enter, others may; nothing becomes writable.
        wanted = mode | stat.S_IROTH | (stat.S_IXOTH if mode & stat.S_IXUSR else 0)
        if wanted != mode:
            path.chmod(wanted)
