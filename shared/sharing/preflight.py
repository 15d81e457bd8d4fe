"""What the directory and the workspace say about a pack before anything is planned."""

from collections.abc import Collection, Iterator

from shared.sharing.model import DataObject, Finding, ObjectType, RecipientType, SharePack
from shared.sharing.observed import ObservedShare, ObservedWorkspace
from shared.sharing.ports import Directory

UNLISTED = frozenset({ObjectType.NOTEBOOK_FILE})
"""Kinds that the catalogue does not hold, so that nobody can be asked whether they exist."""
_NEVER_SHARED = frozenset({"hive_metastore", "system", "samples", "__databricks_internal"})


def directory_findings(
    pack: SharePack, directory: Directory, *, domains: Collection[str], owner: str | None = None
) -> tuple[Finding, ...]:
    """The requestor, the owner of what is created, and recipients within our `domains` exist.

    Addresses outside our domains are never looked up: who else trades with us is nobody's business. Raises the
    directory's errors.
    """
    ours = {domain.lower() for domain in domains}
    found = []
    if not directory.user(pack.metadata.requestor):
        found.append(f"requestor {pack.metadata.requestor} is not in the directory, or is disabled")
    if owner is not None and not (directory.group(owner) or directory.user(owner)):
        found.append(f"owner {owner} is neither a group nor a user of the directory")
    for recipient in pack.recipients:
        if recipient.type is RecipientType.D2O and recipient.email and _domain(recipient.email) in ours:
            email = recipient.email
            if not (directory.user(email) or directory.group(email)):
                found.append(f"recipient {recipient.name}: {email} is not in the directory, or is disabled")
    return tuple(Finding("error", detail) for detail in found)


def _domain(email: str) -> str:
    return email.rpartition("@")[2].lower()


def workspace_findings(pack: SharePack, observed: ObservedWorkspace) -> tuple[Finding, ...]:
    """Every object exists, is of the kind the pack says and can be shared at all."""
    found = []
    for share in pack.shares:
        present = _present(observed.shares.get(share.name))
        for wanted in share.data_objects:
            if wanted.name not in present:
                found += [f"share {share.name}: {fault}" for fault in _faults(wanted, observed)]
    return tuple(Finding("error", detail) for detail in found)


def _present(share: ObservedShare | None) -> frozenset[str]:
    return frozenset(each.name for each in share.objects) if share else frozenset()


def _faults(wanted: DataObject, observed: ObservedWorkspace) -> Iterator[str]:
    if wanted.type in UNLISTED:
        return
    catalog, *rest = wanted.name.split(".")
    if catalog in _NEVER_SHARED or "information_schema" in rest[:1]:
        yield f"{wanted.name} is one of the platform's own and cannot be shared"
    elif wanted.name not in observed.catalog:
        yield f"{wanted.name} is not in the catalogue, or not to be seen by {observed.identity}"
    elif wanted.type not in (None, observed.catalog[wanted.name].type):
        yield f"{wanted.name} is a {observed.catalog[wanted.name].type}, not a {wanted.type}"
