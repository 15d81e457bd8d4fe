"""One look at exactly what a pack touches, in as few calls as the platform allows."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Protocol

from shared.sharing.model import ObjectType, RecipientType, Share, SharePack
from shared.sharing.observed import SELECT, CatalogObject, ObservedRecipient, ObservedShare, ObservedWorkspace
from shared.sharing.ports import Workspace
from shared.sharing.preflight import UNLISTED


class Each(Protocol):
    """`map`, or one that makes several calls at once."""

    def __call__(self, ask: Callable[[Any], Any], names: Iterable[Any], /) -> Iterable[Any]: ...


def observe(
    workspace: Workspace,
    pack: SharePack,
    *,
    catalog: Mapping[str, CatalogObject] | None = None,
    each: Each = map,
) -> ObservedWorkspace:
    """The shares, recipients and pipelines of the pack, who else reads those shares, and what the catalogue holds.

    `catalog`: what is known of it already, not asked again. Objects that stand in their share are not looked up.
    Raises the workspace's errors.
    """
    shares = _found((s.name for s in pack.shares), workspace.share, each)
    recipients = _recipients(workspace, pack, shares, each)
    keys = [(p.type, p.name) for p in pack.pipelines]
    pipelines = {k: p for k, p in zip(keys, each(lambda k: workspace.pipeline(*k), keys), strict=True) if p}
    known = dict(catalog or {})
    wanted = {name: kind for name, kind in _unknown(pack.shares, shares) if name not in known}
    if wanted:
        known |= workspace.catalog_objects(wanted)
    return ObservedWorkspace(workspace.identity(), shares, recipients, pipelines, known)


def _found(names: Iterable[str], ask: Callable[[str], Any], each: Each) -> dict[str, Any]:
    listed = sorted({*names})
    return {name: found for name, found in zip(listed, each(ask, listed), strict=True) if found is not None}


def _recipients(
    workspace: Workspace, pack: SharePack, shares: Mapping[str, ObservedShare], each: Each
) -> dict[str, ObservedRecipient]:
    names = {r.name for r in pack.recipients} | {r for s in pack.shares for r in s.recipients}
    names |= {r for s in shares.values() for r, held in s.grants.items() if SELECT in held}
    recipients: dict[str, ObservedRecipient] = _found(names, workspace.recipient, each)
    metastores = (
        r.metastore_id
        for r in pack.recipients
        if r.type is RecipientType.D2D and r.metastore_id and r.name not in recipients
    )
    standing = _found(metastores, workspace.recipient_of_metastore, each)
    return recipients | {r.name: r for r in standing.values()}


def _unknown(
    wanted: Iterable[Share], shares: Mapping[str, ObservedShare]
) -> Iterator[tuple[str, ObjectType | None]]:
    for share in wanted:
        now = shares.get(share.name)
        present = {o.name for o in now.objects} if now else set()
        for each in share.data_objects:
            if each.name not in present and each.type not in UNLISTED:
                yield each.name, each.type
