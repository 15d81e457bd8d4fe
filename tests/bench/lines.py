"""Figures: the median of alternated rounds, as the lines that the benchmark ends with."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from statistics import median
from typing import Any


@dataclass(frozen=True, slots=True)
class Measured:
    """One round: what the worker said, and the baseline's seconds measured just before it, where there is one."""

    answer: Mapping[str, Any]
    copy: Mapping[str, Any] | None = None

    @property
    def ratio(self) -> float | None:
        """Seconds over the baseline's seconds of the same round."""
        return None if self.copy is None else float(self.answer["seconds"] / self.copy["seconds"])


@dataclass(frozen=True, slots=True)
class Line:
    """One figure. `rows` were processed; `more` stands beside the fixed members."""

    name: str
    rows: int
    seconds: float
    ratio_to_copy: float | None = None
    rows_per_cpu_second: float | None = None
    peak_rss_mb: float | None = None
    more: Mapping[str, object] = field(default_factory=dict)

    def to_json(self) -> str:
        """One line."""
        return json.dumps({
            "name": self.name, "rows": self.rows, "seconds": round(self.seconds, 3), "ratio_to_copy": _short(self.ratio_to_copy),
            "rows_per_cpu_second": None if self.rows_per_cpu_second is None else round(self.rows_per_cpu_second),
            "peak_rss_mb": _short(self.peak_rss_mb, 1)} | dict(self.more))  # fmt: skip


def line(name: str, rows: int, rounds: Sequence[Measured], **more: object) -> Line:
    """The medians of the rounds; memory is the largest of them."""
    ratios = [r.ratio for r in rounds if r.ratio is not None]
    cpu = median(r.answer["cpu_seconds"] for r in rounds)
    seconds = [r.answer["seconds"] for r in rounds]
    return Line(
        name,
        rows,
        median(seconds),
        ratio_to_copy=median(ratios) if ratios else None,
        rows_per_cpu_second=rows / cpu if rows and cpu else None,
        peak_rss_mb=max(r.answer["peak_rss_mb"] for r in rounds),
        more={"cpu_seconds": round(cpu, 3), "rounds": [round(s, 3) for s in seconds], **more},
    )


def _short(value: float | None, digits: int = 3) -> float | None:
    return None if value is None else round(value, digits)
