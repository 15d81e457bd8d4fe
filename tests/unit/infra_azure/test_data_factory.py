"""Every reference of the Data Factory leads somewhere, and every expression means something."""

import json
from dataclasses import replace
from typing import Any

import pytest

from tests.unit.infra_azure.expressions import ExpressionError, expressions, rendered
from tests.unit.infra_azure.factory import FOLDER, KINDS, Document, factory, files
from tests.unit.infra_azure.syntax import INFRA


def changed(kind: str, name: str, old: str, new: str) -> list[str]:
    """What is wrong once a text of a document has been replaced."""
    document = factory().documents[kind][name]
    text = json.dumps(document.properties)
    assert old in text
    properties = json.loads(text.replace(old, new))
    return factory().replacing(replace(document, properties=properties)).problems()


def test_everything_fits_together() -> None:
    assert factory().problems() == []


@pytest.mark.parametrize(
    ("kind", "name", "old", "new", "said"),
    [
        ("trigger", "DailyDataSyncTrigger", "UserDataSyncPipeline", "Gone", "no pipeline Gone"),
        ("trigger", "MidnightBackupTrigger", '{"at"', '{"when"', "has no parameter when"),
        ("trigger", "MidnightBackupTrigger", '{"at"', '{"when"', "needs at"),
        ("trigger", "MidnightBackupTrigger", "trigger().", "pipeline().", "nothing that the trigger knows"),
        ("pipeline", "BulkCopyPipeline", "SourceSqlServerTable", "Gone", "no dataset Gone"),
        ("pipeline", "DailyBackupPipeline", '"folder": ""', '"path": ""', "has no parameter path"),
        ("pipeline", "DailyBackupPipeline", "item().schema", "items().schema", "no function known"),
        ("pipeline", "HourlyReportingPipeline", "parameters.hours", "parameters.days", "no parameter days"),
        ("pipeline", "HourlyReportingPipeline", "parameters.hours", "parameters.until", "never uses"),
        ("pipeline", "HourlyReportingPipeline", "activity('ReadStats')", "activity('Gone')", "run after Gone"),
        ("pipeline", "HourlyReportingPipeline", '"activity": "ReadStats"', '"activity": "No"', "not beside it"),
        (
            "pipeline", "HourlyReportingPipeline", '"activity": "ReadStats"', '"activity": "StoreStats"',
            "wait for each other",
        ),
        ("pipeline", "HourlyReportingPipeline", '"CopyHourlyRuns"', '"ReadStats"', "two activities ReadStats"),
        ("dataset", "ParquetFile", "dataset().file", "dataset().name", "no parameter name"),
        ("dataset", "SourcePostgreSqlTable", "SourcePostgreSqlLinkedService", "Gone", "no linkedService Gone"),
        ("linkedService", "SourceSqlServerLinkedService", "KeyVaultLinkedService", "Gone", "linkedService Gone"),
        ("linkedService", "SourceSqlServerLinkedService", "().secretName", "().secret", "no parameter secret"),
    ],
)  # fmt: skip
def test_what_leads_nowhere_is_found(kind: str, name: str, old: str, new: str, said: str) -> None:
    assert any(said in each for each in changed(kind, name, old, new))


@pytest.mark.parametrize(
    "text", ["@add(1)", "@{concat('a'", "@pipeline", "@utcNowish()", "@add(1, 2) 3", "@add(1,, 2)", "@if(true, 1, 2"]
)  # fmt: skip
def test_expression_that_the_service_would_refuse_is_refused(text: str) -> None:
    with pytest.raises(ExpressionError):
        expressions(text)


def test_secrets_are_read_from_the_vault_and_nowhere_written() -> None:
    for document in factory().documents["linkedService"].values():
        properties = document.properties["typeProperties"]
        assert not {"connectionString", "accountKey", "sasUri", "functionKey", "servicePrincipalKey"} & set(
            properties
        )
        for name in ("password",):
            assert properties.get(name, {"type": "AzureKeyVaultSecret"})["type"] == "AzureKeyVaultSecret"
    assert "SecureString" not in "".join(path.read_text() for kind in KINDS for path in files(kind))


def test_own_stores_are_signed_in_to_by_the_identity() -> None:
    services = factory().documents["linkedService"]
    for name in ("PostgreSqlLinkedService", "AzureSqlLinkedService"):
        assert (
            services[name].properties["typeProperties"]["authenticationType"]
            == "SystemAssignedManagedIdentity"
        )
    assert services["FunctionAppLinkedService"].properties["typeProperties"]["authentication"] == "MSI"


def test_every_document_is_deployed() -> None:
    module = (INFRA / "modules/data-factory.bicep").read_text()
    for kind in KINDS:
        for path in files(kind):
            assert f"../data_factory/{kind}/{path.name}'" in module


def texts(node: Any) -> list[str]:
    if isinstance(node, dict):
        node = list(node.values())
    if isinstance(node, list):
        return [text for each in node for text in texts(each)]
    return [node] if isinstance(node, str) else []


def test_no_text_would_be_taken_for_an_expression_of_the_template() -> None:
    """In a template a text in square brackets is a formula unless it is escaped; ours needs no escaping to be right."""
    loaded = [path for kind in KINDS for path in files(kind)] + sorted((INFRA / "monitoring").glob("*.json"))
    found = {text for path in loaded for text in texts(json.loads(path.read_text()))}
    assert not [text for text in found if text.startswith("[") and text.endswith("]")]


def test_triggers_come_when_they_should() -> None:
    def schedule(name: str) -> dict[str, Any]:
        return factory().documents["trigger"][name].properties["typeProperties"]["recurrence"]

    assert schedule("DailyDataSyncTrigger")["schedule"] == {"hours": [2], "minutes": [0]}
    assert schedule("MidnightBackupTrigger")["schedule"] == {"hours": [0], "minutes": [0]}
    assert schedule("HourlyReportingTrigger")["frequency"] == "Hour"
    event = factory().documents["trigger"]["SubmissionArrivedTrigger"].properties["typeProperties"]
    assert event["events"] == ["Microsoft.Storage.BlobCreated"]
    assert event["blobPathBeginsWith"] == "/__SUBMISSIONS_CONTAINER__/blobs/"


def run_of(name: str, **given: Any) -> dict[str, Any]:
    """What a pipeline's expressions may read when it is started with these parameters."""
    parameters = factory().documents["pipeline"][name].parameters
    defaults = {each: said["defaultValue"] for each, said in parameters.items() if "defaultValue" in said}
    return {"pipeline": {"parameters": defaults | given}}


def submissions_copy() -> tuple[str, dict[str, Any]]:
    """The condition of UserDataSyncPipeline and its copy."""
    (guard,) = factory().documents["pipeline"]["UserDataSyncPipeline"].properties["activities"]
    (copy,) = guard["typeProperties"]["ifTrueActivities"]
    return guard["typeProperties"]["expression"]["value"], copy["typeProperties"]


@pytest.mark.parametrize(
    ("folder", "wildcard"),
    [("*/*/*/*", "*/*/*/*"), ("submissions/expenses/2026/11/21", "expenses/2026/11/21")],
)
def test_event_names_the_folder_with_its_container_and_the_copy_without(folder: str, wildcard: str) -> None:
    settings = submissions_copy()[1]["source"]["storeSettings"]
    run = run_of("UserDataSyncPipeline", folderPath=folder)
    assert rendered(settings["wildcardFolderPath"]["value"], run) == wildcard


@pytest.mark.parametrize(
    ("folder", "copied"), [("submissions/_keys/expenses", False), ("submissions/expenses/2026/11/21", True)]
)
def test_records_of_idempotency_are_no_submissions(folder: str, copied: bool) -> None:
    assert rendered(submissions_copy()[0], run_of("UserDataSyncPipeline", folderPath=folder)) is copied


def test_submissions_are_read_whole_whatever_they_hold() -> None:
    format_ = factory().documents["dataset"]["SubmissionFiles"].properties["typeProperties"]
    delimiters = {format_["columnDelimiter"], format_["rowDelimiter"]}
    assert all(mark < " " for mark in delimiters), "JSON texts hold no raw control characters but blanks"
    assert not delimiters & set("\t\r\n")
    assert format_["quoteChar"] == format_["escapeChar"] == ""
    assert not format_["firstRowAsHeader"]


def test_backups_are_kept_by_day_and_table() -> None:
    loop, move = factory().documents["pipeline"]["DailyBackupPipeline"].properties["activities"]
    target = loop["typeProperties"]["activities"][0]["outputs"][0]["parameters"]
    names = run_of("DailyBackupPipeline", at="2026-11-21T00:00:00+00:00") | {
        "item": {"schema": "bridge", "table": "runs"}
    }
    assert rendered(target["folder"]["value"], names) == "backup/2026/11/21"
    assert rendered(target["file"]["value"], names) == "bridge.runs.parquet"
    until = move["typeProperties"]["source"]["storeSettings"]["modifiedDatetimeEnd"]["value"]
    assert rendered(until, names) == "2026-10-22T00:00:00Z"


def test_copies_of_tables_name_them_as_identifiers() -> None:
    """A name with a quote in it would end the identifier: these names come from people who may start pipelines."""
    for name in ("BulkCopyPipeline", "DailyBackupPipeline"):
        text = json.dumps(factory().documents["pipeline"][name].properties)
        assert "TABLE @{" not in text
        assert "FROM @{" not in text


def test_bulk_copies_land_where_the_factory_may_write() -> None:
    parameters = factory().documents["pipeline"]["BulkCopyPipeline"].parameters
    assert parameters["targetSchema"]["defaultValue"] == "landing"
    assert "IN SCHEMA landing" in (FOLDER / "sql/access_postgres.sql").read_text()


def test_factory_may_read_what_it_reads() -> None:
    granted = (FOLDER / "sql/access_postgres.sql").read_text()
    tables = factory().documents["pipeline"]["DailyBackupPipeline"].parameters["tables"]["defaultValue"]
    for table in ("sync_slices", *(each["table"] for each in tables)):
        assert f"bridge.{table}" in granted


def test_name_of_a_document_is_its_files() -> None:
    for kind in KINDS:
        assert {path.stem for path in files(kind)} == set(factory().documents[kind])
        assert all(isinstance(each, Document) for each in factory().documents[kind].values())
