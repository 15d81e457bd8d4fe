"""The sample ERP: the connector protocol over HTTP, before five real tables or a test's own."""

from infra.local.sample_erp.erp import SampleErp
from infra.local.sample_erp.protocol import Behaviour
from infra.local.sample_erp.schema import ColumnSpec, ParentSpec, TableSpec, parse_columns
from infra.local.sample_erp.values import Json

__all__ = ["Behaviour", "ColumnSpec", "Json", "ParentSpec", "SampleErp", "TableSpec", "parse_columns"]
