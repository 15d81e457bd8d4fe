"""What a connector says of its tables: one item of its `/api/v1/apis`, as sources give it and discovery takes it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from shared.sync.model import VersionSpec

Pagination = Literal["keyset", "page"]


@dataclass(frozen=True, slots=True)
class ApiColumn:
    """A column in the connector's words; rows carry it under `member`. `format` holds its column rules as sent."""

    name: str
    data_type: str
    output_alias: str | None = None
    is_nullable: bool = True
    is_business_key: bool = False
    format: Mapping[str, object] | None = None

    @property
    def member(self) -> str:
        """The column's name in a row's data."""
        return self.output_alias or self.name


@dataclass(frozen=True, slots=True)
class ApiParent:
    """`columns` of this table refer to `parent_columns` of the table `slug`."""

    columns: tuple[str, ...]
    slug: str
    parent_columns: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ApiDescription:
    """One table as the connector offers it; None where it says nothing.

    `delta_strategy` and `dialect` may hold words we don't know: discovery decides what becomes of them.
    `sample_versions` are row versions of some rows, filled only where a strategy needs them to be judged.
    """

    slug: str
    name: str
    columns: tuple[ApiColumn, ...]
    business_key_columns: tuple[str, ...] = ()
    delta_strategy: str = "hash"
    version: VersionSpec | None = None
    description: str | None = None
    parents: tuple[ApiParent, ...] = ()
    pagination: Pagination | None = None
    page_size_max: int | None = None
    dialect: str = "oracle"
    ordered_by_rowversion: bool = False
    sample_versions: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()  # for the entity's warnings
