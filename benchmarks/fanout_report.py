"""A fan-out run in words: one table, the goals, what limited whom, and what could not be run."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from statistics import median
from typing import Any, Final

from benchmarks.fanout import Plan, Results
from benchmarks.figures import table
from benchmarks.peers import BASES, PEERS
from benchmarks.report import QUIET
from benchmarks.rows import FIGURES, ROWS, Goal
from benchmarks.stand import LOAD, Figures

_RATIOS: Final = {base: f": {base}" for base in BASES}


def fanout_text(
    plan: Plan,
    results: Results,
    *,
    surroundings: Mapping[str, Mapping[str, str]],
    notes: Sequence[str],
    failures: Mapping[str, str],
) -> str:
    """Return everything that is printed at the end of a run."""
    peers = [name for name in plan.peers if any(name in row for row in results.values())]
    lines = [f"{name}: {PEERS[name].title}" for name in peers]
    lines += [
        f"Repetitions: {plan.repetitions}; the median of them. Length of a measurement: {plan.scale:g} of the full."
    ]
    lines += ["", table(["work", "", *peers], _lines(results, peers)), ""]
    lines += [f"goal: {goal}" for goal in goals(results)] + [""]
    for kind, entries in surroundings.items():
        lines.append(f"{kind}: " + ", ".join(f"{name} {value}" for name, value in entries.items()))
    lines += [f"not run: {what}: {why}" for what, why in failures.items()]
    lines += [f"note: {note}" for note in [*notes, *_remarks(results)]]
    return "\n".join(lines)


def _lines(results: Results, peers: Sequence[str]) -> list[list[str]]:
    lines = []
    for row, by_peer in results.items():
        title = ROWS[row].title
        ratios = {(goal.figure, goal.base) for goal in ROWS[row].goals if goal.base}
        measured = {figure for several in by_peer.values() for one in several for figure in one.values}
        for figure in [name for name in FIGURES if name in measured]:
            if figure in ("wrong", "failed") and not any(value_of(several, figure) for several in by_peer.values()):
                continue  # said only where there are some
            cells = [_number(value_of(by_peer.get(peer, []), figure)) for peer in peers]
            lines.append([title, FIGURES[figure], *cells])
            title = ""
            for base in BASES:
                if (figure, base) in ratios and by_peer.get(base):
                    values = [ratio(by_peer.get(peer, []), by_peer.get(base, []), figure) for peer in peers]
                    lines.append(["", _RATIOS[base], *map(_number, values)])
        lines.append(["", "limited by", *(_limit(by_peer.get(peer, [])) for peer in peers)])
        lines.append(["", "neighbours", *(_taken(by_peer.get(peer, [])) for peer in peers)])
    return lines


def value_of(repetitions: Sequence[Figures], figure: str) -> float | None:
    """Return the median over repetitions, or None where nobody measured it."""
    values = [one.values[figure] for one in repetitions if figure in one.values]
    return median(values) if values else None


def ratio(repetitions: Sequence[Figures], base: Sequence[Figures], figure: str) -> float | None:
    """Return the median of the ratios within each repetition, whose neighbours both sides had."""
    ratios = ratios_of(repetitions, base, figure)
    return median(ratios) if ratios else None


def ratios_of(repetitions: Sequence[Figures], base: Sequence[Figures], figure: str) -> list[float]:
    """Return the ratio of each repetition in which both were measured."""
    pairs = zip(repetitions, base, strict=False)
    values = [(one.values.get(figure), other.values.get(figure)) for one, other in pairs]
    return [mine / its for mine, its in values if mine is not None and its]


def goals(results: Results) -> list[str]:
    """Say of each goal whether the product met it, or why that cannot be said."""
    said = []
    for row, by_peer in results.items():
        for peer, repetitions in by_peer.items():
            if PEERS[peer].is_product and repetitions:
                said += [f"{row}, {peer}: {_verdict(goal, repetitions, by_peer)}" for goal in ROWS[row].goals]
    return said


def _verdict(goal: Goal, repetitions: Sequence[Figures], by_peer: Mapping[str, list[Figures]]) -> str:
    base = by_peer.get(goal.base, [])
    values = (
        ratios_of(repetitions, base, goal.figure) if goal.base else [one.values[goal.figure] for one in repetitions]
    )
    unit = f" x {goal.base}" if goal.base else ""
    what = f"{FIGURES[goal.figure]} at {'most' if goal.most else 'least'} {goal.limit:g}{unit}"
    if not values or any(math.isnan(value) for value in values):
        return f"{what}: not judged (not measured)"
    reached = median(values)
    met = reached <= goal.limit if goal.most else reached >= goal.limit
    taken = max(median(one.neighbours or 0.0 for one in several) for several in (repetitions, base) if several)
    verdict = "met" if met else "missed"
    # A goal that is met beside neighbours would be met without them; a ratio may owe them either way.
    if not met and not goal.most and all(one.limit == LOAD for one in repetitions):
        verdict = "not judged (it delivered all that was offered)"
    elif taken > QUIET and (goal.base or not met):
        verdict = f"not judged (neighbours took {taken:.0%} of the server's core)"
    spread = f" ({_number(min(values))}..{_number(max(values))})" if len(values) > 1 else ""
    return f"{what}: {verdict}, {_number(reached)}{spread}"


def _number(value: float | None) -> str:
    if value is None or math.isnan(value):
        return "-"
    if math.isinf(value):
        return "never"
    if value == round(value) or abs(value) >= 1000:
        return f"{value:,.0f}"
    return f"{value:.3g}" if abs(value) < 100 else f"{value:.0f}"


def _limit(repetitions: Sequence[Figures]) -> str:
    return " / ".join(dict.fromkeys(one.limit for one in repetitions)) or "-"


def _taken(repetitions: Sequence[Figures]) -> str:
    known = [one.neighbours for one in repetitions if one.neighbours is not None]
    return f"{median(known):.0%}" if known else "-"


def _remarks(results: Results) -> list[str]:
    """Return what was noted at single measurements, once each."""
    remarks = {
        f"{row}, {peer}: {note}": None
        for row, by_peer in results.items()
        for peer, repetitions in by_peer.items()
        for one in repetitions
        for note in one.notes
    }
    return list(remarks)


def fanout_json(
    plan: Plan,
    results: Results,
    *,
    surroundings: Mapping[str, Mapping[str, str]],
    notes: Sequence[str],
    failures: Mapping[str, str],
) -> dict[str, Any]:
    """Return the run for programs: every repetition with all its figures. What never came is null."""
    return {
        "benchmark": "fanout",
        "plan": dataclasses.asdict(plan),
        **surroundings,
        "notes": list(notes),
        "not_run": dict(failures),
        "goals": goals(results),
        "results": {
            row: {peer: [_plain(one) for one in repetitions] for peer, repetitions in by_peer.items()}
            for row, by_peer in results.items()
        },
    }


def _plain(one: Figures) -> dict[str, object]:
    values = {name: value if math.isfinite(value) else None for name, value in one.values.items()}
    return {"values": values, "limit": one.limit, "neighbours": one.neighbours, "notes": one.notes}
