"""When a job is noted in the index of a Cluster, which takes a command of its own there."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from typing import Final

AGAIN_S: Final = 10.0
"""Time after which a running job is noted anew: it stays among the newest, and comes back if the index is lost."""

MOST: Final = 4096
"""Jobs whose time is remembered. Others are noted more often, and nothing else."""


class Indexed:
    """Remembers when each job was noted last."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._at: OrderedDict[str, float] = OrderedDict()

    def due(self, job_id: str) -> bool:
        at = self._at.get(job_id)
        return at is None or self._clock() - at >= AGAIN_S

    def done(self, job_id: str) -> None:
        self._at[job_id] = self._clock()
        self._at.move_to_end(job_id)
        if len(self._at) > MOST:
            self._at.popitem(last=False)

    def forget(self, job_id: str) -> None:
        self._at.pop(job_id, None)
