"""The one model of both formats: which fields there are and of which kind; what they may say is for the rules.

Names come out in lower case, words in NFKC, texts trimmed. Everything wrong is told at once, each fault with its path.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from difflib import get_close_matches
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, ValidationError
from pydantic_core import PydanticCustomError

from shared.sharing import model, text
from shared.sharing.model import ANY_ADDRESS, AllowedIps, ObjectType, RecipientType
from shared.sharing.parsing.tree import Fields, Items, Leaf, Node, Path, plain, prune

ANY = "ANY"
_DAYS = re.compile(r"[0-9]{1,9}", re.ASCII)
_KINDS: dict[type, str] = {list: "a list", dict: "a mapping", str: "text"}


def _misfit(detail: str) -> PydanticCustomError:
    # A ValueError would be kept with its traceback, two kilobytes for each of what may be many thousands.
    return PydanticCustomError("misfit", "{detail}", {"detail": detail})


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise _misfit(f"text is expected, not {_KINDS.get(type(value), 'this')}")
    return value


def _filled(value: str) -> str:
    if not value:
        raise _misfit("blank; leave it out or fill it")
    return value


def _word(value: object) -> str:
    return _filled(text.word(_text(value)))


def _flag(value: object) -> bool:
    if _word(value) not in ("true", "false"):
        raise _misfit(f"{text.shown(_word(value))} is neither true nor false")
    return _word(value) == "true"


def _days(value: object) -> int:
    if not _DAYS.fullmatch(_word(value)):
        raise _misfit(f"{text.shown(_word(value))} is not a whole number")
    return int(_word(value))


def _instant(value: object) -> datetime:
    try:
        found = datetime.fromisoformat(_word(value))
        return found.astimezone(UTC) if found.tzinfo else found
    except (ValueError, OverflowError):
        raise _misfit(
            f"{text.shown(_word(value))} is not a time in ISO 8601, such as 2026-01-31T18:00:00Z"
        ) from None


def _addresses(value: object) -> object:
    if isinstance(value, str):
        if text.word(value) != ANY:
            raise _misfit("a list is expected, or the single word ANY")
        return [ANY]
    return value


def _object(value: object) -> object:
    return {"name": value} if isinstance(value, str) else value


Word = Annotated[str, BeforeValidator(_word)]
Upper = BeforeValidator(lambda value: _word(value).upper())
Name = Annotated[str, BeforeValidator(lambda value: _word(value).lower())]
Prose = Annotated[str, BeforeValidator(lambda value: _filled(text.prose(_text(value))))]
Flag = Annotated[bool, BeforeValidator(_flag)]


class Section(BaseModel):
    """The base of all parts."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class MetadataSection(Section):
    requestor: Word
    project_name: Prose
    business_line: Prose
    strategy: Annotated[Literal["NEW", "UPDATE"], Upper]
    description: Prose | None = None
    start_at: Annotated[datetime, BeforeValidator(_instant)] | None = None


class RecipientEntry(Section):
    name: Name
    type: Annotated[RecipientType, Upper]
    email: Word | None = None
    metastore_id: Word | None = None
    allowed_ips: Annotated[list[Word], BeforeValidator(_addresses)] | None = None
    comment: Prose | None = None
    token_expiry_days: Annotated[int, BeforeValidator(_days)] | None = None


class PartitionValueEntry(Section):
    name: Word
    op: Annotated[Literal["EQUAL", "LIKE"], Upper]
    value: Prose | None = None
    recipient_property_key: Word | None = None


class PartitionEntry(Section):
    values: list[PartitionValueEntry]


class ObjectEntry(Section):
    name: Name
    type: Annotated[ObjectType, Upper] | None = None
    shared_as: Name | None = None
    partitions: list[PartitionEntry] | None = None
    history: Flag | None = None
    cdf: Flag | None = None


class ShareEntry(Section):
    name: Name
    comment: Prose | None = None
    recipients: list[Name] = []
    data_objects: list[Annotated[ObjectEntry, BeforeValidator(_object)]] = []
    remove_recipients: list[Name] = []
    remove_data_objects: list[Name] = []


class PipelineEntry(Section):
    name: Name
    type: Annotated[Literal["JOB", "PIPELINE"], Upper]
    schedule: Word | None = None
    source: Prose
    destination: Prose | None = None
    comment: Prose | None = None


class Document(Section):
    """A whole file. The sections are called in the singular, as they have always been."""

    metadata: MetadataSection
    recipient: list[RecipientEntry] = []
    share: list[ShareEntry] = []
    pipeline: list[PipelineEntry] = []


ENTRIES: dict[str, type[Section]] = {
    "recipient": RecipientEntry,
    "share": ShareEntry,
    "pipeline": PipelineEntry,
}
_PARTS: dict[str, type[Section]] = {"metadata": MetadataSection, **ENTRIES, "data_objects": ObjectEntry}
# Faultless, so that only what the author wrote is found wanting.
_STAND_IN = {"requestor": "-@example.org", "project_name": "-", "business_line": "-", "strategy": "UPDATE"}


@dataclass(frozen=True, slots=True)
class Draft:
    """A pack as far as its form holds; `tree` is what it was made of, `lost` the names of entries left out."""

    pack: model.SharePack
    tree: Node
    faults: tuple[tuple[Path, str], ...] = ()
    lost: frozenset[str] = frozenset()


def draft(tree: Fields) -> Draft:
    """The pack, without what does not fit; `faults` (path, detail) tell of all that."""
    try:
        return Draft(_pack(Document.model_validate(plain(tree))), tree)
    except ValidationError as error:
        found = error.errors(include_url=False, include_input=False)
    faults = tuple((_path(each["loc"]), _explained(each)) for each in found)
    cuts = {_cut(path) for path, _ in faults}
    kept = prune(tree, cuts)
    assert isinstance(kept, Fields)
    rest = plain(kept)
    rest["metadata"] = {**_STAND_IN, **rest.get("metadata", {})}
    return Draft(_pack(Document.model_validate(rest)), kept, faults, _lost(tree, cuts))


def _path(location: Iterable[str | int]) -> Path:
    return tuple(location)


def _cut(path: Path) -> Path:
    """The smallest part whose absence leaves the rest well formed."""
    entry = ENTRIES.get(str(path[0])) if path else None
    if entry is None or len(path) < 3:
        return path[:2]
    field = entry.model_fields.get(str(path[2]))
    if field is not None and field.is_required():
        return path[:2]
    return path[:4] if path[0] == "share" else path[:3]


def _lost(tree: Fields, cuts: Iterable[Path]) -> frozenset[str]:
    """Names of entries that were cut, so that nothing is said to be missing which is only broken."""
    names = set()
    for cut in cuts:
        entry: Node | None = tree.items.get(str(cut[0]))
        if len(cut) == 2 and isinstance(entry, Items) and isinstance(cut[1], int):
            entry = entry.items[cut[1]]
        name = entry.items.get("name") if len(cut) <= 2 and isinstance(entry, Fields) else None
        if isinstance(name, Leaf):
            names.add(text.word(name.text).lower())
    return frozenset(names)


def _explained(error: Any) -> str:
    """A fault in words for the author, the field's name first."""
    path: Path = error["loc"]
    name = next((str(step) for step in reversed(path) if isinstance(step, str)), "the pack")
    kind, context = error["type"], error.get("ctx", {})
    if kind == "extra_forbidden":
        return f"{text.shown(name)}: {_unknown(path)}"
    told = _TOLD[kind].format(**context) if kind in _TOLD else error["msg"]
    return f"{name}: {told}"


_TOLD = {
    "missing": "required",
    "literal_error": "one of {expected} is expected",
    "enum": "one of {expected} is expected",
    "list_type": "a list is expected",
    "model_type": "a mapping of fields is expected",
}


def _unknown(path: Path) -> str:
    owners = [str(step) for step in path[:-1] if isinstance(step, str)]
    part = _PARTS.get(owners[-1]) if owners else Document
    if part is None:
        return "no field of this part"
    close = get_close_matches(str(path[-1]), part.model_fields, n=1)
    hint = f"did you mean {close[0]}?" if close else f"there are {', '.join(part.model_fields)}"
    return f"no {'field' if owners else 'section'} of {owners[-1] if owners else 'a share pack'}; {hint}"


def _pack(document: Document) -> model.SharePack:
    return model.SharePack(
        model.Metadata(**dict(document.metadata)),
        tuple(_recipient(entry) for entry in document.recipient),
        tuple(_share(entry) for entry in document.share),
        tuple(model.Pipeline(**dict(entry)) for entry in document.pipeline),
    )


def _recipient(entry: RecipientEntry) -> model.Recipient:
    listed = entry.allowed_ips
    addresses: AllowedIps = None if listed is None else tuple(listed)
    if listed == [ANY]:
        addresses = ANY_ADDRESS
    return model.Recipient(**{**dict(entry), "allowed_ips": addresses})


def _share(entry: ShareEntry) -> model.Share:
    return model.Share(
        entry.name,
        entry.comment,
        tuple(entry.recipients),
        tuple(_data_object(each) for each in entry.data_objects),
        tuple(entry.remove_recipients),
        tuple(entry.remove_data_objects),
    )


def _data_object(entry: ObjectEntry) -> model.DataObject:
    partitions = entry.partitions
    return model.DataObject(
        entry.name,
        entry.type,
        entry.shared_as,
        None if partitions is None else tuple(_partition(each) for each in partitions),
        entry.history,
        entry.cdf,
    )


def _partition(entry: PartitionEntry) -> model.Partition:
    return model.Partition(tuple(model.PartitionValue(**dict(each)) for each in entry.values))
