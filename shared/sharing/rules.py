"""What can be said about a pack without asking anybody. Pure.

A rule yields findings with the path of what they are about, such as ("share", 0, "recipients", 2); `check` gives them
their place in the upload.
"""

from collections import Counter
from collections.abc import Callable, Collection, Iterator, Sequence
from typing import Literal, NamedTuple

from shared.sharing.model import (
    TABLE_LIKE,
    AnyAddress,
    DataObject,
    Finding,
    Metadata,
    ObjectType,
    Partition,
    Pipeline,
    Place,
    Recipient,
    RecipientType,
    Share,
    SharePack,
)
from shared.sharing.names import (
    alias_fault,
    mail_fault,
    metastore_fault,
    name_fault,
    network_fault,
    object_fault,
)
from shared.sharing.quartz import schedule_fault
from shared.sharing.text import shown, unseen

Path = tuple[str | int, ...]
MAX_ADDRESSES = 100
MAX_TABLES = 1_000
MAX_SCHEMAS = 500
MAX_SHARES = 1_000
MAX_RECIPIENTS = 5_000
MAX_TOKEN_DAYS = 365
MAX_LABEL = 255
MAX_TEXT = 4_096
_WITH_HISTORY = TABLE_LIKE | {ObjectType.SCHEMA}


class Remark(NamedTuple):
    """A finding before it has a place."""

    path: Path
    detail: str
    severity: Literal["error", "warning"] = "error"


Remarks = Iterator[Remark]


def check(
    pack: SharePack,
    *,
    known: Collection[str] = (),
    place_of: Callable[[Path], Place | None] = lambda _: None,
) -> list[Finding]:
    """Every error and warning. `known` are names of recipients that are managed already, in lower case."""
    return [Finding(each.severity, each.detail, place_of(each.path)) for each in _remarks(pack, known)]


def _remarks(pack: SharePack, known: Collection[str]) -> Remarks:
    yield from _metadata(pack.metadata)
    yield from _whole(pack)
    for index, recipient in enumerate(pack.recipients):
        yield from _recipient(recipient, ("recipient", index))
    named = {recipient.name for recipient in pack.recipients} | set(known)
    for index, share in enumerate(pack.shares):
        yield from _share(share, ("share", index), named)
    for index, pipeline in enumerate(pack.pipelines):
        yield from _pipeline(pipeline, ("pipeline", index))
    if pack.metadata.strategy == "NEW":
        yield from _in_new(pack)


def _metadata(metadata: Metadata) -> Remarks:
    path: Path = ("metadata",)
    fault = mail_fault(metadata.requestor)
    if fault:
        yield Remark((*path, "requestor"), f"requestor: {fault}")
    yield from _text(metadata.project_name, (*path, "project_name"), MAX_LABEL)
    yield from _text(metadata.business_line, (*path, "business_line"), MAX_LABEL)
    yield from _text(metadata.description, (*path, "description"))
    start = metadata.start_at
    if start is not None and start.tzinfo is None:
        yield Remark((*path, "start_at"), "start_at: without a time zone; add one, such as Z for UTC")
    elif start is not None and not 2000 <= start.year < 2200:
        yield Remark((*path, "start_at"), f"start_at: the year {start.year} cannot be meant")


def _whole(pack: SharePack) -> Remarks:
    if not (pack.recipients or pack.shares or pack.pipelines):
        yield Remark((), "the pack names no recipient, no share and no pipeline")
    yield from _unique([each.name for each in pack.recipients], "recipient")
    yield from _unique([each.name for each in pack.shares], "share")
    yield from _unique([f"{each.type} {each.name}" for each in pack.pipelines], "pipeline")
    if len(pack.shares) > MAX_SHARES:
        yield Remark(("share",), f"{len(pack.shares):,} shares; a metastore holds {MAX_SHARES:,}")
    if len(pack.recipients) > MAX_RECIPIENTS:
        yield Remark(
            ("recipient",), f"{len(pack.recipients):,} recipients; a metastore holds {MAX_RECIPIENTS:,}"
        )
    yield from _one_per_metastore(pack.recipients)


def _unique(names: Sequence[str], section: str) -> Remarks:
    seen: set[str] = set()
    for index, name in enumerate(names):
        if name.lower() in seen:
            yield Remark(
                (section, index, "name"), f"{shown(name)}: this name stands twice among the {section}s"
            )
        seen.add(name.lower())


def _one_per_metastore(recipients: Sequence[Recipient]) -> Remarks:
    """The platform's own rule; a second one would be refused halfway through the provisioning."""
    owners: dict[str, str] = {}
    for index, recipient in enumerate(recipients):
        id = (recipient.metastore_id or "").lower()
        if id and recipient.type is RecipientType.D2D:
            if id in owners:
                detail = (
                    f"metastore_id: {shown(owners[id])} stands for this metastore; it can have one recipient"
                )
                yield Remark(("recipient", index, "metastore_id"), detail)
            owners.setdefault(id, recipient.name)


def _recipient(recipient: Recipient, path: Path) -> Remarks:
    yield from _name(recipient.name, (*path, "name"))
    yield from _text(recipient.comment, (*path, "comment"))
    if recipient.type is RecipientType.D2O:
        yield from _open_recipient(recipient, path)
    else:
        yield from _databricks_recipient(recipient, path)
    if recipient.allowed_ips is not None and not isinstance(recipient.allowed_ips, AnyAddress):
        yield from _addresses(recipient.allowed_ips, (*path, "allowed_ips"))


def _open_recipient(recipient: Recipient, path: Path) -> Remarks:
    fault = mail_fault(recipient.email) if recipient.email else "a D2O recipient needs one"
    if fault:
        yield Remark((*path, "email"), f"email: {fault}")
    if recipient.metastore_id is not None:
        yield Remark((*path, "metastore_id"), "metastore_id: belongs to D2D, and this recipient is D2O")
    days = recipient.token_expiry_days
    if days is not None and not 1 <= days <= MAX_TOKEN_DAYS:
        yield Remark(
            (*path, "token_expiry_days"), f"token_expiry_days: {days} is not within 1-{MAX_TOKEN_DAYS}"
        )
    if isinstance(recipient.allowed_ips, AnyAddress):
        detail = f"allowed_ips: ANY lets {shown(recipient.name)} read from every address"
        yield Remark((*path, "allowed_ips"), detail, "warning")


def _databricks_recipient(recipient: Recipient, path: Path) -> Remarks:
    fault = metastore_fault(recipient.metastore_id) if recipient.metastore_id else "a D2D recipient needs one"
    if fault:
        yield Remark((*path, "metastore_id"), f"metastore_id: {fault}")
    if recipient.token_expiry_days is not None:
        detail = "token_expiry_days: belongs to D2O; a D2D recipient has no token"
        yield Remark((*path, "token_expiry_days"), detail)
    if recipient.allowed_ips is not None:
        yield Remark((*path, "allowed_ips"), "allowed_ips: belongs to D2O; the platform takes none for D2D")
    if recipient.email is not None:
        yield Remark((*path, "email"), "email: not used, a D2D recipient gets no link", "warning")


def _addresses(addresses: Sequence[str], path: Path) -> Remarks:
    if not addresses:
        detail = (
            "allowed_ips: an empty list; leave it out to change nothing, or write ANY to allow every address"
        )
        yield Remark(path, detail)
    if len(addresses) > MAX_ADDRESSES:
        yield Remark(path, f"allowed_ips: {len(addresses)} entries; at most {MAX_ADDRESSES}")
    seen: set[str] = set()
    for index, address in enumerate(addresses):
        fault = network_fault(address) or (f"{shown(address)} stands twice" if address in seen else None)
        if fault:
            yield Remark((*path, index), f"allowed_ips: {fault}")
        seen.add(address)


def _share(share: Share, path: Path, named: Collection[str]) -> Remarks:
    yield from _name(share.name, (*path, "name"))
    yield from _text(share.comment, (*path, "comment"))
    yield from _share_recipients(share, path, named)
    yield from _removals(share, path)
    for index, wanted in enumerate(share.data_objects):
        yield from _data_object(wanted, (*path, "data_objects", index))
    yield from _together(share, (*path, "data_objects"))


def _share_recipients(share: Share, path: Path, named: Collection[str]) -> Remarks:
    seen: set[str] = set()
    for index, name in enumerate(share.recipients):
        here = (*path, "recipients", index)
        fault = name_fault(name)
        if fault:
            yield Remark(here, f"recipients: {fault}")
        elif name in seen:
            yield Remark(here, f"recipients: {shown(name)} stands twice")
        elif name not in named:
            yield Remark(here, f"recipients: {shown(name)} is no recipient of this pack, nor managed already")
        seen.add(name)


def _removals(share: Share, path: Path) -> Remarks:
    objects = {each.name for each in share.data_objects}
    for index, name in enumerate(share.remove_recipients):
        fault = name_fault(name) or _kept(name, share.recipients, "recipients")
        if fault:
            yield Remark((*path, "remove_recipients", index), f"remove_recipients: {fault}")
    for index, name in enumerate(share.remove_data_objects):
        fault = object_fault(name, ObjectType.NOTEBOOK_FILE) or _kept(name, objects, "data_objects")
        if fault:
            yield Remark((*path, "remove_data_objects", index), f"remove_data_objects: {fault}")


def _kept(name: str, wanted: Collection[str], field: str) -> str | None:
    return f"{shown(name)} stands in {field}, too" if name in wanted else None


def _data_object(wanted: DataObject, path: Path) -> Remarks:
    fault = object_fault(wanted.name, wanted.type)
    if fault:
        yield Remark((*path, "name"), f"data_objects: {fault}")
    alias = alias_fault(wanted.shared_as, wanted.type) if wanted.shared_as is not None else None
    if alias:
        yield Remark((*path, "shared_as"), f"shared_as: {alias}")
    if wanted.cdf and wanted.history is not None:
        yield Remark(
            (*path, "cdf"), "cdf: includes the history; the platform refuses both, so leave history out"
        )
    if (wanted.cdf or wanted.history) and wanted.type not in (None, *_WITH_HISTORY):
        field = "cdf" if wanted.cdf else "history"
        yield Remark((*path, field), f"{field}: a {wanted.type} has none")
    if wanted.partitions is not None:
        yield from _partitions(wanted, wanted.partitions, (*path, "partitions"))
    if wanted.type is ObjectType.NOTEBOOK_FILE:
        detail = f"{shown(wanted.name)}: a pack cannot carry a notebook's content, so it must be in the share already"
        yield Remark((*path, "name"), detail, "warning")


def _partitions(wanted: DataObject, partitions: Sequence[Partition], path: Path) -> Remarks:
    if wanted.type not in (None, ObjectType.TABLE) or wanted.name.count(".") != 2:
        yield Remark(path, f"partitions: only tables have them, and {shown(wanted.name)} is none")
    for index, partition in enumerate(partitions):
        here = (*path, index, "values")
        if not partition.values:
            yield Remark(
                here, "values: a partition without a condition shares everything; leave it out instead"
            )
        for position, value in enumerate(partition.values):
            if (value.value is None) == (value.recipient_property_key is None):
                detail = "exactly one of value and recipient_property_key is needed"
                yield Remark((*here, position), f"{shown(value.name)}: {detail}")
            for text in (value.name, value.value, value.recipient_property_key):
                yield from _text(text, (*here, position))


def _together(share: Share, path: Path) -> Remarks:
    """What the objects of one share must not be beside each other."""
    yield from _aliases(share, path)
    schemas = {each.name for each in share.data_objects if _is_schema(each)}
    for index, each in enumerate(share.data_objects):
        if each.name.count(".") == 2 and each.name.rpartition(".")[0] in schemas:
            yield Remark(
                (*path, index), f"{shown(each.name)}: its schema is shared as a whole already", "warning"
            )
    tables = len(share.data_objects) - len(schemas)
    if tables > MAX_TABLES:
        yield Remark(path, f"data_objects: {tables:,} tables and other objects; a share holds {MAX_TABLES:,}")
    if len(schemas) > MAX_SCHEMAS:
        yield Remark(path, f"data_objects: {len(schemas):,} schemas; a share holds {MAX_SCHEMAS:,}")


def _aliases(share: Share, path: Path) -> Remarks:
    """One object at most once under an alias, one alias for one object. The platform's own alias is schema.table."""
    holders: dict[tuple[str, str], str] = {}
    for index, each in enumerate(share.data_objects):
        alias = each.shared_as or (each.name.partition(".")[2] if _is_table(each) else each.name)
        key = ("table" if _is_table(each) else str(each.type), alias)
        holder = holders.get(key)
        holders.setdefault(key, each.name)
        if holder is None:
            continue
        if holder == each.name:
            detail = f"{shown(each.name)} stands twice in this share under the same name"
        else:
            detail = f"{shown(each.name)} would be shared as {shown(alias)}, as is {shown(holder)}; give a shared_as"
        yield Remark((*path, index), f"data_objects: {detail}")


def _is_schema(wanted: DataObject) -> bool:
    return wanted.type is ObjectType.SCHEMA or (wanted.type is None and wanted.name.count(".") == 1)


def _is_table(wanted: DataObject) -> bool:
    """A table or what is like one; without a type, anything in a schema may turn out to be."""
    return wanted.type in TABLE_LIKE or (wanted.type is None and wanted.name.count(".") == 2)


def _pipeline(pipeline: Pipeline, path: Path) -> Remarks:
    yield from _name(pipeline.name, (*path, "name"))
    yield from _text(pipeline.comment, (*path, "comment"))
    yield from _text(pipeline.source, (*path, "source"), MAX_LABEL * 4)
    if not pipeline.source.startswith("/"):
        yield Remark(
            (*path, "source"), "source: no path from the workspace's root, such as /Shared/job", "warning"
        )
    if ".." in pipeline.source.split("/"):
        yield Remark((*path, "source"), "source: a path with .. in it")
    if pipeline.schedule is not None:
        fault = schedule_fault(pipeline.schedule)
        if fault:
            yield Remark(
                (*path, "schedule"), f"schedule: {shown(pipeline.schedule)} is no Quartz cron: {fault}"
            )
    yield from _destination(pipeline, (*path, "destination"))


def _destination(pipeline: Pipeline, path: Path) -> Remarks:
    if pipeline.type == "JOB":
        yield from _text(pipeline.destination, path)
    elif pipeline.destination is None:
        yield Remark(path, "destination: a PIPELINE needs its target, catalog.schema")
    else:
        fault = object_fault(pipeline.destination, ObjectType.SCHEMA)
        if fault:
            yield Remark(path, f"destination: {fault}")


def _in_new(pack: SharePack) -> Remarks:
    """NEW removes nothing, and what it makes should be of use."""
    for index, share in enumerate(pack.shares):
        for field in ("remove_recipients", "remove_data_objects"):
            if getattr(share, field):
                yield Remark(("share", index, field), f"{field}: only in a pack with strategy UPDATE")
        if not share.recipients:
            yield Remark(("share", index), f"nobody reads the share {shown(share.name)}", "warning")
        if not share.data_objects:
            yield Remark(("share", index), f"the share {shown(share.name)} holds nothing", "warning")
    readers = Counter(name for share in pack.shares for name in share.recipients)
    for index, recipient in enumerate(pack.recipients):
        if not readers[recipient.name]:
            yield Remark(
                ("recipient", index), f"{shown(recipient.name)} reads no share of this pack", "warning"
            )
        if recipient.type is RecipientType.D2O:
            yield from _open_doors(recipient, ("recipient", index))


def _open_doors(recipient: Recipient, path: Path) -> Remarks:
    if recipient.allowed_ips is None:
        detail = f"allowed_ips: without a list {shown(recipient.name)} may read from every address"
        yield Remark(path, detail, "warning")
    if recipient.token_expiry_days is None:
        detail = (
            f"token_expiry_days: unsaid, so the token of {shown(recipient.name)} lives as long as allowed"
        )
        yield Remark(path, detail, "warning")


def _name(name: str, path: Path) -> Remarks:
    fault = name_fault(name)
    if fault:
        yield Remark(path, f"name: {fault}")


def _text(text: str | None, path: Path, longest: int = MAX_TEXT) -> Remarks:
    """Prose may be in any script; what it must not have is characters that show people something else."""
    if text is None:
        return
    hidden = unseen(text)
    if hidden:
        yield Remark(path, f"{path[-1]}: contains {hidden}, which cannot be seen")
    if len(text) > longest:
        yield Remark(path, f"{path[-1]}: {len(text):,} characters; at most {longest:,}")
