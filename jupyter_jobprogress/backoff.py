"""How long to wait before trying again. The same numbers as ``js/src/backoff.ts``."""

from __future__ import annotations

import random
from collections.abc import Callable

OWN_RANDOM = random.SystemRandom()
"""Not the state of the module, which belongs to the job: a seeded run must draw the same numbers, watched or not.
No state at all, so that forked children do not come back together, either."""


def full_jitter_s(
    attempt: int,
    *,
    base_s: float = 0.5,
    cap_s: float = 20.0,
    uniform: Callable[[float, float], float] = OWN_RANDOM.uniform,
) -> float:
    """Return a delay in seconds before the ``attempt``-th retry (1 is the first).

    Full jitter: uniform between 0 and a bound that doubles up to ``cap_s``, so that a thousand clients that lost
    their server together do not come back together.
    """
    return uniform(0.0, min(cap_s, base_s * 2.0 ** min(attempt - 1, 30)))
