"""The view of ``watch`` in a terminal: two lines a job, as calm as those of a notebook. Loads rich."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Final

from rich.console import Console, ConsoleOptions, RenderResult
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from jupyter_jobprogress.cli import show
from jupyter_jobprogress.protocol import phrases
from jupyter_jobprogress.protocol.state import State

_ENDED: Final = ("completed", "failed", "cancelled")

LOOKS: Final[dict[str, tuple[str, str, str, str]]] = {
    "waiting": ("…", ".", "bright_black", "Waiting for the job"),
    "queued": ("○", "o", "bright_black", "Queued"),
    "processing": ("▶", ">", "blue", "Running"),
    "stalled": ("▲", "!", "yellow", "Stalled"),
    "lost": ("▲", "!", "red", "Lost"),
    "completed": ("✓", "+", "green", "Completed"),
    "failed": ("✗", "x", "red", "Failed"),
    "cancelled": ("⊘", "-", "bright_black", "Cancelled"),
}
"""Sign, sign in ASCII, colour and word of each condition: none is told by its colour alone."""


class Screen:
    """Draws jobs anew some times a second, so that clocks go on, in a thread of rich's own. Use as a context."""

    def __init__(self, job_ids: Iterable[str], now_us: Callable[[], int]) -> None:
        self._states: dict[str, State | None] = dict.fromkeys(job_ids)
        self._now_us = now_us
        self._away = False
        self._done = False
        self._live = Live(get_renderable=lambda: self, refresh_per_second=5, vertical_overflow="visible")

    def __enter__(self) -> Screen:
        self._live.start()
        return self

    def __exit__(self, kind: object, exc: object, trace: object) -> None:
        self._done = True
        self._live.stop()

    def take(self, state: State) -> None:
        """Show a newer state."""
        self._states[state.job_id] = state

    def store_up(self, up: bool) -> None:
        """Show whether the store answers."""
        self._away = not up

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        now_us = self._now_us()
        jobs = [(job_id, state, _condition(state, now_us)) for job_id, state in self._states.items()]
        hidden = 0
        if not self._done:
            # What does not fit would scroll away, and be drawn again and again. Those that have ended give way first.
            room = max(1, (console.size.height - 2) // 2)
            hidden = max(0, len(jobs) - room)
            kept = sorted(jobs, key=lambda job: job[2] in _ENDED)[:room] if hidden else jobs
            jobs = [job for job in jobs if job in kept]
        for job_id, state, found in jobs:
            yield _head(job_id, state, found, ascii_only=options.ascii_only)
            yield _below(state, found, now_us)
        yield from self._footer(hidden)

    def _footer(self, hidden: int) -> Iterable[Text]:
        if hidden:
            yield Text(f"  and {hidden} more, which do not fit here", style="bright_black")
        if self._away:
            yield Text("! The store does not answer; what is above is the last that it said", style="yellow")
        elif not self._done:
            yield Text("  Ctrl-C stops watching; the jobs go on", style="bright_black")


def _condition(state: State | None, now_us: int) -> str:
    return "waiting" if state is None else show.condition(state, now_us=now_us)


def _head(job_id: str, state: State | None, found: str, *, ascii_only: bool) -> Table:
    sign, plain, colour, _ = LOOKS[found]
    title = Text(show.clean((state and state.title) or job_id), style="bold")
    if state is not None and found not in _ENDED and (stage := show.stage(state)):
        title.append(f"  {stage}", style="not bold bright_black")
    row = Table.grid(padding=(0, 1), expand=True)
    row.add_column(width=1)
    row.add_column(ratio=2, no_wrap=True, overflow="ellipsis")
    row.add_column(ratio=3)
    row.add_column(width=5, justify="right")
    percent = "" if state is None else show.percent(state)
    row.add_row(Text(plain if ascii_only else sign, style=colour), title, _bar(state, found, colour), Text(percent))
    return row


def _bar(state: State | None, found: str, colour: str) -> ProgressBar:
    # Movement claims that somebody works: only while the job is heard of.
    unknown = state is not None and state.progress is None
    done = 1.0 if found == "completed" else 0.0 if state is None else state.progress or 0.0
    return ProgressBar(
        total=1.0,
        completed=done,
        pulse=unknown and found == "processing",
        complete_style=colour,
        finished_style=colour,
        pulse_style=colour,
    )


def _below(state: State | None, found: str, now_us: int) -> Text:
    *_, colour, word = LOOKS[found]
    line = Text("  ", no_wrap=True, overflow="ellipsis")
    line.append(word, style=colour)
    if state is None:
        return line
    if found in ("stalled", "lost"):
        line.append(f" · no signal for {phrases.took(show.silence_s(state, now_us=now_us))}")
    for fact in show.facts(state, now_us=now_us):
        line.append(f"   {fact}", style="bright_black")
    if state.error:
        line.append(f"   {show.clean(state.error)}", style="red")
    elif said := show.metrics(state) or show.message(state):
        line.append(f"   {said}")
    return line
