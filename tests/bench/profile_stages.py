"""CPU seconds of the value stages for a million 12-column rows in chunks of 50,000, stage by stage.

Run: python -m tests.bench.profile_stages [chunks]
"""

import random
import sys
import time
from collections.abc import Callable

import polars as pl

from shared.sync import coerce, dates, identity, mapping, numbers, text
from shared.sync.model import (
    ROW,
    VERSION,
    Batch,
    Expression,
    Rules,
    RunConfig,
    SourceColumn,
    TargetColumn,
    no_rejects,
)
from shared.sync.types import column_type

ROWS = 50_000
WORDS = ("alpha", "beta", "gamma", "delta", "epsilon", "zeta", "eta", "theta")
COLUMNS = (
    ("id", "NUMBER(12)", Rules()),
    ("code", "VARCHAR2(20)", Rules()),
    ("name", "VARCHAR2(60)", Rules()),
    ("descr", "VARCHAR2(200)", Rules()),
    ("region", "VARCHAR2(20)", Rules()),
    ("status", "VARCHAR2(20)", Rules()),
    ("price", "NUMBER(12,2)", Rules()),
    ("amount", "NUMBER(18,4)", Rules()),
    ("flag", "BOOLEAN", Rules()),
    ("created", "TIMESTAMP", Rules()),
    ("day", "TIMESTAMP", Rules(formats=("%d.%m.%Y",))),
    ("qty", "NUMBER(9)", Rules()),
)


def config() -> RunConfig:
    """Twelve columns keyed by `id`."""
    sources = tuple(SourceColumn(n, t, column_type(t, "oracle")[0], True, r) for n, t, r in COLUMNS)
    targets = tuple(
        TargetColumn(s.name, s.type, s.name == "id", s.name != "id", Expression("rename", (s.name,)))
        for s in sources
    )
    return RunConfig(
        "e",
        "bench",
        "hash",
        "oracle",
        sources,
        targets,
        "public",
        "bench",
        None,
        "keyset",
        False,
        1000,
        0,
        10.0,
        2,
    )


def raw() -> pl.DataFrame:
    """One chunk as decoding leaves it: decimals are JSON numbers with their raw text."""
    pick, n = random.Random(1), range(ROWS)
    number = pl.Series([2] * ROWS, dtype=pl.UInt8).alias("kind")

    def decimals(whole: int, scale: int) -> pl.Series:
        texts = [f"{pick.randint(0, whole)}.{pick.randint(0, 10**scale - 1):0{scale}d}" for _ in n]
        return pl.DataFrame([pl.Series("text", texts), number]).to_struct()

    values = [
        pl.Series(list(n)),
        pl.Series([f"C{i:08d}" for i in n]),
        pl.Series([" ".join(pick.choices(WORDS, k=3)) for _ in n]),
        pl.Series([" ".join(pick.choices(WORDS, k=6)) for _ in n]),
        pl.Series(pick.choices(WORDS, k=ROWS)),
        pl.Series(pick.choices(WORDS, k=ROWS)),
        decimals(99_999, 2),
        decimals(9_999_999, 4),
        pl.Series(pick.choices("YN", k=ROWS)),
        pl.Series(
            [
                f"2024-{pick.randint(1, 12):02}-{pick.randint(1, 28):02}T{pick.randint(0, 23):02}:{pick.randint(0, 59):02}:07"
                for _ in n
            ]
        ),
        pl.Series([f"{pick.randint(1, 28):02}.{pick.randint(1, 12):02}.2023" for _ in n]),
        pl.Series([pick.randint(0, 100_000) for _ in n]),
    ]
    meta = [pl.Series(ROW, list(n), dtype=pl.UInt32), pl.Series(VERSION, [str(i) for i in n])]
    return pl.DataFrame([*meta, *(series.alias(f"c{i}") for i, series in enumerate(values))])


def main(chunks: int) -> None:
    """Prints CPU seconds for `chunks` times 50,000 rows."""
    run, first = config(), Batch(raw(), no_rejects())
    stages: list[tuple[str, Callable[[Batch, RunConfig], Batch]]] = [
        (m.__name__.rpartition(".")[2], m.apply) for m in (coerce, text, numbers, dates, mapping, identity)
    ]
    spent = dict.fromkeys((name for name, _ in stages), 0.0)
    wall = time.perf_counter()
    for _ in range(chunks):
        batch = first
        for name, apply in stages:
            began = time.process_time()
            batch = apply(batch, run)
            spent[name] += time.process_time() - began
    wall = time.perf_counter() - wall
    for name, seconds in spent.items():
        print(f"{name:10s} {seconds:6.3f} s")
    print(
        f"{'total':10s} {sum(spent.values()):6.3f} s CPU, {wall:.3f} s wall, {chunks * ROWS:,} rows, {batch.rejects.height} rejects"
    )


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 20)
