"""Copies for people and dashboards in Azure Tables: finished runs and heartbeats. Never truth, never in the way."""

import json
import logging
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from shared.telemetry import log

_TICKS_TO_UNIX = 621_355_968_000_000_000
_MAX_TICKS = 3_155_378_975_999_999_999
_MAX_TEXT = 32_000  # UTF-16 units; a property holds 64 KiB
_MAX_KEY = 500  # UTF-16 units; a key holds 1 KiB
_FORBIDDEN = str.maketrans(
    dict.fromkeys("/\\#?%+\t\n\r", "_") | {chr(c): "_" for c in [*range(0x20), *range(0x7F, 0xA0)]}
)


@dataclass(frozen=True, slots=True)
class LogEntry:
    """One finished run, as it is copied."""

    tenant: str
    entity: str
    run_uid: str
    completed_at: datetime
    fields: dict[str, Any]


def partition_key(entry: LogEntry) -> str:
    """`tenant|entity|yyyymm`, with what Table Storage forbids in keys replaced, and cut to its kilobyte."""
    return _cut(f"{entry.tenant}|{entry.entity}|{entry.completed_at:%Y%m}".translate(_FORBIDDEN), _MAX_KEY)


def row_key(entry: LogEntry) -> str:
    """Inverted ticks, so that the newest comes first, and the run's uid."""
    elapsed = entry.completed_at.astimezone(UTC) - datetime(1970, 1, 1, tzinfo=UTC)
    ticks = (
        _TICKS_TO_UNIX + (elapsed.days * 86_400 + elapsed.seconds) * 10_000_000 + elapsed.microseconds * 10
    )
    return f"{_MAX_TICKS - ticks:019d}_{entry.run_uid}"


class TableLog:
    """The tables `executionlog` and `heartbeats`. Every method swallows storage trouble after logging it once."""

    def __init__(self, account: str, credential: Any = None) -> None:
        self._account, self._credential = account, credential
        self._service: Any = None

    def write(self, entry: LogEntry) -> bool:
        """Copy a finished run; false when the copy could not be written."""
        fields = {name: _property(value) for name, value in entry.fields.items() if value is not None}
        return self._upsert(
            "executionlog", {"PartitionKey": partition_key(entry), "RowKey": row_key(entry)} | fields
        )

    def beat(self, function: str, at: datetime) -> bool:
        """Say that a function ran."""
        return self._upsert("heartbeats", {"PartitionKey": "function", "RowKey": function, "At": at})

    def beats(self) -> dict[str, datetime] | None:
        """When each function last said that it ran; None where storage does not answer."""
        from azure.core.exceptions import AzureError, ResourceNotFoundError

        try:
            rows = self._tables().get_table_client("heartbeats").query_entities("PartitionKey eq 'function'")
            return {row["RowKey"]: row["At"] for row in rows if isinstance(row.get("At"), datetime)}
        except ResourceNotFoundError:
            return {}
        except (AzureError, ValueError, TypeError) as error:
            log(
                "table_log_unavailable", level=logging.WARNING, table="heartbeats", error=type(error).__name__
            )
            return None

    def close(self) -> None:
        """Close the connection, if one was made."""
        if self._service is not None:
            self._service.close()
            self._service = None

    def _upsert(self, table: str, row: dict[str, Any]) -> bool:
        from azure.core.exceptions import AzureError, ResourceNotFoundError

        try:
            client = self._tables().get_table_client(table)
            try:
                client.upsert_entity(row)
            except ResourceNotFoundError:
                self._tables().create_table_if_not_exists(table)
                client.upsert_entity(row)
        except (AzureError, ValueError, TypeError) as error:
            log("table_log_unavailable", level=logging.WARNING, table=table, error=type(error).__name__)
            return False
        return True

    def _tables(self) -> Any:
        if self._service is None:
            from azure.data.tables import TableServiceClient

            options: dict[str, Any] = {"retry_total": 0, "connection_timeout": 3, "read_timeout": 5}
            if self._credential is None:
                self._service = TableServiceClient.from_connection_string(self._account, **options)
            else:
                self._service = TableServiceClient(self._account, credential=self._credential, **options)
        return self._service


def _property(value: object) -> object:
    if isinstance(value, bool | datetime | str):
        return _cut(value, _MAX_TEXT) if isinstance(value, str) else value
    if isinstance(value, int):
        from azure.data.tables import EdmType, EntityProperty

        # Above 31 bits the SDK wants to be told; always saying so keeps a column of one type.
        return EntityProperty(value, EdmType.INT64)
    return json.dumps(value, default=str)[:_MAX_TEXT]


def _cut(text: str, units: int) -> str:
    """The text's beginning, counted as Azure counts it: a character beyond U+FFFF takes two units, lone halves go."""
    return text.encode("utf-16-le", "ignore")[: 2 * units].decode("utf-16-le", "ignore")
