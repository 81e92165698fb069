"""Compose the states of one job from what it said and how far it has counted, at the moment they are sent."""

from __future__ import annotations

import logging
import math

import msgspec

from jupyter_jobprogress.protocol.estimate import Estimator
from jupyter_jobprogress.protocol.payload import fit_state, timestamp
from jupyter_jobprogress.protocol.state import Origin, Stage, State, Status
from jupyter_jobprogress.reporter.facts import Facts, Number, counted, progress_of
from jupyter_jobprogress.reporter.history import Series
from jupyter_jobprogress.reporter.stages import Stages

HISTORY_INTERVAL_S = 5.0
"""Least time between two states of one job with a history; the terminal one has it in any case."""

STEADY = 0.05
"""Share of the time left by which an estimate has to be off before another one is told: they tremble with each sample,
by a minute where an hour is left, and a line that is looked at for long has to be calm."""

_log = logging.getLogger(__name__)


class Composer:
    """The part of a job that changes with time: rate, history, and when it last said something new.

    Used by the sender's thread alone. ``now_s`` is monotonic, ``wall_s`` is seconds since 1970.
    """

    def __init__(
        self,
        *,
        job_id: str,
        started_at: str,
        heartbeat_s: float | None,
        parent_id: str | None,
        origin: Origin,
        now_s: float,
        n: Number,
    ) -> None:
        self._fixed = State(
            job_id=job_id,
            status=Facts().status,
            stage="",
            progress=None,
            message="",
            timestamp=started_at,
            started_at=started_at,
            heartbeat_s=heartbeat_s,
            parent_id=parent_id,
            origin=origin,
        )
        self._start_s = now_s
        self._counting = Estimator(now_s=now_s, n=n)
        # In stages the count starts again with each, and what remains follows from the whole.
        self._whole: Estimator | None = None
        self._ends_s = -math.inf
        self._series = Series()
        self._history_s = now_s
        self._timestamp = started_at
        self._seen: tuple[Facts, Number | None] | None = None
        self._labels = Stages()
        self._dropped: set[str] = set()

    def has_news(self, facts: Facts, n: Number | None) -> bool:
        """Whether the job has said something since the last state was composed."""
        return self._seen is None or self._seen[0] is not facts or self._seen[1] != n

    def compose(self, facts: Facts, n: Number | None, *, run: int | None, now_s: float, wall_s: float) -> State:
        """Make a whole state (rule 3)."""
        ended = facts.status.terminal
        if self.has_news(facts, n):
            self._timestamp = timestamp(wall_s if facts.ended_s is None else facts.ended_s)
            self._seen = (facts, n)
        progress = progress_of(facts, n)
        if n is not None:
            self._counting.sample(now_s=now_s, n=n)
        self._series.sample(t_s=now_s - self._start_s, progress=progress, metrics=facts.metrics, last=ended)
        history = None
        if ended or now_s - self._history_s >= HISTORY_INTERVAL_S:
            history = self._series.history()
            self._history_s = now_s
        # In stages the count is that of the present one, and at the end there is none.
        over = facts.status is Status.COMPLETED and facts.stages.share is not None
        total = None if over else facts.total
        state = msgspec.structs.replace(
            self._fixed,
            status=facts.status,
            stage=facts.stage,
            progress=progress,
            message=facts.message,
            timestamp=self._timestamp,
            # Nobody is there to keep the promise while a job waits for its next run.
            heartbeat_s=None if facts.status is Status.QUEUED else self._fixed.heartbeat_s,
            metadata=facts.metadata,
            result=facts.result,
            error=facts.error,
            run=run,
            title=facts.title,
            unit=facts.unit,
            # A job that tells its progress, or nothing, has counted nothing: "0" beside it would be a riddle.
            n=None if over or (not n and total is None) else n,
            total=total,
            rate_per_s=self._counting.rate_per_s,
            eta_s=self._steady(self._eta_s(facts, progress, now_s), now_s),
            metrics=facts.metrics,
            stages=self._stages(facts, n, now_s),
            history=history,
        )
        return self._fit(state)

    def _eta_s(self, facts: Facts, progress: float | None, now_s: float) -> float | None:
        if facts.status.terminal:
            return None
        if facts.total is not None and facts.stages.share is None:
            return self._counting.eta_s(facts.total)
        if progress is None:
            return None
        if self._whole is None:
            self._whole = Estimator(now_s=self._start_s, n=0.0)
        self._whole.sample(now_s=now_s, n=progress)
        return self._whole.eta_s(1.0)

    def _steady(self, eta_s: float | None, now_s: float) -> float | None:
        """Return what is left until the end that was told before, as long as that still holds."""
        if eta_s is None:
            return None
        if abs(now_s + eta_s - self._ends_s) > max(1.0, STEADY * eta_s):
            self._ends_s = now_s + eta_s
        return max(0.0, self._ends_s - now_s)

    def _stages(self, facts: Facts, n: Number | None, now_s: float) -> tuple[Stage, ...] | None:
        done = 1.0 if facts.status is Status.COMPLETED else counted(facts, n)
        if facts.stages.visits:
            return facts.stages.shown(progress=done, now_s=now_s)
        # Stages that are only named, as the original service has them, are listed by the time spent in them.
        labels = self._labels
        present = labels.visits[labels.present].name if labels.present >= 0 else ""
        if facts.stage and facts.stage != present and not facts.status.terminal:
            self._labels = labels.enter(facts.stage, weight=None, progress=None, now_s=now_s)
        return self._labels.shown(progress=None, now_s=now_s)

    def _fit(self, state: State) -> State:
        if state.metadata is None and state.result is None:
            return state
        state, dropped = fit_state(state)
        for name in dropped:
            if name not in self._dropped:
                self._dropped.add(name)
                _log.warning(
                    "The %s of job %s is too large for a state and was left out. Store it elsewhere and report "
                    "where it is.",
                    name,
                    state.job_id,
                )
        return state
