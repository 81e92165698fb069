"""Order and fencing of rules 11 to 16, pure. ``publish.lua`` says the same inside Redis."""

from __future__ import annotations

from typing import NamedTuple

from jupyter_jobprogress.protocol.messages import Outcome


class Fence(NamedTuple):
    """What a store remembers of a job beside its state. ``cancel`` belongs to the present run."""

    seq: int = 0
    run: int | None = None
    ended: bool = False
    cancel: bool = False


def admit(fence: Fence, *, run: int | None, start: bool, terminal: bool, now_us: int) -> tuple[Outcome, Fence]:
    """Decide on an update, and return the fence after it.

    ``fence.run`` keeps the newest run through messages without one (rule 14): they neither end nor restart it.
    """
    seq = max(now_us, fence.seq + 1)
    if start:
        # The run is the seq of its first state, so that it increases even if the store forgot everything.
        return Outcome.ACCEPTED, Fence(seq, seq, terminal)
    if run is None:
        return Outcome.ACCEPTED, fence._replace(seq=seq)
    if fence.run is not None and run < fence.run:
        return Outcome.SUPERSEDED, fence
    if run == fence.run:
        if fence.ended:
            return Outcome.ENDED, fence
        return Outcome.ACCEPTED, fence._replace(seq=seq, ended=terminal)
    return Outcome.ACCEPTED, Fence(seq, run, terminal)
