"""The benchmark's cases: each prepares what it needs, runs its rounds and gives its lines."""

import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from functools import cached_property
from statistics import median
from typing import Any

from tests.bench.baseline import Baseline
from tests.bench.deferred import hold_indexes, indexes, may_defer
from tests.bench.lines import Line, Measured, line
from tests.bench.rig import REPOSITORY, Rig
from tests.bench.rows import CHANGED_EVERY, changed_ids

ROUNDS = 3
TICK_TABLES, TICK_CHANGED, TICK_ROWS = 1000, 10, 1000
DELTA_ROWS = MEDIUM_ROWS = WAITING_ROWS = 100_000
PROBES_AT_ONCE, PROBE_S = 20, 0.05


def source_tables(rows: int) -> list[dict[str, object]]:
    """What the source must offer for all cases."""
    kinds: list[tuple[str, str, int]] = [
        ("versions", "rowversion", rows),
        ("hashed", "hash", rows),
        ("delta", "rowversion", DELTA_ROWS),
        ("parents", "hash", WAITING_ROWS),
        ("children", "hash", WAITING_ROWS),
    ]
    for number in range(1, ROUNDS + 1):
        kinds += [(f"load_{number}", "hash", rows), (f"deferred_{number}", "hash", rows), (f"full_{number}", "full", rows),
                  (f"small_{number}", "hash", 10_000), (f"medium_{number}", "hash", MEDIUM_ROWS)]  # fmt: skip
    tables: list[dict[str, object]] = [
        {"slug": slug, "strategy": strategy, "rows": count} for slug, strategy, count in kinds
    ]
    thousand: list[dict[str, object]] = [
        {"slug": tick_slug(n), "strategy": "hash", "rows": TICK_ROWS, "later": True}
        for n in range(TICK_TABLES)
    ]
    return [*tables, *thousand]


def tick_slug(number: int) -> str:
    """One of the thousand."""
    return f"tick_{number:04d}"


class Bench:
    """The cases' common ground: loaded tables, the baseline, and rounds alternated with it."""

    def __init__(self, rig: Rig) -> None:
        self.rig, self.rows = rig, rig.rows
        self._loaded: set[str] = set()

    @cached_property
    def baseline(self) -> Baseline:
        """Copies of the rows that the table `versions` was loaded with."""
        self.loaded("versions", self.rows)
        found = Baseline(self.rig, "versions")
        self.rig.say("baseline: binary COPY into an identical table, one commit per chunk of the product")
        for text in (self.rig.settings_text(), *found.describe()):
            self.rig.say(f"  {text}")
        return found

    def loaded(self, slug: str, rows: int) -> None:
        """Load a table once, outside the clock."""
        if slug not in self._loaded:
            self.rig.say(f"loading {slug}: {rows} rows (not measured)")
            self.sync(slug, rows, inserted=rows)
            self.rig.execute(f"VACUUM (ANALYZE) public.{slug}")
            self._loaded.add(slug)

    def sync(self, slug: str, fetched: int, **counts: int) -> Mapping[str, Any]:
        """One run of a table in a worker; RuntimeError unless it ended well with the counts expected."""
        entity = self.rig.entity(slug)
        self.rig.prepare(slug)
        self.rig.execute("CHECKPOINT")
        answer = self.rig.work("sync", entity=entity)
        return _checked(slug, answer, fetched=fetched, **counts)

    def rounds(self, name: str, copied: int, run: Callable[[int], Mapping[str, Any]]) -> list[Measured]:
        """Rounds of `run`, each after its own run of the baseline over `copied` rows."""
        done = []
        for number in range(1, ROUNDS + 1):
            measured = Measured(copy=self.baseline.run(copied), answer=run(number))
            done.append(measured)
            self._tell(name, number, measured)
        return done

    def _tell(self, name: str, number: int, measured: Measured) -> None:
        against = (
            ""
            if measured.copy is None
            else f", copy {measured.copy['seconds']:.2f} s, ratio {measured.ratio:.2f}"
        )
        answer = measured.answer
        self.rig.say(
            f"{name} {number}/{ROUNDS}: {answer['seconds']:.2f} s, CPU {answer['cpu_seconds']:.2f} s{against}"
        )

    def unmatched(self, name: str, run: Callable[[int], Mapping[str, Any]]) -> list[Measured]:
        """Rounds that no COPY compares with."""
        done = []
        for number in range(1, ROUNDS + 1):
            done.append(Measured(run(number)))
            self._tell(name, number, done[-1])
        return done

    def first_loads(self, name: str, table: str, rows: int, *, deferred: bool | None = None) -> Line:
        """First loads of equal tables, each emptied afterwards; `deferred` None leaves the indexes to the product."""

        def run(number: int) -> Mapping[str, Any]:
            answer = self._first_load(f"{table}_{number}", rows, deferred)
            self.rig.execute(f"TRUNCATE public.{table}_{number}")
            return answer

        return line(name, rows, self.rounds(name, rows, run))

    def _first_load(self, slug: str, rows: int, deferred: bool | None) -> Mapping[str, Any]:
        if deferred is False:
            hold_indexes(self.rig, slug)
        self.rig.entity(slug)
        before = indexes(self.rig, slug)
        answer = self.sync(slug, rows, inserted=rows)
        rebuilt = indexes(self.rig, slug) != before
        if deferred is not None and rebuilt != deferred:
            raise RuntimeError(f"{slug}: its indexes were {'' if rebuilt else 'not '}built after the load")
        return answer

    def make_due(self, pattern: str) -> None:
        """Make these tables due now and all others never."""
        self.rig.execute(
            "UPDATE bridge.erp_sync_state t SET due_at = CASE WHEN e.slug LIKE %s THEN now() ELSE 'infinity' END"
            " FROM bridge.entities e WHERE e.uid = t.entity_uid", pattern)  # fmt: skip


def _checked(slug: str, answer: Mapping[str, Any], **counts: int) -> Mapping[str, Any]:
    run = answer["run"]
    wrong = {name: run[name] for name, count in counts.items() if run[name] != count}
    if wrong or run["status"] != "success":
        raise RuntimeError(
            f"{slug}: the run ended {run['status']} ({run['error']}) with {run}; expected {counts}"
        )
    return answer


def full_load(bench: Bench) -> Iterator[Line]:
    """An empty table with its indexes in place."""
    loaded = bench.first_loads("full_load", "load", bench.rows, deferred=False)
    yield loaded
    yield Line("peak_memory", bench.rows, loaded.seconds, peak_rss_mb=loaded.peak_rss_mb)


def full_load_deferred(bench: Bench) -> Iterator[Line]:
    """The same with indexes built by the load's last transaction."""
    if not may_defer(bench.rows):
        bench.rig.say(
            f"full_load_deferred: skipped, the product keeps the indexes of a table of {bench.rows} rows"
        )
        return
    yield bench.first_loads("full_load_deferred", "deferred", bench.rows, deferred=True)


def small_10k(bench: Bench) -> Iterator[Line]:
    """A table of one page."""
    yield bench.first_loads("small_10k", "small", 10_000)


def medium_100k(bench: Bench) -> Iterator[Line]:
    """A table of ten pages."""
    yield bench.first_loads("medium_100k", "medium", MEDIUM_ROWS)


def hash_resync_1pct(bench: Bench) -> Iterator[Line]:
    """A loaded table of which one row in a hundred changed."""
    yield _hash_resync(bench, "hash_resync_1pct", changed_ids(bench.rows).size)


def hash_resync_0pct(bench: Bench) -> Iterator[Line]:
    """A loaded table of which nothing changed."""
    yield _hash_resync(bench, "hash_resync_0pct", 0)


def _hash_resync(bench: Bench, name: str, updated: int) -> Line:
    bench.loaded("hashed", bench.rows)
    _settle(bench)

    def run(_: int) -> Mapping[str, Any]:
        if updated:
            bench.rig.next_edition()
        return bench.sync("hashed", bench.rows, updated=updated)

    done = bench.rounds(name, bench.rows, run)
    return line(name, bench.rows, done, **_blocks_read(bench, lambda: run(0)))


def _settle(bench: Bench) -> None:
    """Take over what earlier cases changed at the source."""
    entity = bench.rig.entity("hashed")
    bench.rig.work("sync", entity=entity)


def _blocks_read(bench: Bench, run: Callable[[], object]) -> dict[str, object]:
    """Blocks that PostgreSQL read from outside its buffers, when these hold a quarter of the table."""
    size = bench.rig.execute("SELECT pg_relation_size('public.hashed') AS bytes")[0]["bytes"]
    bench.rig.with_shared_buffers(f"{max(128, size // 4096)}kB")
    before = _statio(bench)
    run()
    after = _statio(bench)
    bench.rig.with_shared_buffers(None)
    per = {kind: round((after[kind] - before[kind]) * 10_000 / bench.rows, 1) for kind in after}
    found = {
        "blocks_read_per_10k_rows": per.pop("all"),
        "of_them": per,
        "table_blocks_per_10k_rows": round(size / 8192 * 10_000 / bench.rows, 1),
    }
    bench.rig.say(f"blocks read per 10,000 rows with a quarter of the table in buffers: {found}")
    return found


def _statio(bench: Bench) -> dict[str, int]:
    time.sleep(1)  # a backend's counts reach the statistics when it ends, a moment after its client
    counts = bench.rig.execute(
        "SELECT heap_blks_read AS heap, idx_blks_read AS indexes, heap_blks_read + idx_blks_read AS all,"
        " (SELECT sum(reads)::bigint FROM pg_stat_io WHERE context = 'bulkread') AS sequential_scans"
        " FROM pg_statio_all_tables WHERE relid = 'public.hashed'::regclass"
    )
    return counts[0]


def verify_unchanged(bench: Bench) -> Iterator[Line]:
    """A loaded table, its source unchanged: every row of both sides read and compared, none written."""
    bench.loaded("versions", bench.rows)

    def run(_: int) -> Mapping[str, Any]:
        entity = bench.rig.entity("versions")
        bench.rig.prepare("load_1")  # the first page of a whole walk, whichever table's
        bench.rig.execute("CHECKPOINT")
        answer = bench.rig.work("verify", entity=entity)
        if (answer["outcome"], answer["findings"].get("target_rows")) != ("equal", bench.rows):
            raise RuntimeError(
                f"versions: verified as {answer['outcome']} ({answer['why']}): {answer['findings']}"
            )
        return answer

    yield line("verify_unchanged", bench.rows, bench.rounds("verify_unchanged", bench.rows, run))


def rowversion_1pct(bench: Bench) -> Iterator[Line]:
    """A loaded table whose source gives one row in a hundred as newer than the watermark."""
    changed = changed_ids(bench.rows).size
    bench.loaded("versions", bench.rows)

    def run(_: int) -> Mapping[str, Any]:
        bench.rig.next_edition()
        entity = bench.rig.entity("versions")
        bench.rig.prepare("versions")
        bench.rig.execute("CHECKPOINT")
        return _checked("versions", bench.rig.work("sync", entity=entity), updated=changed)

    yield line(
        "rowversion_1pct", changed, bench.rounds("rowversion_1pct", bench.rows, run), copied_rows=bench.rows
    )


def full_publish(bench: Bench) -> Iterator[Line]:
    """A whole snapshot staged and published into an empty table."""
    yield bench.first_loads("full_publish", "full", bench.rows)


def tick_1000_tables(bench: Bench) -> Iterator[Line]:
    """A thousand due tables, each probe answered after 50 ms; ten changed and are synced."""
    _make_thousand(bench)
    version = 10_000_000_000

    def run(number: int) -> Mapping[str, Any]:
        bench.rig.next_edition()
        bench.rig.move_probes({tick_slug(n): version + number for n in range(TICK_CHANGED)})
        bench.rig.prepare(tick_slug(0))
        bench.make_due("tick\\_%")
        return _ticked(bench.rig.work("tick"), TICK_CHANGED)

    run(0)  # the ten tables' first loads
    done = bench.unmatched("tick_1000_tables", run)
    floor = TICK_TABLES / PROBES_AT_ONCE * PROBE_S
    syncs = median(d.answer["syncs_seconds"] for d in done)
    to_floor = median(d.answer["seconds"] for d in done) / floor
    yield line("tick_1000_tables", TICK_TABLES, done, floor_seconds=floor, ratio_to_floor=round(to_floor, 3),
               syncs_seconds=round(syncs, 3))  # fmt: skip


def idle_tick_cpu(bench: Bench) -> Iterator[Line]:
    """The CPU of a tick that finds nothing changed among a thousand tables, and of one with nothing due."""
    _make_thousand(bench)

    def run(_: int) -> Mapping[str, Any]:
        bench.make_due("tick\\_%")
        return _ticked(bench.rig.work("tick"), 0)

    idle = bench.unmatched("idle_tick_cpu", run)
    bench.make_due("none")
    nothing = bench.rig.work("tick")
    yield line("idle_tick_cpu", TICK_TABLES, idle, nothing_due_seconds=round(nothing["seconds"], 3),
               nothing_due_cpu_seconds=round(nothing["cpu_seconds"], 3))  # fmt: skip


def _ticked(answer: Mapping[str, Any], changed: int) -> Mapping[str, Any]:
    found = answer["outcomes"]
    if found.get("changed", 0) != changed or found.get("unchanged", 0) != TICK_TABLES - changed:
        raise RuntimeError(f"the tick over {TICK_TABLES} tables of which {changed} changed found {found}")
    return answer


def _make_thousand(bench: Bench) -> None:
    """Entities that look synced. Ten are discovered; the others, which never hold rows, are copies of the last."""
    slugs = [tick_slug(n) for n in range(TICK_TABLES)]
    bench.rig.entity("versions")  # the schema and the connector are made with the first entities
    found = bench.rig.execute("SELECT count(*) AS n FROM bridge.entities WHERE slug = ANY (%s)", slugs)
    if found[0]["n"] == TICK_TABLES:
        return
    bench.rig.discover(slugs[:TICK_CHANGED])
    for statement in _COPIES:
        bench.rig.execute(statement, slugs[TICK_CHANGED - 1], slugs[TICK_CHANGED:])
    bench.rig.move_probes(dict.fromkeys(slugs, 1_000_000_000))
    bench.rig.execute(
        "UPDATE bridge.erp_sync_state t SET last_sync_at = now(), last_sync_status = 'success',"
        " probe = jsonb_build_object('lower', NULL, 'max_rowversion', '1000000000', 'count', %s::int)"
        " FROM bridge.entities e WHERE e.uid = t.entity_uid AND e.slug = ANY (%s)", TICK_ROWS, slugs)  # fmt: skip


# Each takes the slug to copy and the slugs to make; columns that later migrations add are copied with the rest.
_COPIES = (
    (
        "INSERT INTO bridge.entities SELECT (jsonb_populate_record(e, jsonb_build_object('uid', gen_random_uuid(),"
        " 'slug', made.slug, 'target_table', made.slug))).* FROM bridge.entities e, (SELECT %s::text AS slug) known,"
        " unnest(%s::text[]) AS made(slug) WHERE e.slug = known.slug"
    ),
    *(
        f"INSERT INTO bridge.{table} SELECT (jsonb_populate_record(t, jsonb_build_object('entity_uid', n.uid))).*"
        f" FROM bridge.{table} t JOIN bridge.entities e ON e.uid = t.entity_uid AND e.slug = %s"
        " JOIN bridge.entities n ON n.slug = ANY (%s)"
        for table in ("field_mappings", "erp_sync_state")
    ),
)


def delta_1k(bench: Bench) -> Iterator[Line]:
    """A thousand changed rows, from due to committed through the real queue."""
    bench.loaded("delta", DELTA_ROWS)
    storage = {"AzureWebJobsStorage": bench.rig.azurite.connection_string}
    changed = DELTA_ROWS // CHANGED_EVERY

    def run(_: int) -> Mapping[str, Any]:
        bench.rig.next_edition()
        bench.rig.prepare("delta")
        bench.make_due("delta")
        answer = bench.rig.work("through_queue", storage, entity=bench.rig.entity("delta"))
        return _checked("delta", answer, updated=changed)

    yield line("delta_1k", changed, bench.rounds("delta_1k", changed, run))


def release_100k(bench: Bench) -> Iterator[Line]:
    """Rows that all wait for one parent, which comes; against COPY of them and their delete."""
    rig, at = bench.rig, f"/api/v1/entities/{bench.rig.entity('children')}"
    bench.loaded("parents", WAITING_ROWS)
    declared = {"columns": ["qty"], "slug": "parents", "parent_columns": ["id"]}
    rig.api.put(at, json=rig.api.get(at).json() | {"parents": [declared]}).raise_for_status()

    def run(_: int) -> Mapping[str, Any]:
        rig.execute("UPDATE public.parents SET _bridge_deleted = true")
        rig.execute("TRUNCATE public.children")
        held = rig.work("sync", entity=rig.entity("children"))["run"]["held"]
        if held != WAITING_ROWS:
            raise RuntimeError(f"children: {held} rows wait instead of {WAITING_ROWS}")
        _await_one(bench)
        rig.execute("UPDATE public.parents SET _bridge_deleted = false")
        rig.execute("VACUUM (ANALYZE) public.parents")
        rig.execute("UPDATE bridge.awaited_parents SET arrived_at = now()")
        deleted = rig.work("delete", entity=rig.entity("children"))
        rig.execute("CHECKPOINT")
        answer = rig.work("release", entity=rig.entity("children"))
        return _checked("children", answer, inserted=WAITING_ROWS) | {"delete_seconds": deleted["seconds"]}

    done = bench.rounds("release_100k", WAITING_ROWS, run)
    delete = median(d.answer["delete_seconds"] for d in done)
    both = median(
        d.answer["seconds"] / (d.copy["seconds"] + d.answer["delete_seconds"]) for d in done if d.copy
    )
    yield line(
        "release_100k",
        WAITING_ROWS,
        done,
        delete_seconds=round(delete, 3),
        ratio_to_copy_and_delete=round(both, 3),
    )


def _await_one(bench: Bench) -> None:
    """The source's rows name some 60,000 parents; here all of them wait for the first of those."""
    held = f"bridge.held_{bench.rig.entity('children').hex}"
    key = bench.rig.execute(
        "SELECT a.key_hash, p.id FROM bridge.awaited_parents a JOIN public.parents p"
        " ON p._bridge_erp_key_hash = a.key_hash ORDER BY p.id LIMIT 1"
    )[0]
    bench.rig.execute("DELETE FROM bridge.awaited_parents WHERE key_hash <> %s", key["key_hash"])
    bench.rig.execute(f"UPDATE {held} SET qty = %s, _bridge_awaits = ARRAY[%s]", key["id"], key["key_hash"])
    bench.rig.execute(f"VACUUM FULL {held}")


def import_seconds(bench: Bench) -> Iterator[Line]:
    """Importing the function app in a fresh process, against azure.functions alone."""
    both: dict[str, list[float]] = {"azure.functions": [], "function_app": []}
    for _ in range(7):
        for module, seconds in both.items():
            seconds.append(_import_s(module))
    ours, theirs = median(both["function_app"]), median(both["azure.functions"])
    bench.rig.say(f"import_seconds: function_app {ours:.3f} s, azure.functions {theirs:.3f} s")
    yield Line("import_seconds", 0, ours, more={"azure_functions_seconds": round(theirs, 3), "ratio_to_azure_functions": round(ours / theirs, 3)})  # fmt: skip


def _import_s(module: str) -> float:
    code = f"import time; began = time.perf_counter(); import {module}; print(time.perf_counter() - began)"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=REPOSITORY, check=True, capture_output=True, text=True
    )
    return float(done.stdout)


# In the order they run: the first loads come before the source's rows change.
CASES: dict[str, Callable[[Bench], Iterator[Line]]] = {
    case.__name__: case
    for case in (full_load, full_load_deferred, full_publish, verify_unchanged, small_10k, medium_100k, hash_resync_1pct, hash_resync_0pct,
                 rowversion_1pct, tick_1000_tables, idle_tick_cpu, delta_1k, release_100k, import_seconds)
}  # fmt: skip
