"""From delays to one table: percentiles, medians over repetitions, ratios of neighbours in time."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from statistics import median


def percentile(sorted_values: Sequence[float], share: float) -> float:
    """Return the smallest value that at least ``share`` (0 to 1) of the values do not exceed; NaN for no values."""
    if not sorted_values:
        return math.nan
    return sorted_values[max(math.ceil(share * len(sorted_values)) - 1, 0)]


@dataclass(frozen=True)
class Measurement:
    """One row in one repetition."""

    offered: int
    delays_us: list[float]
    drawn_us: list[float]
    cpu_us_per_update: float | None
    neighbours: float | None
    sorted_us: list[float] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "sorted_us", sorted(self.delays_us))

    def ms(self, share: float) -> float:
        return percentile(self.sorted_us, share) / 1000

    def drawn_ms(self, share: float) -> float:
        return percentile(sorted(self.drawn_us), share) / 1000


Figure = Callable[[Measurement], float]


def middle(repetitions: Sequence[Measurement], figure: Figure) -> float:
    """Return the median over repetitions: one disturbed repetition does not move it."""
    return median(figure(repetition) for repetition in repetitions)


def with_range(repetitions: Sequence[Measurement], figure: Figure) -> str:
    """Return the median over repetitions, and the least and greatest behind it."""
    values = [figure(repetition) for repetition in repetitions]
    if len(values) == 1:
        return f"{values[0]:.2f}"
    return f"{median(values):.2f} ({min(values):.2f}..{max(values):.2f})"


def ratio(repetitions: Sequence[Measurement], base: Sequence[Measurement], figure: Figure) -> float:
    """Return the median of the ratios within each repetition: both sides then had the same neighbours."""
    pairs = zip(repetitions, base, strict=False)
    return median(figure(one) / figure(other) if figure(other) else math.nan for one, other in pairs)


def optional(values: Iterable[float | None], form: Callable[[float], str]) -> str:
    """Return the median as text, or "-" where the system does not tell."""
    known = [value for value in values if value is not None]
    return form(median(known)) if known else "-"


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a Markdown table whose columns line up in a terminal, too. Numbers stand on the right."""
    lines = [list(head), *map(list, rows)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(head))]
    rule = ["-" * widths[0], *("-" * (width - 1) + ":" for width in widths[1:])]
    aligned = [
        [
            cell.ljust(width) if column == 0 else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(line, widths, strict=True))
        ]
        for line in (lines[0], rule, *lines[1:])
    ]
    return "\n".join(f"| {' | '.join(line)} |" for line in aligned)
