"""Names of target tables and columns: cut to what PostgreSQL keeps, distinct after cutting, none it owns.

Names are always quoted, so they are neither folded nor cleaned. Called by the catalogue; composing SQL from
them is the adapter's work.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import xxhash

MAX_BYTES = 63
SYSTEM = frozenset({"ctid", "xmin", "xmax", "cmin", "cmax", "tableoid"})
OWN_PREFIX = "_bridge_"
_SUFFIX_DIGITS = 8


@dataclass(frozen=True, slots=True)
class Names:
    """Target names by source name in the sources' order, and why others have none."""

    mapping: Mapping[str, str]
    skipped: Mapping[str, str]


def target_names(sources: Sequence[str]) -> Names:
    """Column names for a whole table at once; every result is distinct and at most 63 bytes."""
    skipped = {name: reason for name in sources if (reason := _unusable(name))}
    good = [name for name in dict.fromkeys(sources) if name not in skipped]
    return Names(dict(zip(good, column_names(good, ()), strict=True)), skipped)


def table_names(sources: Sequence[str]) -> Names:
    """Table names for several entities at once, by the same rule; system columns' names are free."""
    skipped = {name: reason for name in sources if (reason := problem(name))}
    good = [name for name in dict.fromkeys(sources) if name not in skipped]
    return Names(dict(zip(good, column_names(good, ()), strict=True)), skipped)


def column_names(sources: Sequence[str], taken: Iterable[str]) -> list[str]:
    """One name for each source, in order, distinct from each other and from `taken`."""
    used = set(taken)
    # names that need no cutting keep themselves, whichever order they come in
    whole = {name for name in sources if _fits(name) and name not in used}
    used |= whole
    results = []
    for name in sources:
        if name in whole:
            whole.discard(name)
            results.append(name)
        else:
            results.append(_suffixed(name, used))
            used.add(results[-1])
    return results


def table_name(source: str, taken: Iterable[str]) -> str:
    """The table's name: the source's own, cut or suffixed where it is too long or taken."""
    return column_names([source], taken)[0]


def is_reserved(name: str) -> bool:
    """Whether PostgreSQL or Tributary keeps a column of this name."""
    return name in SYSTEM or name.startswith(OWN_PREFIX)


def problem(name: str) -> str:
    """What makes the text unfit to be any name; empty when nothing does."""
    if not name:
        return "is empty"
    if "\0" in name:
        return "holds NUL"
    if any("\ud800" <= character <= "\udfff" for character in name):
        return "holds a lone surrogate"
    return "" if _fits(name) else f"is longer than {MAX_BYTES} bytes"


def _unusable(name: str) -> str:
    if is_reserved(name):
        return "PostgreSQL or Tributary keeps this name; give the column an output_alias at the connector"
    detail = problem(name)
    return "" if detail.startswith("is longer") else detail


def _fits(name: str) -> bool:
    return len(name.encode("utf-8", "surrogatepass")) <= MAX_BYTES


def _suffixed(name: str, used: set[str]) -> str:
    """The name cut at a character's edge and told apart by a hash of the whole name."""
    data = name.encode("utf-8", "surrogatepass")
    digest = xxhash.xxh3_128(data).hexdigest()
    for attempt in range(1_000_000):
        digits = (
            digest[:_SUFFIX_DIGITS] if not attempt else xxhash.xxh3_128(data, seed=attempt).hexdigest()[:16]
        )
        head = data[: MAX_BYTES - 1 - len(digits)].decode("utf-8", "ignore")
        candidate = f"{head}_{digits}"
        if candidate not in used and not is_reserved(candidate):
            return candidate
    raise AssertionError("a million hashes cannot all be taken")
