"""Rows picked by a seed: the same ones whenever the same rows are there."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    from infra.local.sample_erp.erp import SampleErp

RawValues = dict[str, msgspec.Raw]


def random_keys(erp: SampleErp, slug: str, count: int, seed: int) -> list[RawValues]:
    """So many keys of rows not broken on purpose; fewer when the table holds fewer."""
    if count <= 0:
        return []
    every = erp.store.sort_keys(slug)
    chosen = random.Random(seed).sample(every, min(count, len(every)))
    found = [erp.store.copies(slug, sort)[0].keys for sort in chosen]
    return [msgspec.json.decode(keys, type=RawValues) for keys in found]
