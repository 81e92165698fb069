"""Order and fencing of rules 11 to 16 and 33, pure. The Lua files say the same inside Redis."""

from __future__ import annotations

from typing import NamedTuple

from msgspec import Struct

from jupyter_jobprogress.protocol.messages import Contribution, Outcome, Receipt


class Fence(NamedTuple):
    """What a store remembers of a job beside its state. ``cancel`` belongs to the present run."""

    seq: int = 0
    run: int | None = None
    ended: bool = False
    cancel: bool = False


class Shared(Struct, frozen=True, omit_defaults=True):
    """What workers have contributed to the present run: a number each, and the newest words of them all."""

    parts: dict[str, float | int] = {}
    words: Contribution | None = None
    words_seq: int = 0

    def add(self, part: str, contribution: Contribution) -> Shared:
        """Return what is known with the newest of one worker in place of its former."""
        parts = {**self.parts, part: contribution.n}
        if not contribution.has_words:
            return Shared(parts, self.words, self.words_seq)
        return Shared(parts, contribution, self.words_seq + 1)


def receipt(fence: Fence, shared: Shared, outcome: Outcome = Outcome.ACCEPTED) -> Receipt:
    """Answer one update."""
    return Receipt(
        seq=fence.seq,
        run=fence.run,
        outcome=outcome,
        cancel_requested=fence.cancel,
        added=sum(shared.parts.values()),
        words=shared.words,
        words_seq=shared.words_seq,
    )


def refuses(fence: Fence, run: int | None) -> Outcome | None:
    """Say why nothing more is taken of a run, or None where it is."""
    if run is None or fence.run is None or run > fence.run:
        return None
    if run < fence.run:
        return Outcome.SUPERSEDED
    return Outcome.ENDED if fence.ended else None


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
    if (refused := refuses(fence, run)) is not None:
        return refused, fence
    if run == fence.run:
        return Outcome.ACCEPTED, fence._replace(seq=seq, ended=terminal)
    return Outcome.ACCEPTED, Fence(seq, run, terminal)
