"""A series over a whole run in constant memory: when it is full, every second point goes and the spacing doubles."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from jupyter_jobprogress.protocol.limits import HISTORY_POINTS
from jupyter_jobprogress.protocol.payload import fit_history
from jupyter_jobprogress.protocol.state import History

FIRST_SPACING_S = 1.0


class _Point(NamedTuple):
    t_s: float
    progress: float | None
    metrics: Mapping[str, float | None]


class Series:
    """Samples of progress and metrics. Pure: the caller brings the time, in seconds since the start of the run."""

    def __init__(self, *, points: int = HISTORY_POINTS, spacing_s: float = FIRST_SPACING_S) -> None:
        self._most = points
        self._spacing_s = spacing_s
        self._points: list[_Point] = []

    def sample(
        self, *, t_s: float, progress: float | None, metrics: Mapping[str, float | None] | None, last: bool = False
    ) -> None:
        """Take a point, unless the previous one is nearer than the spacing. The ``last`` one is always taken."""
        if self._points and not last and t_s - self._points[-1].t_s < self._spacing_s:
            return
        if len(self._points) >= self._most:
            self._points = self._points[::2]
            self._spacing_s *= 2
        self._points.append(_Point(t_s, progress, metrics or {}))

    def history(self) -> History | None:
        """Return the series within the limits of the protocol, or None while there is nothing to draw."""
        names = dict.fromkeys(name for point in self._points for name in point.metrics)
        if len(self._points) < 2 or (not names and all(point.progress is None for point in self._points)):
            return None
        return fit_history(
            History(
                t_s=[round(point.t_s, 2) for point in self._points],
                progress=[_short(point.progress) for point in self._points],
                metrics={name: [_short(point.metrics.get(name)) for point in self._points] for name in names},
            )
        )


def _short(value: float | None) -> float | None:
    """Keep six digits: more than a screen can show, and a third of the bytes."""
    return None if value is None else float(f"{value:.6g}")
