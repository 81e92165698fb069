"""Stages with weights, so that the whole moves steadily through them. Frozen: one assignment replaces all of it."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import NamedTuple

from jupyter_jobprogress.protocol import limits
from jupyter_jobprogress.protocol.payload import number, text
from jupyter_jobprogress.protocol.state import Stage


class _Visit(NamedTuple):
    """A stage that the run has been in: its share of the whole, and the time in it before the present visit."""

    name: str
    share: float | None
    spent_s: float = 0.0
    progress: float | None = None


class Stages(NamedTuple):
    """Where a run stands among its stages.

    ``plan`` maps the names of stages that were announced to their shares of the whole, which add up to 1. ``base`` is
    the share that is behind, ``share`` that of the present stage, None where the whole is not counted in stages.
    """

    plan: Mapping[str, float] = {}
    visits: tuple[_Visit, ...] = ()
    present: int = -1
    since_s: float = 0.0
    base: float = 0.0
    share: float | None = None

    def enter(self, name: str, *, weight: object, progress: float | None, now_s: float) -> Stages:
        """Leave the present stage, ``progress`` of which was done, and go into another, new or known.

        ``weight`` is the share of the whole of a stage that was not announced, 0 to 1; None: it has none. A stage
        that is entered again keeps what it has: the whole neither counts it twice nor goes back.
        """
        left = self.leave(progress=progress, now_s=now_s)
        base = min(1.0, left.base + (left.share or 0.0))
        known = next((index for index, visit in enumerate(left.visits) if visit.name == name), None)
        if known is not None:
            again = 0.0 if left.share is not None or left.plan else None
            return left._replace(present=known, since_s=now_s, base=base, share=again)
        share = self.plan.get(name)
        if share is None and (given := number(weight)) is not None:
            share = min(max(float(given), 0.0), 1.0 - base)
        counts = share if share is not None else (0.0 if self.plan or self.share is not None else None)
        if len(left.visits) >= limits.STAGES:
            return left._replace(present=-1, since_s=now_s, base=base, share=counts)
        visits = (*left.visits, _Visit(name, share))
        return left._replace(visits=visits, present=len(left.visits), since_s=now_s, base=base, share=counts)

    def leave(self, *, progress: float | None, now_s: float) -> Stages:
        """Note how far the present stage came, and how long that took."""
        if self.present < 0:
            return self
        visit = self.visits[self.present]
        visit = visit._replace(spent_s=visit.spent_s + now_s - self.since_s, progress=progress)
        visits = (*self.visits[: self.present], visit, *self.visits[self.present + 1 :])
        return self._replace(visits=visits, since_s=now_s)

    def shown(self, *, progress: float | None, now_s: float) -> tuple[Stage, ...] | None:
        """Return the stages as a state shows them, ``progress`` of the present one done; None where there are none."""
        if not self.visits:
            return None
        return tuple(
            Stage(
                name=visit.name,
                share=None if visit.share is None else round(visit.share, 6),
                progress=visit.progress,
                elapsed_s=round(visit.spent_s, 3),
            )
            for visit in self.leave(progress=progress, now_s=now_s).visits
        )


def announced(stages: Iterable[str] | Mapping[str, float] | None) -> Stages:
    """Return stages of equal weight, or of the weights given.

    Weights that are no numbers above 0 count as 0, so that a bad one costs its share and not the job.
    """
    if stages is None:
        return Stages()
    try:
        pairs = list(stages.items()) if isinstance(stages, Mapping) else [(name, 1.0) for name in stages]
    except Exception:  # noqa: BLE001 — whatever was passed, the work goes on without a plan
        return Stages()
    weights: dict[str, float] = {}
    for name, weight in pairs[: limits.STAGES]:
        found = number(weight)
        weights[text(name, limits.LABEL_BYTES)] = float(found) if found is not None and found > 0 else 0.0
    whole = math.fsum(weights.values())
    if whole <= 0:
        return Stages()
    # The share is None until the first one is entered: what is done before is not counted.
    return Stages(plan={name: weight / whole for name, weight in weights.items()}, share=0.0)


def stage_name(name: object) -> str:
    """Return the name of a stage made fit."""
    return text(name, limits.LABEL_BYTES)
