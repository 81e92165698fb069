"""States as text for a terminal. What a job says is cut, and stripped of what would move the terminal's cursor."""

from __future__ import annotations

from jupyter_jobprogress.protocol import phrases
from jupyter_jobprogress.protocol.liveness import Liveness, liveness
from jupyter_jobprogress.protocol.payload import text
from jupyter_jobprogress.protocol.state import State, Status

_TEXT_BYTES = 300


def percent(state: State) -> str:
    """Return the progress as a percentage, cut; empty where the amount of work is unknown."""
    # 0.29 * 100 is 28.999999999999996: without the tiny addend it would be cut to 28.
    return "" if state.progress is None else f"{int(state.progress * 100 + 1e-9)} %"


def clean(said: str) -> str:
    """Return what a job said, on one line."""
    return text(said, _TEXT_BYTES).replace("\n", " ")


def words(state: State) -> str:
    """Return what a job says of itself on one line: its error, or its stage and message."""
    return clean(state.error) if state.error else ": ".join(part for part in (stage(state), message(state)) if part)


def stage(state: State) -> str:
    """Return the stage; empty where it only says again how the job ended."""
    return "" if _echoes(state, state.stage) else clean(state.stage)


def message(state: State) -> str:
    """Return the message; empty where it only says again how the job ended."""
    return "" if _echoes(state, state.message) else clean(state.message)


def _echoes(state: State, said: str) -> bool:
    return state.status.terminal and said in phrases.ECHOES


def condition(state: State, *, now_us: int) -> str:
    """Return the status, or that nothing is heard of the job any more."""
    found = liveness(state.status, silence_s=silence_s(state, now_us=now_us), heartbeat_s=state.heartbeat_s)
    return str(state.status if found is Liveness.LIVE else found)


def silence_s(state: State, *, now_us: int) -> float:
    """Return for how long nothing was heard of a job; 0 where that is not known."""
    return 0.0 if state.seq is None else max(0.0, (now_us - state.seq) / 1e6)


def line(state: State, *, now_us: int) -> str:
    """Return one line about a job."""
    parts = (state.job_id, condition(state, now_us=now_us), percent(state), words(state))
    return "  ".join(part for part in parts if part)


def facts(state: State, *, now_us: int) -> list[str]:
    """Return how much was done, how fast, since when and until when."""
    shown = [] if state.n is None else [phrases.count(state.n, state.total, clean(state.unit or ""))]
    if state.status.terminal:
        took_s = phrases.seconds_between(state.started_at or "", state.timestamp)
        how = "in" if state.status is Status.COMPLETED else "after"
        return shown if took_s is None or took_s < 0 else [f"{how} {phrases.took(took_s)}", *shown]
    if state.rate_per_s:
        shown.append(_rate(state.rate_per_s, clean(state.unit or "")))
    if state.run is not None and state.status is Status.PROCESSING:
        shown.append(f"{phrases.took((now_us - state.run) / 1e6)} elapsed")
    left_s = (state.eta_s or 0.0) - silence_s(state, now_us=now_us)
    if left_s >= 1:
        shown.append(f"{phrases.took(left_s)} left")
    return shown


def metrics(state: State) -> str:
    """Return the newest scalars."""
    values = (state.metrics or {}).items()
    return " · ".join(f"{clean(name)} {'?' if value is None else f'{value:.4g}'}" for name, value in values)


def _rate(per_s: float, unit: str) -> str:
    if phrases.is_bytes(unit):
        return f"{phrases.size(per_s)}/s"
    value, per = next(
        ((per_s * factor, name) for factor, name in ((1, "s"), (60, "min")) if per_s * factor >= 1), (per_s * 3600, "h")
    )
    amount = f"{value:,.0f}" if value >= 100 else f"{value:.3g}"
    return f"{amount} {unit}/{per}" if unit else f"{amount}/{per}"
