"""Where a first load's CPU goes: one slice with every step in turn, so that each second belongs to one step.

Run: python -m tests.bench.profile_load [--rows N]. The product overlaps fetching, stages and commits in three
threads; here they run one after the other, hence the total is the worker's CPU and not its wall time.
"""

import argparse
import json
import os
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Generator
from concurrent.futures import Future
from typing import Any
from uuid import UUID

from tests.bench.meter import metered, peak_rss_mb

SPENT: dict[str, list[float]] = defaultdict(lambda: [0.0, 0.0, 0.0])
_open: list[list[float]] = []


def timed(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
    """The function, its own CPU and wall seconds added to `name`, without those of timed functions inside it."""

    def run(*arguments: Any, **named: Any) -> Any:
        inner = [0.0, 0.0]
        _open.append(inner)
        cpu, wall = time.process_time(), time.perf_counter()
        try:
            return function(*arguments, **named)
        finally:
            _open.pop()
            cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
            entry = SPENT[name]
            entry[0], entry[1], entry[2] = entry[0] + cpu - inner[0], entry[1] + wall - inner[1], entry[2] + 1
            if _open:
                _open[-1][0], _open[-1][1] = _open[-1][0] + cpu, _open[-1][1] + wall

    return run


class _InTurn:
    """An executor that runs at once, so that nothing overlaps."""

    def __init__(self, *_: object, **__: object) -> None:
        return

    def submit(self, function: Callable[..., Any], *arguments: Any) -> "Future[Any]":
        """Done when it returns."""
        future: Future[Any] = Future()
        future.set_result(function(*arguments))
        return future

    def shutdown(self, **_: object) -> None:
        """Nothing runs."""


def _in_turn(chunks: Generator[Any, None, None]) -> Generator[Any, None, None]:
    yield from chunks


def instrument() -> None:
    """Time the steps of a slice and take the overlap out."""
    from shared.adapters.http_source import HttpSource
    from shared.adapters.postgres import copy_format, slices, target
    from shared.sync import coerce, dates, feed, fetch, identity, mapping, numbers, run, stages, text

    _replace(feed, "ThreadPoolExecutor", _InTurn)
    _replace(feed, "ahead", _in_turn)
    for number, stage in enumerate((coerce, text, numbers, dates, mapping, identity), 3):
        _time(stage, "apply", f"{number} {stage.__name__.rpartition('.')[2]}")
    for owner, name, step in (
        (slices.Slices, "claim", "0 claim"),
        (slices.Slices, "end", "12 end of the run"),
        (target.PostgresTarget, "build_indexes", "11 build indexes (wall: PostgreSQL builds them)"),
        (HttpSource, "probe", "1 fetch: probe"),
        (HttpSource, "fetch_page", "1 fetch: HTTP body"),
        (feed, "decode_page", "2 decode: page to frame"),
        (stages, "join_pages", "2 decode: join pages"),
        (fetch, "page_facts", "2 fetch: facts and proof"),
        (fetch, "with_keys", "2 fetch: facts and proof"),
        (stages.Stages, "versions", "2 fetch: facts and proof"),
        (stages.Stages, "prepare", "9 delta: settle, versions, the rest of prepare"),
        (target, "target_fields", "10 load: fields"),
        (copy_format, "encode", "10 load: encode, columns to wire form"),
        (copy_format, "_assemble", "10 load: encode, wire form to stream"),
        (target, "send", "10 load: send (wall: PostgreSQL writes rows)"),
        (target, "hold_fence", "10 load: fence"),
        (run, "load", "10 load: rest of the transaction"),
    ):
        _time(owner, name, step)
    _replace(target.PostgresTarget, "chunk", _timed_commit(target.PostgresTarget.chunk))


def _time(owner: Any, name: str, step: str) -> None:
    _replace(owner, name, timed(step, getattr(owner, name)))


def _replace(owner: Any, name: str, by: object) -> None:
    # A process of its own that measures and nothing else: the product has no switch for this.
    setattr(owner, name, by)


def _timed_commit(chunk: Callable[..., Any]) -> Callable[..., Any]:
    """The chunk's context manager with its entry and its commit timed."""

    class _Timed:
        def __init__(self, *arguments: Any) -> None:
            self._inner = chunk(*arguments)

        def __enter__(self) -> Any:
            return timed("10 load: begin", self._inner.__enter__)()

        def __exit__(self, *raised: Any) -> Any:
            return timed("10 load: commit (wall: waits for fsync)", self._inner.__exit__)(*raised)

    def bound(target: Any, claim: Any) -> _Timed:
        return _Timed(target, claim)

    return bound


def slice_in_turn(asked: dict[str, Any]) -> dict[str, Any]:
    """Run one first load; the steps' seconds."""
    from shared.settings import load_settings
    from tests.bench.app import BenchApp

    app = BenchApp(load_settings())
    instrument()
    run = app.start_run(UUID(asked["entity"]))
    app.send_outbox()
    with metered() as spent:
        timed("13 everything else", app.drain)()
    return {"run": str(run.run_uid), "steps": SPENT, "peak_rss_mb": peak_rss_mb()} | spent.as_dict()


def _number(step: tuple[str, object]) -> int:
    return int(step[0].partition(" ")[0])


def main(rows: int) -> None:
    """Start what is needed, profile one load, print the table."""
    from tests.bench.rig import Rig

    tables = [{"slug": f"profiled_{n}", "strategy": "hash", "rows": rows} for n in (1, 2)]
    rig = Rig(rows, tables)
    try:
        rig.say(f"{rows} rows, rendered at {rig.source_url}; a first load to warm up, then the profiled one")
        rig.work("sync", entity=rig.entity("profiled_1"))
        answer = rig.work_in("tests.bench.profile_load", "--slice", entity=rig.entity("profiled_2"))
    finally:
        rig.close()
    total = sum(step[0] for step in answer["steps"].values())
    for name, (cpu, wall, calls) in sorted(answer["steps"].items(), key=_number):
        print(f"{name:50s} {cpu:7.3f} s CPU {100 * cpu / total:5.1f} % {wall:8.3f} s wall {calls:7.0f} calls")
    print(
        f"{'total':50s} {total:7.3f} s CPU         {answer['seconds']:8.3f} s wall, {answer['peak_rss_mb']:.0f} MB"
    )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m tests.bench.profile_load")
    parser.add_argument("--rows", type=int, default=int(os.environ.get("ROWS") or 1_000_000))
    parser.add_argument("--slice", help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if chosen.slice:
        print(json.dumps(slice_in_turn(json.loads(chosen.slice))), file=sys.stdout)
    else:
        main(chosen.rows)
