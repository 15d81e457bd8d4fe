"""Who calls: two principals with a bearer token each, unless a test brings its own."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Identity:
    """A principal, the token that proves it, the groups it is in; an `admin` administers the metastore."""

    name: str
    token: str = field(repr=False)
    groups: tuple[str, ...] = ()
    admin: bool = False

    @property
    def principals(self) -> frozenset[str]:
        """Every name that privileges and ownership may be held under."""
        return frozenset({self.name, *self.groups})


PROVISIONER = Identity("tributary@example.org", "local-provisioner-token", ("data-providers",))
OTHER = Identity("steward@example.org", "local-steward-token")
