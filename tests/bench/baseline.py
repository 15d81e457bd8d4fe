"""The ratio's denominator: a bare binary COPY of rows that the product itself wrote, into an identical table."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import psycopg
from psycopg import sql

from shared.sync.feed import CHUNK_ROWS
from tests.bench.rig import Rig

TABLE = ("public", "bench_copy")


class Baseline:
    """Rows exported once from a loaded target, copied back as often as asked, committed as often as the product."""

    def __init__(self, rig: Rig, target: str) -> None:
        self._rig, self._target = rig, sql.Identifier("public", target)
        self._folder = rig.directory / "copy"
        self._folder.mkdir(exist_ok=True)
        self.rounds: list[Mapping[str, Any]] = []

    def run(self, rows: int) -> Mapping[str, Any]:
        """What a COPY of the first `rows` rows cost."""
        files = [self._file(start, min(start + CHUNK_ROWS, rows)) for start in range(0, rows, CHUNK_ROWS)]
        self._fresh_table()
        self._rig.execute("CHECKPOINT")
        answer = self._rig.work("copy", dsn=self._rig.postgres.dsn, table=TABLE, files=files)
        count = self._rig.execute(sql.SQL("SELECT count(*) AS n FROM {}").format(sql.Identifier(*TABLE)))
        if count[0]["n"] != rows:
            raise RuntimeError(f"the baseline copied {count[0]['n']} rows instead of {rows}")
        if rows == self._rig.rows:
            self.rounds.append(answer)
        self._rig.execute(sql.SQL("DROP TABLE {}").format(sql.Identifier(*TABLE)))
        return answer

    def describe(self) -> list[str]:
        """The table's indexes and storage parameters, as PostgreSQL spells them."""
        self._fresh_table()
        found = self._rig.execute("SELECT indexdef AS text FROM pg_indexes WHERE tablename = %s", TABLE[1])
        options = self._rig.execute("SELECT reloptions FROM pg_class WHERE oid = 'bench_copy'::regclass")
        return [
            *(row["text"] for row in found),
            f"storage parameters: {', '.join(options[0]['reloptions'] or [])}",
        ]

    def _fresh_table(self) -> None:
        table = sql.Identifier(*TABLE)
        self._rig.execute(sql.SQL("DROP TABLE IF EXISTS {}").format(table))
        self._rig.execute(sql.SQL("CREATE TABLE {} (LIKE {} INCLUDING ALL)").format(table, self._target))
        # LIKE leaves storage parameters out.
        options = self._rig.execute(
            "SELECT unnest(reloptions) AS o FROM pg_class WHERE oid = %s::regclass", self._name()
        )
        for row in options:
            name, _, value = row["o"].partition("=")
            self._rig.execute(
                sql.SQL("ALTER TABLE {} SET ({} = {})").format(
                    table, sql.Identifier(name), sql.Literal(value)
                )
            )

    def _name(self) -> str:
        return self._target.as_string(None)

    def _file(self, start: int, stop: int) -> Path:
        path = self._folder / f"{start}-{stop}.bin"
        if not path.exists():
            chosen = sql.SQL("COPY (SELECT * FROM {} WHERE id >= {} AND id < {} ORDER BY id) TO STDOUT (FORMAT BINARY)").format(
                self._target, sql.Literal(start), sql.Literal(stop))  # fmt: skip
            with (
                psycopg.connect(self._rig.postgres.dsn) as connection,
                connection.cursor() as cursor,
                cursor.copy(chosen) as stream,
                path.open("wb") as file,
            ):
                for piece in stream:
                    file.write(piece)
        return path
