"""Which fields a batch of canonical rows sends to a table shaped like the target."""

import polars as pl

from shared.adapters.postgres.copy_format import Bytes, Field
from shared.adapters.postgres.statements import (
    BRIDGE_TYPES,
    DATA,
    KEY,
    REFERENCE_TEXT,
    ROWVERSION,
    UID,
    Statements,
)
from shared.sync.model import KEY_HASH, REFERENCE, ROW_HASH, VERSION

BRIDGE_FRAME = {KEY: KEY_HASH, DATA: ROW_HASH, ROWVERSION: VERSION, REFERENCE_TEXT: REFERENCE}


def target_fields(statements: Statements, rows: pl.DataFrame, uids: Bytes | None) -> list[Field]:
    """A batch's mapped and bridge columns, ready to send; new rows bring their uids."""
    columns = statements.config.target_columns
    fields = [Field(c.name, rows[f"t{i}"], c.type) for i, c in enumerate(columns)]
    fields += [Field(name, rows[frame], BRIDGE_TYPES[name]) for name, frame in BRIDGE_FRAME.items()]
    return fields if uids is None else [*fields, Field(UID, uids, BRIDGE_TYPES[UID])]
