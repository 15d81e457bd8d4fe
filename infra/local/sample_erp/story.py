"""The demo's third step: flights change and vanish, the missing airports arrive, one flight breaks."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING

import msgspec

from infra.local.sample_erp.sampling import random_keys
from infra.local.sample_erp.values import RawRow

if TYPE_CHECKING:
    from infra.local.sample_erp.erp import SampleErp

# Every destination of a flight that the airports table lacks.
MISSING_AIRPORTS: tuple[tuple[str, str, str, str, int, str], ...] = (
    ("BQN", "Rafael Hernández", "18.4949", "-67.1294", 237, "America/Puerto_Rico"),
    ("PSE", "Mercedita", "18.0083", "-66.563", 29, "America/Puerto_Rico"),
    ("SJU", "Luis Muñoz Marín Intl", "18.4394", "-66.0018", 9, "America/Puerto_Rico"),
    ("STT", "Cyril E King", "18.3373", "-64.9734", 23, "America/St_Thomas"),
)


class StoryRequest(msgspec.Struct, forbid_unknown_fields=True):
    """How much changes; `broken_value` is what lands in the broken flight's arr_delay."""

    updates: int = 500
    deletes: int = 120
    broken_value: msgspec.Raw = msgspec.Raw(b'"n/a"')


def tell_story(erp: SampleErp, wanted: StoryRequest) -> dict[str, object]:
    """Change the source at once and say what changed; each telling picks other flights, never broken ones."""
    with erp.store.transaction():
        telling = erp.store.bump("story")
        chosen = random_keys(erp, "flights", wanted.updates + wanted.deletes + 1, telling)
        updated, deleted = chosen[: wanted.updates], chosen[wanted.updates : -1]
        for key in updated:
            erp.update("flights", key, _later)
        erp.delete("flights", deleted)
        arrived = _arrive(erp)
        erp.break_row("flights", chosen[-1], "arr_delay", wanted.broken_value)
    return {
        "telling": telling,
        "flights": {"updated": len(updated), "deleted": len(deleted), "broken": 1},
        "airports": {"inserted": len(arrived), "keys": arrived},
        "updated_keys": updated,
        "deleted_keys": deleted,
        "broken": {"key": chosen[-1], "column": "arr_delay", "value": wanted.broken_value},
        "rowversion": erp.max_rowversion("flights"),
    }


def _later(row: RawRow) -> dict[str, object]:
    """A minute later; a flight that never arrived gets its delay reported."""
    delay = row["arr_delay"]
    return {"arr_delay": 0 if delay == "null" else Decimal(delay) + 1}


def _arrive(erp: SampleErp) -> list[str]:
    """Insert the missing airports that aren't there yet."""
    held = {row["faa"] for row in erp.rows("airports")}
    rows = [_airport(*facts) for facts in MISSING_AIRPORTS if f'"{facts[0]}"' not in held]
    erp.insert("airports", rows)
    return [str(row["faa"]) for row in rows]


def _airport(faa: str, name: str, lat: str, lon: str, alt: int, tzone: str) -> dict[str, object]:
    place: dict[str, object] = {
        "faa": faa,
        "name": name,
        "lat": Decimal(lat),
        "lon": Decimal(lon),
        "alt": alt,
    }
    # Neither island keeps daylight saving time.
    return place | {"tz": -4, "dst": "N", "tzone": tzone}
