"""Packs as values, and all packs that a person could write: for tests of rules, formats and what is stored."""

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from hypothesis import strategies as st

from shared.sharing.model import (
    ANY_ADDRESS,
    DataObject,
    Metadata,
    ObjectType,
    Partition,
    PartitionValue,
    Pipeline,
    Recipient,
    RecipientType,
    Share,
    SharePack,
)
from shared.sharing.text import prose, unseen, word

OPEN = Recipient(
    "auditor",
    RecipientType.D2O,
    email="auditor@example.net",
    allowed_ips=("203.0.113.0/24",),
    token_expiry_days=30,
)
CLOSED = Recipient("analyst", RecipientType.D2D, metastore_id="azure:westeurope:1b2c")
SHARE = Share("finance", recipients=("auditor", "analyst"), data_objects=(DataObject("c.s.t"),))
PIPELINE = Pipeline("nightly", "JOB", "/Shared/nightly", schedule="0 0 2 * * ?")
METADATA = Metadata("requestor@example.org", "Finance", "Corporate Finance", "NEW")
PACK = SharePack(METADATA, (OPEN, CLOSED), (SHARE,), (PIPELINE,))


def with_metadata(**changes: Any) -> SharePack:
    return replace(PACK, metadata=replace(METADATA, **changes))


def with_open(**changes: Any) -> SharePack:
    return replace(PACK, recipients=(replace(OPEN, **changes), CLOSED))


def with_closed(**changes: Any) -> SharePack:
    return replace(PACK, recipients=(OPEN, replace(CLOSED, **changes)))


def with_share(strategy: str = "NEW", **changes: Any) -> SharePack:
    made = replace(METADATA, strategy=strategy)
    return replace(PACK, metadata=made, shares=(replace(SHARE, **changes),))


def with_object(name: str = "c.s.t", **changes: Any) -> SharePack:
    return with_share(data_objects=(DataObject(name, **changes),))


def with_pipeline(**changes: Any) -> SharePack:
    return replace(PACK, pipelines=(replace(PIPELINE, **changes),))


def _texts(longest: int) -> st.SearchStrategy[str]:
    """What people write: any script, commas, brackets, what looks like a formula, a number or YAML's other words."""
    odd = st.sampled_from(
        [
            "=1+1",
            "null",
            "~",
            "no",
            "1.10",
            "0123",
            "[x]",
            "a, b",
            "- a",
            "{a: b}",
            "_x000D_",
            "#REF!",
            "a: b",
            "'",
            "<<",
        ]
    )
    free = st.text(
        st.characters(codec="utf-8", exclude_categories=("Cs", "Co", "Cn", "Cc", "Zl", "Zp")),
        max_size=longest,
    )
    lines = st.lists(free | odd, min_size=1, max_size=3).map("\n".join)
    return (odd | free | lines).map(prose).filter(lambda text: text and word(text) and not unseen(text))


def _made(kind: type[Any], **fields: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    # Not st.builds: its account of a failure this deep takes minutes to write.
    return st.fixed_dictionaries(fields).map(lambda values: kind(**values))


def _tuples(each: st.SearchStrategy[Any], most: int, **more: Any) -> st.SearchStrategy[tuple[Any, ...]]:
    return st.lists(each, max_size=most, **more).map(tuple)


_names = st.from_regex(r"[a-z0-9_-]{1,12}", fullmatch=True)
_dotted = st.lists(_names, min_size=2, max_size=3).map(".".join)
_prose = _texts(40)
_words = st.from_regex(r"[A-Za-z0-9_.@-]{1,20}", fullmatch=True)
_flags = st.none() | st.booleans()
_partitions = _tuples(
    _made(
        Partition,
        values=_tuples(
            _made(
                PartitionValue,
                name=_words,
                op=st.sampled_from(["EQUAL", "LIKE"]),
                value=st.none() | _prose,
                recipient_property_key=st.none() | _words,
            ),
            2,
        ),
    ),
    2,
)
_objects = _made(
    DataObject,
    name=_dotted,
    type=st.none() | st.sampled_from(ObjectType),
    shared_as=st.none() | _dotted,
    partitions=st.none() | _partitions,
    history=_flags,
    cdf=_flags,
)
_addresses = st.lists(st.ip_addresses(v=4).map(str), min_size=1, max_size=5).map(tuple)
_recipients = _made(
    Recipient,
    name=_names,
    type=st.sampled_from(RecipientType),
    email=st.none() | _words,
    metastore_id=st.none() | _words,
    allowed_ips=st.none() | st.just(ANY_ADDRESS) | _addresses,
    comment=st.none() | _prose,
    token_expiry_days=st.none() | st.integers(0, 99_999),
)
_shares = _made(
    Share,
    name=_names,
    comment=st.none() | _prose,
    recipients=_tuples(_names, 3, unique=True),
    data_objects=_tuples(_objects, 4),
    remove_recipients=_tuples(_names, 3, unique=True),
    remove_data_objects=_tuples(_dotted, 2, unique=True),
)
_pipelines = _made(
    Pipeline,
    name=_names,
    type=st.sampled_from(["JOB", "PIPELINE"]),
    source=_prose,
    destination=st.none() | _prose,
    schedule=st.none() | _words,
    comment=st.none() | _prose,
)
_metadata = _made(
    Metadata,
    requestor=_words,
    project_name=_prose,
    business_line=_prose,
    strategy=st.sampled_from(["NEW", "UPDATE"]),
    description=st.none() | _prose,
    start_at=st.none() | st.datetimes(datetime(1980, 1, 1), datetime(2200, 1, 1), timezones=st.just(UTC)),
)
packs = _made(
    SharePack,
    metadata=_metadata,
    recipients=_tuples(_recipients, 3),
    shares=_tuples(_shares, 3, unique_by=lambda share: share.name),
    pipelines=_tuples(_pipelines, 2),
)
"""Well-formed packs; most break a rule."""
