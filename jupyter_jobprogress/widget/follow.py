"""How the kernel learns of states. The widget knows no reporter; ``jupyter_jobprogress/_notebook.py`` fills this in."""

from __future__ import annotations

from collections.abc import Callable, Mapping

Take = Callable[[bytes], object]
"""Called in any thread with each newer state of a job, as the bytes of one JSON object. Must not block or raise."""

Follow = Callable[[str, Take], Callable[[], None] | None]
"""Follows one job from now on, and returns what stops that, or None where it cannot. Does not block."""

in_store: Follow | None = None
"""Follows jobs in the store that the environment names; None outside of a notebook's package."""

FollowAll = Callable[[Callable[[Mapping[str, bytes]], object]], Callable[[], None] | None]
"""Follows all jobs as ``Follow`` follows one: calls back with newer states by their ids, every other second."""

all_in_store: FollowAll | None = None
"""Follows all jobs in that store."""
