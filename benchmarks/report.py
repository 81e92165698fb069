"""A run in words: one table for each kind of viewer, the goals, the machine, what was left out."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from statistics import median
from typing import Any, Final

from benchmarks.figures import Measurement, middle, optional, ratio, table, with_range
from benchmarks.latency import BASE, ROWS, Plan, Results

QUIET: Final = 0.1
"""Most that neighbours may take of the server's core (0 to 1) for a goal to be judged."""

GOALS_MS: Final = {"p50": (0.5, 1.0), "p99": (0.99, 5.0)}
"""Name: the percentile as a share, and what it must stay below at the product, in milliseconds."""

_HOW: Final = {"store": "RedisStore", "plain": "SET + PUBLISH"}
_CLIENT: Final = {"socket": "Report to viewer (a lean socket client)", "chromium": "Report to DOM (Chromium)"}


def latency_text(plan: Plan, results: Results, *, surroundings: dict[str, dict[str, str]], notes: Sequence[str]) -> str:
    """Return everything that is printed at the end of a run."""
    lines = [
        f"Report-to-browser delay: {plan.updates_per_s:g} updates/s for {plan.seconds:g} s, one viewer, loopback.",
        f"Repetitions: {plan.repetitions}. Milliseconds: the median of the repetitions (least..greatest), max of all.",
        "product: Jupyter server with jupyter_jobprogress. original: the original design on FastAPI. redis: no server.",
    ]
    for client, rows in results.items():
        lines += ["", f"{_CLIENT[client]}:", "", _table(rows, browser=client == "chromium")]
    lines += ["", *(f"goal: {goal}" for goal in goals(results))]
    lines.append("")
    for kind, entries in surroundings.items():
        lines.append(f"{kind}: " + ", ".join(f"{name} {value}" for name, value in entries.items()))
    lines += [f"note: {note}" for note in [*notes, *_noise(results)]]
    return "\n".join(lines)


def _noise(results: Results) -> list[str]:
    taken = [one.neighbours or 0.0 for rows in results.values() for several in rows.values() for one in several]
    if max(taken) <= QUIET:
        return []
    return [
        f"the machine was not quiet: in {sum(share > QUIET for share in taken)} of {len(taken)} measurements others "
        f"took more than {QUIET:.0%} of the server's core, at most {max(taken):.0%}. Rows that were disturbed "
        "differently cannot be compared"
    ]


def goals(results: Results) -> list[str]:
    """Say of each goal, kind of viewer and row of the product whether it is met, or why that cannot be said."""
    said = []
    for name, (share, limit_ms) in GOALS_MS.items():
        for client, row, repetitions in _of_the_product(results):
            reached_ms = middle(repetitions, lambda one, share=share: one.ms(share))  # type: ignore[misc]
            taken = median(one.neighbours or 0.0 for one in repetitions)
            verdict = "met" if reached_ms < limit_ms else "missed"
            if taken > QUIET:
                verdict = f"not judged (neighbours took {taken:.0%} of the server's core)"
            said.append(f"{row}, {client}: {name} below {limit_ms:g} ms: {verdict}, {reached_ms:.2f} ms")
    return said


def _of_the_product(results: Results) -> list[tuple[str, str, list[Measurement]]]:
    return [
        (client, row, repetitions)
        for client, rows in results.items()
        for row, repetitions in rows.items()
        if ROWS[row].server == "product" and repetitions
    ]


def _table(rows: dict[str, list[Measurement]], *, browser: bool) -> str:
    head = ["row", "path", "publisher", "delivered", "p50", "p90", "p99", "max"]
    head += ["p50 : original", "p99 : original"] if rows.get(BASE) else []
    head += ["drawn p50", "drawn p99"] if browser else []
    head += ["server CPU us/update", "neighbours"]
    return table(head, [_line(name, rows, browser=browser) for name in rows if rows[name]])


def _line(name: str, rows: dict[str, list[Measurement]], *, browser: bool) -> list[str]:
    row, repetitions, base = ROWS[name], rows[name], rows.get(BASE)
    line = [name, row.path, _HOW[row.how]]
    line.append(f"{sum(len(one.delays_us) for one in repetitions)}/{sum(one.offered for one in repetitions)}")
    line.append(with_range(repetitions, lambda one: one.ms(0.5)))
    line.append(f"{middle(repetitions, lambda one: one.ms(0.9)):.2f}")
    line.append(with_range(repetitions, lambda one: one.ms(0.99)))
    line.append(f"{max(one.ms(1.0) for one in repetitions):.2f}")
    if base:
        line.append(f"{ratio(repetitions, base, lambda one: one.ms(0.5)):.2f}")
        line.append(f"{ratio(repetitions, base, lambda one: one.ms(0.99)):.2f}")
    if browser:
        line += [f"{middle(repetitions, lambda one, share=share: one.drawn_ms(share)):.1f}" for share in (0.5, 0.99)]  # type: ignore[misc]
    line.append(optional((one.cpu_us_per_update for one in repetitions), lambda value: f"{value:.0f}"))
    line.append(optional((one.neighbours for one in repetitions), lambda value: f"{value:.0%}"))
    return line


def latency_json(
    plan: Plan, results: Results, *, surroundings: dict[str, dict[str, str]], notes: Sequence[str]
) -> dict[str, Any]:
    """Return the run for programs: every repetition with its percentiles and every single delay."""
    return {
        "benchmark": "latency",
        "plan": dataclasses.asdict(plan),
        **surroundings,
        "notes": [*notes, *_noise(results)],
        "goals": goals(results),
        "results": {
            client: {
                name: {**ROWS[name]._asdict(), "repetitions": [_plain(one) for one in repetitions]}
                for name, repetitions in rows.items()
            }
            for client, rows in results.items()
        },
    }


def _plain(one: Measurement) -> dict[str, object]:
    shares = {"p50_ms": 0.5, "p90_ms": 0.9, "p99_ms": 0.99, "max_ms": 1.0}
    figures = {name: _number(one.ms(share)) for name, share in shares.items()}
    rest = {"cpu_us_per_update": one.cpu_us_per_update, "neighbours": one.neighbours}
    delays = {"delays_us": [round(us, 1) for us in one.delays_us], "drawn_us": [round(us, 1) for us in one.drawn_us]}
    return {"offered": one.offered, "delivered": len(one.delays_us), **figures, **rest, **delays}


def _number(value: float) -> float | None:
    return None if math.isnan(value) else value
