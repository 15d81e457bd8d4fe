"""What a pack may say: each rule broken by itself, with the path of what breaks it."""

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from shared.sharing.model import (
    ANY_ADDRESS,
    DataObject,
    Finding,
    ObjectType,
    Partition,
    PartitionValue,
    Pipeline,
    Place,
    Recipient,
    RecipientType,
    Share,
    SharePack,
)
from shared.sharing.rules import Path, check
from tests.unit.sharing.packs import (
    CLOSED,
    OPEN,
    PACK,
    PIPELINE,
    SHARE,
    with_closed,
    with_metadata,
    with_object,
    with_open,
    with_pipeline,
    with_share,
)

SPY = Recipient("spy", RecipientType.D2D, metastore_id=CLOSED.metastore_id)


def found(pack: SharePack, known: tuple[str, ...] = ()) -> list[tuple[str, Path, str]]:
    """Severity, path and detail of each finding."""
    paths: list[Path] = []

    def remember(path: Path) -> Place:
        paths.append(path)
        return Place(line=len(paths))

    findings = check(pack, known=known, place_of=remember)
    return [(each.severity, path, each.detail) for each, path in zip(findings, paths, strict=True)]


def condition(**fields: str | None) -> SharePack:
    values = (PartitionValue("region", "EQUAL", **fields),)
    return with_object(partitions=(Partition(values),))


def objects(*wanted: DataObject) -> SharePack:
    return with_share(data_objects=wanted)


def test_a_good_pack_has_no_finding() -> None:
    assert found(PACK) == []


IN_SHARE: Path = ("share", 0)
FIRST: Path = ("share", 0, "data_objects", 0)
SECOND: Path = ("share", 0, "data_objects", 1)
OPEN_IPS: Path = ("recipient", 0, "allowed_ips")
ERRORS: dict[str, tuple[SharePack, Path, str]] = {
    "nothing in it": (SharePack(PACK.metadata), (), "names no recipient, no share and no pipeline"),
    "requestor without a domain": (with_metadata(requestor="me"), ("metadata", "requestor"), "e-mail"),
    "requestor with a look-alike": (with_metadata(requestor="m\u0435@example.org"), ("metadata", "requestor"), "CYRILLIC"),
    "long project name": (with_metadata(project_name="x" * 256), ("metadata", "project_name"), "at most 255"),
    "hidden text": (with_metadata(description="a\u200bb"), ("metadata", "description"), "ZERO WIDTH SPACE"),
    "control character": (with_metadata(business_line="a\x1bb"), ("metadata", "business_line"), "U+001B"),
    "start without a zone": (with_metadata(start_at=datetime(2026, 1, 1)), ("metadata", "start_at"), "time zone"),
    "start in the year 9999": (
        with_metadata(start_at=datetime(9999, 1, 1, tzinfo=UTC)), ("metadata", "start_at"), "year 9999"
    ),
    "recipient twice": (replace(PACK, recipients=(OPEN, CLOSED, OPEN)), ("recipient", 2, "name"), "twice"),
    "share twice": (replace(PACK, shares=(SHARE, SHARE)), ("share", 1, "name"), "twice"),
    "pipeline twice": (replace(PACK, pipelines=(PIPELINE, PIPELINE)), ("pipeline", 1, "name"), "twice"),
    "1,001 shares": (
        replace(PACK, shares=tuple(replace(SHARE, name=f"s{n}") for n in range(1001))), ("share",), "1,001 shares"
    ),
    "5,001 recipients": (
        replace(PACK, recipients=(CLOSED, *(replace(OPEN, name="auditor" if not n else f"r{n}") for n in range(5000)))),
        ("recipient",), "5,001 recipients",
    ),
    "metastore twice": (
        replace(PACK, recipients=(OPEN, CLOSED, SPY), shares=(replace(SHARE, recipients=("auditor", "analyst", "spy")),)),
        ("recipient", 2, "metastore_id"), "'analyst' stands for this metastore",
    ),
    "empty name": (replace(PACK, pipelines=(replace(PIPELINE, name=""),)), ("pipeline", 0, "name"), "1 to 255"),
    "long name": (with_share(name="x" * 256), (*IN_SHARE, "name"), "1 to 255"),
    "name with a slash": (with_share(name="../catalogs/x"), (*IN_SHARE, "name"), "is no name"),
    "name with a dot": (with_share(name="a.b"), (*IN_SHARE, "name"), "is no name"),
    "name with a line break": (with_share(name="a\n"), (*IN_SHARE, "name"), "is no name"),
    "name with a look-alike": (with_share(name="\u0455hare"), (*IN_SHARE, "name"), "CYRILLIC SMALL LETTER DZE"),
    "name with another digit": (with_share(name="share\u0661"), (*IN_SHARE, "name"), "ARABIC-INDIC DIGIT ONE"),
    "long comment": (with_share(comment="x" * 4097), (*IN_SHARE, "comment"), "at most 4,096"),
    "open recipient without mail": (with_open(email=None), ("recipient", 0, "email"), "needs one"),
    "bad mail": (with_open(email="a b@example.org"), ("recipient", 0, "email"), "e-mail"),
    "mail with two dots": (with_open(email="a@example..org"), ("recipient", 0, "email"), "e-mail"),
    "open recipient with metastore": (with_open(metastore_id="a:b:c"), ("recipient", 0, "metastore_id"), "D2D"),
    "expiry of 0 days": (with_open(token_expiry_days=0), ("recipient", 0, "token_expiry_days"), "1-365"),
    "expiry of 366 days": (with_open(token_expiry_days=366), ("recipient", 0, "token_expiry_days"), "1-365"),
    "databricks recipient without metastore": (
        with_closed(metastore_id=None), ("recipient", 1, "metastore_id"), "needs one"
    ),
    "metastore of two parts": (with_closed(metastore_id="azure:1b2c"), ("recipient", 1, "metastore_id"), "cloud:region"),
    "metastore with a blank part": (with_closed(metastore_id="a::c"), ("recipient", 1, "metastore_id"), "cloud:region"),
    "databricks recipient with expiry": (
        with_closed(token_expiry_days=9), ("recipient", 1, "token_expiry_days"), "no token"
    ),
    "databricks recipient with addresses": (
        with_closed(allowed_ips=("10.0.0.1",)), ("recipient", 1, "allowed_ips"), "none for D2D"
    ),
    "databricks recipient from anywhere": (
        with_closed(allowed_ips=ANY_ADDRESS), ("recipient", 1, "allowed_ips"), "none for D2D"
    ),
    "empty address list": (with_open(allowed_ips=()), OPEN_IPS, "empty list"),
    "101 addresses": (with_open(allowed_ips=tuple(f"10.0.0.{n}" for n in range(101))), OPEN_IPS, "at most 100"),
    "IPv6": (with_open(allowed_ips=("2001:db8::/32",)), (*OPEN_IPS, 0), "IPv6"),
    "address out of range": (with_open(allowed_ips=("10.0.0.256",)), (*OPEN_IPS, 0), "no IPv4"),
    "address with leading zeros": (with_open(allowed_ips=("10.0.0.010",)), (*OPEN_IPS, 0), "no IPv4"),
    "address in Arabic digits": (with_open(allowed_ips=("10.0.0.\u0661",)), (*OPEN_IPS, 0), "no IPv4"),
    "netmask": (with_open(allowed_ips=("10.0.0.0/255.0.0.0",)), (*OPEN_IPS, 0), "no IPv4"),
    "prefix of 33": (with_open(allowed_ips=("10.0.0.0/33",)), (*OPEN_IPS, 0), "no IPv4"),
    "host name": (with_open(allowed_ips=("example.org",)), (*OPEN_IPS, 0), "no IPv4"),
    "ANY among others": (with_open(allowed_ips=("10.0.0.1", "ANY")), (*OPEN_IPS, 1), "ANY, alone"),
    "every address": (with_open(allowed_ips=("0.0.0.0/0",)), (*OPEN_IPS, 0), "every address"),
    "network of another address": (with_open(allowed_ips=("10.0.0.9/24",)), (*OPEN_IPS, 0), "10.0.0.0/24"),
    "address twice": (with_open(allowed_ips=("10.0.0.1", "10.0.0.1")), (*OPEN_IPS, 1), "twice"),
    "unknown recipient": (
        with_share(recipients=("auditor", "analyst", "ghost")), (*IN_SHARE, "recipients", 2), "'ghost' is no recipient"
    ),
    "recipient twice in a share": (
        with_share(recipients=("auditor", "analyst", "auditor")), (*IN_SHARE, "recipients", 2), "twice"
    ),
    "bad recipient name": (with_share(recipients=("auditor", "analyst", "a/b")), (*IN_SHARE, "recipients", 2), "no name"),
    "removed recipient in NEW": (
        with_share(remove_recipients=("old",)), (*IN_SHARE, "remove_recipients"), "only in a pack with strategy UPDATE"
    ),
    "removed object in NEW": (
        with_share(remove_data_objects=("c.s.old",)), (*IN_SHARE, "remove_data_objects"), "strategy UPDATE"
    ),
    "recipient both ways": (
        with_share("UPDATE", remove_recipients=("auditor",)), (*IN_SHARE, "remove_recipients", 0), "in recipients, too"
    ),
    "object both ways": (
        with_share("UPDATE", remove_data_objects=("c.s.t",)), (*IN_SHARE, "remove_data_objects", 0), "in data_objects"
    ),
    "bad name to remove": (
        with_share("UPDATE", remove_recipients=("..",)), (*IN_SHARE, "remove_recipients", 0), "is no name"
    ),
    "bad object to remove": (
        with_share("UPDATE", remove_data_objects=("c.s.t.x",)), (*IN_SHARE, "remove_data_objects", 0), "does not name"
    ),
    "object of one part": (with_object("t"), (*FIRST, "name"), "catalog.schema or catalog.schema.name"),
    "object of four parts": (with_object("a.b.c.d"), (*FIRST, "name"), "does not name"),
    "object with a blank part": (with_object("a..c"), (*FIRST, "name"), "does not name"),
    "object with a slash": (with_object("c.s.../x"), (*FIRST, "name"), "does not name"),
    "table of two parts": (with_object("c.s", type=ObjectType.TABLE), (*FIRST, "name"), "does not name a TABLE"),
    "schema of three parts": (with_object("c.s.t", type=ObjectType.SCHEMA), (*FIRST, "name"), "does not name a SCHEMA"),
    "alias of one part": (with_object(shared_as="t"), (*FIRST, "shared_as"), "schema.name"),
    "alias of three parts": (with_object(shared_as="c.s.t"), (*FIRST, "shared_as"), "schema.name"),
    "alias with a hyphen": (with_object(shared_as="s.my-t"), (*FIRST, "shared_as"), "letters, digits and _"),
    "volume alias of three parts": (
        with_object(type=ObjectType.VOLUME, shared_as="a.b.c"), (*FIRST, "shared_as"), "name or schema.name"
    ),
    "history and cdf": (with_object(history=True, cdf=True), (*FIRST, "cdf"), "refuses both"),
    "cdf without history": (with_object(history=False, cdf=True), (*FIRST, "cdf"), "refuses both"),
    "history of a volume": (with_object(type=ObjectType.VOLUME, history=True), (*FIRST, "history"), "VOLUME has none"),
    "cdf of a model": (with_object(type=ObjectType.MODEL, cdf=True), (*FIRST, "cdf"), "MODEL has none"),
    "partition of a view": (
        with_object(type=ObjectType.VIEW, partitions=(Partition((PartitionValue("r", "EQUAL", "x"),)),)),
        (*FIRST, "partitions"), "only tables",
    ),
    "partition of a schema": (
        with_object("c.s", partitions=(Partition((PartitionValue("r", "EQUAL", "x"),)),)),
        (*FIRST, "partitions"), "only tables",
    ),
    "partition without condition": (
        with_object(partitions=(Partition(()),)), (*FIRST, "partitions", 0, "values"), "shares everything"
    ),
    "value and property": (
        condition(value="x", recipient_property_key="k"), (*FIRST, "partitions", 0, "values", 0), "exactly one"
    ),
    "neither value nor property": (condition(), (*FIRST, "partitions", 0, "values", 0), "exactly one"),
    "object twice": (objects(DataObject("c.s.t"), DataObject("c.s.t")), SECOND, "stands twice"),
    "object twice under an alias": (
        objects(DataObject("c.s.t", shared_as="a.b"), DataObject("c.s.t", shared_as="a.b")), SECOND, "stands twice"
    ),
    "object twice, once by its own alias": (
        objects(DataObject("c.s.t"), DataObject("c.s.t", shared_as="s.t")), SECOND, "stands twice"
    ),
    "two objects, one alias": (
        objects(DataObject("c.s.t", shared_as="a.b"), DataObject("c.s.u", shared_as="a.b")), SECOND, "'a.b', as is 'c.s.t'"
    ),
    "two catalogs, one schema and name": (objects(DataObject("c.s.t"), DataObject("d.s.t")), SECOND, "'s.t', as is"),
    "1,001 tables": (
        with_share(data_objects=tuple(DataObject(f"c.s.t{n}") for n in range(1001))), (*IN_SHARE, "data_objects"), "1,001"
    ),
    "501 schemas": (
        with_share(data_objects=tuple(DataObject(f"c.s{n}") for n in range(501))), (*IN_SHARE, "data_objects"), "501"
    ),
    "source out of its folder": (with_pipeline(source="/a/../b"), ("pipeline", 0, "source"), ".."),
    "pipeline without a target": (
        with_pipeline(type="PIPELINE"), ("pipeline", 0, "destination"), "needs its target"
    ),
    "pipeline with half a target": (
        with_pipeline(type="PIPELINE", destination="catalog"), ("pipeline", 0, "destination"), "does not name a SCHEMA"
    ),
    "unix cron": (with_pipeline(schedule="0 2 * * *"), ("pipeline", 0, "schedule"), "5 fields"),
}  # fmt: skip


@pytest.mark.parametrize(("pack", "path", "reason"), ERRORS.values(), ids=ERRORS.keys())
def test_is_the_one_error(pack: SharePack, path: Path, reason: str) -> None:
    errors = [(at, detail) for severity, at, detail in found(pack) if severity == "error"]
    assert [at for at, _ in errors] == [path], errors
    assert reason in errors[0][1]


WARNINGS: dict[str, tuple[SharePack, Path, str]] = {
    "open to every address": (with_open(allowed_ips=ANY_ADDRESS), OPEN_IPS, "from every address"),
    "no list in NEW": (with_open(allowed_ips=None), ("recipient", 0), "without a list"),
    "no expiry in NEW": (with_open(token_expiry_days=None), ("recipient", 0), "token_expiry_days"),
    "mail of a databricks recipient": (with_closed(email="a@example.org"), ("recipient", 1, "email"), "not used"),
    "nobody reads the share": (
        replace(PACK, shares=(SHARE, Share("b", data_objects=(DataObject("c.s.t"),)))), ("share", 1), "nobody reads"
    ),
    "the share holds nothing": (with_share(data_objects=()), IN_SHARE, "holds nothing"),
    "a recipient reads nothing": (with_share(recipients=("auditor",)), ("recipient", 1), "reads no share"),
    "table of a shared schema": (objects(DataObject("c.s"), DataObject("c.s.t")), SECOND, "as a whole already"),
    "notebook": (with_object("book", type=ObjectType.NOTEBOOK_FILE), (*FIRST, "name"), "notebook's content"),
    "relative source": (with_pipeline(source="jobs/nightly"), ("pipeline", 0, "source"), "workspace's root"),
}  # fmt: skip


@pytest.mark.parametrize(("pack", "path", "reason"), WARNINGS.values(), ids=WARNINGS.keys())
def test_is_the_one_warning(pack: SharePack, path: Path, reason: str) -> None:
    [(severity, at, detail)] = found(pack)
    assert (severity, at) == ("warning", path)
    assert reason in detail


GOOD = {
    "longest name": with_share(name="x" * 255),
    "comment in any script": with_share(comment="Отчёт для аудиторов 👩‍💻\nвторая строка"),
    "start with a zone": with_metadata(start_at=datetime(2026, 1, 31, 18, tzinfo=UTC)),
    "a year of token": with_open(token_expiry_days=365),
    "100 addresses": with_open(allowed_ips=tuple(f"10.0.0.{n}" for n in range(100))),
    "removals in UPDATE": with_share("UPDATE", remove_recipients=("old",), remove_data_objects=("c.s.old", "c.old")),
    "one table under two aliases": objects(DataObject("c.s.t"), DataObject("c.s.t", shared_as="s.u")),
    "volume beside a table": objects(DataObject("c.s.t"), DataObject("d.s.t", ObjectType.VOLUME)),
    "history alone": with_object(history=True),
    "cdf alone": with_object(cdf=True),
    "history of a schema": with_object("c.s", history=True),
    "condition by property": condition(recipient_property_key="region"),
    "1,000 tables": with_share(data_objects=tuple(DataObject(f"c.s.t{n}") for n in range(1000))),
    "pipeline with its target": with_pipeline(type="PIPELINE", destination="c.s"),
    "unscheduled": with_pipeline(schedule=None),
    "same name for a job and a pipeline": replace(
        PACK, pipelines=(PIPELINE, Pipeline("nightly", "PIPELINE", "/a", destination="c.s"))
    ),
    "nothing said in UPDATE": SharePack(
        with_share("UPDATE").metadata, (replace(OPEN, allowed_ips=None, token_expiry_days=None),), (Share("s"),)
    ),
}  # fmt: skip


@pytest.mark.parametrize("pack", GOOD.values(), ids=GOOD.keys())
def test_is_fine(pack: SharePack) -> None:
    assert found(pack) == []


def test_recipients_managed_already_may_be_named() -> None:
    assert found(with_share(recipients=("auditor", "analyst", "ghost")), known=("ghost",)) == []


def test_every_fault_is_told_at_once() -> None:
    pack = replace(
        with_open(email=None, token_expiry_days=0), pipelines=(replace(PIPELINE, schedule="x", name="/"),)
    )
    assert len(found(pack)) == 4


def test_findings_have_no_place_where_nobody_knows_it() -> None:
    assert check(with_open(email=None)) == [Finding("error", "email: a D2O recipient needs one")]
