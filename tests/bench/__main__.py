"""`python -m tests.bench [--rows N] [--only name,...] [--nightly]`; ROWS sets the default of --rows.

Prints progress while it runs, and at its end one JSON object a line.
"""

import argparse
import os
import sys
from collections.abc import Sequence

from tests.bench.cases import CASES, MEDIUM_ROWS, Bench, source_tables
from tests.bench.lines import Line, Measured, line
from tests.bench.rig import Rig


def main(arguments: Sequence[str]) -> int:
    """Run the cases; 0 whatever the figures say, 1 when a case could not be measured."""
    asked = _parse(arguments)
    lines, failed = _measure(asked.rows, asked.only)
    if asked.nightly:
        lines.append(_tenfold(asked.rows))
    for each in lines:
        print(each.to_json(), flush=True)
    if failed:
        print(f"not measured: {', '.join(failed)}; the reasons stand above", file=sys.stderr)
    return 1 if failed else 0


def _parse(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m tests.bench", description=(__doc__ or "").splitlines()[0]
    )
    parser.add_argument("--rows", type=int, default=int(os.environ.get("ROWS") or 1_000_000))
    parser.add_argument("--only", type=_names, default=tuple(CASES), help=f"of {', '.join(CASES)}")
    parser.add_argument("--nightly", action="store_true", default=bool(os.environ.get("NIGHTLY")))
    asked = parser.parse_args(arguments)
    if asked.rows < MEDIUM_ROWS:
        parser.error(
            f"--rows {asked.rows}: at least {MEDIUM_ROWS}, which medium_100k takes its baseline from"
        )
    return asked


def _names(text: str) -> tuple[str, ...]:
    chosen = tuple(name.strip() for name in text.split(","))
    unknown = [name for name in chosen if name not in CASES]
    if unknown:
        raise argparse.ArgumentTypeError(
            f"no case is called {', '.join(unknown)}; there are {', '.join(CASES)}"
        )
    return chosen


def _measure(rows: int, chosen: Sequence[str]) -> tuple[list[Line], list[str]]:
    rig = Rig(rows, source_tables(rows))
    bench = Bench(rig)
    lines: list[Line] = []
    failed: list[str] = []
    try:
        rig.say(f"{rows} rows of 12 columns; rendering them at the source {rig.source_url}")
        for name, case in CASES.items():
            if name in chosen:
                try:
                    lines += list(case(bench))
                except RuntimeError as error:
                    # One figure that could not be had must not cost the others.
                    rig.say(f"{name}: not measured: {error}")
                    failed.append(name)
        copies = (
            [Measured(answer) for answer in vars(bench)["baseline"].rounds]
            if "baseline" in vars(bench)
            else []
        )
    finally:
        rig.close()
    first = [line("copy_baseline", rows, [Measured(c.answer, c.answer) for c in copies])] if copies else []
    return [*first, *lines], failed


def _tenfold(rows: int) -> Line:
    """The worker's memory for ten times the rows."""
    table = {"slug": "tenfold", "strategy": "hash", "rows": 10 * rows}
    rig = Rig(10 * rows, [table])
    try:
        rig.say(f"peak memory for {10 * rows} rows")
        answer = Bench(rig).sync("tenfold", 10 * rows, inserted=10 * rows)
    finally:
        rig.close()
    return line("peak_memory_tenfold", 10 * rows, [Measured(answer)])


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
