"""The corpora as data, and the whole value pipeline over literal JSON: what the corpus tests share."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import polars as pl

from shared.sync import coerce, dates, identity, mapping, numbers, text
from shared.sync.catalogue import stored_type
from shared.sync.decode import decode_page, join_pages
from shared.sync.model import Batch, Expression, RunConfig, SourceColumn, TargetColumn
from shared.sync.rules import parse_rules
from shared.sync.types import column_type

HERE = Path(__file__).parent


@dataclass(frozen=True)
class Case:
    """One value: the column it stands in, its JSON, and either the exact result or the reject's code."""

    why: str
    type: str
    json: str
    dialect: str = "oracle"
    rules: dict[str, Any] = field(default_factory=dict)
    key: bool = False
    result: str | None = None
    codes: tuple[str, ...] = ()

    @property
    def id(self) -> str:
        return f"{self.type} {json.dumps(self.rules)} {self.why}"


def load_values() -> list[Case]:
    """Every case of values.jsonl."""
    lines = (HERE / "values.jsonl").read_text("ascii").splitlines()
    return [_case(json.loads(line)) for line in lines]


def _case(raw: dict[str, Any]) -> Case:
    codes = tuple(raw.pop("code").split("|")) if "code" in raw else ()
    raw["json"] = _unrolled(raw["json"])
    return Case(**{k: v for k, v in raw.items() if k != "is"}, result=_unrolled(raw.get("is")), codes=codes)


def _unrolled(text_or_runs: Any) -> Any:
    if isinstance(text_or_runs, list):
        return "".join(piece * times for piece, times in text_or_runs)
    return text_or_runs


def source(case: Case, name: str) -> SourceColumn:
    """The column a case stands in, typed as discovery would."""
    rules = parse_rules(case.rules)
    declared, _ = column_type(case.type, case.dialect)  # type: ignore[arg-type]
    return SourceColumn(name, case.type, stored_type(declared, rules), True, rules)


ID = SourceColumn("id", "NUMBER(18)", column_type("NUMBER(18)", "oracle")[0])


def config(columns: Sequence[SourceColumn], *, key: str = "id", dialect: str = "oracle") -> RunConfig:
    """A run over these columns, all renamed to themselves."""
    targets = tuple(
        TargetColumn(c.name, c.type, c.name == key, c.name != key, Expression("rename", (c.name,)))
        for c in columns
    )
    return RunConfig(
        "e", "corpus", "hash", dialect, tuple(columns), targets,  # type: ignore[arg-type]
        "public", "corpus", None, "keyset", False, 1000, 0, 10.0, 2,
    )  # fmt: skip


def run_rows(rows: Sequence[str], run: RunConfig) -> Batch:
    """Rows given as the JSON of their `data`, through decoding and every value stage."""
    body = '{"rows":[' + ",".join(f'{{"oracle_keys":{{}},"data":{row}}}' for row in rows) + "]}"
    batch = join_pages([decode_page(body.encode("utf-8", "surrogatepass"), run)])
    for stage in (coerce.apply, text.apply, numbers.apply, dates.apply, mapping.apply, identity.apply):
        batch = stage(batch, run)
    return batch


def shown(batch: Batch, run: RunConfig, column: str) -> pl.Series:
    """A target column as readable text."""
    position = [c.name for c in run.target_columns].index(column)
    return mapping.readable(batch.rows[f"t{position}"], run.target_columns[position].type.kind)
