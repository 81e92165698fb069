"""What reporting costs the code that reports, beside tqdm and rich."""

from __future__ import annotations

import io
import time
from collections.abc import Callable, Iterator
from typing import Final, NamedTuple

from benchmarks.faults import REFUSED
from benchmarks.figures import table

CALLS: Final = 300_000


class Cost(NamedTuple):
    """Nanoseconds of one call or item over an empty loop's: the least of several rounds, since noise only adds."""

    name: str
    ours_ns: float
    theirs: str
    theirs_ns: float
    goal: str
    met: bool


def missing() -> str | None:
    """Say what is not installed, or None."""
    try:
        import rich.progress  # noqa: F401
        import tqdm  # noqa: F401
    except ImportError as exc:
        return f"{exc.name} is not installed: pip install -e '.[test]'"
    return None


def costs(*, calls: int = CALLS, rounds: int = 9) -> list[Cost]:
    """Measure side by side, in turns."""
    from tqdm import tqdm

    from jupyter_jobprogress import Job, Settings, track

    settings = Settings(url=REFUSED)  # the sender works, and nothing else does
    job = Job("benchmark", total=1e12, settings=settings, display=False)
    bar = tqdm(total=10**12, file=io.StringIO())
    items = list(range(calls))

    def generated() -> Iterator[int]:
        yield from items

    def ours() -> None:
        for _ in items:
            job.update(1)

    def theirs() -> None:
        for _ in items:
            bar.update(1)

    def report() -> None:
        for _ in items:
            job.report(progress=0.5, message="halfway")

    def postfix() -> None:
        for _ in items:
            bar.set_postfix_str("halfway", refresh=False)
            bar.update(1)

    def loop(iterable: Callable[[], object]) -> Callable[[], None]:
        def run() -> None:
            for _ in iterable():  # type: ignore[attr-defined]
                pass

        return run

    def tracked(source: Callable[[], object]) -> Callable[[], object]:
        return lambda: track(source(), settings=settings, display=False)  # type: ignore[arg-type]

    def rich_tracked() -> object:
        from rich.console import Console
        from rich.progress import track as rich_track

        return rich_track(items, console=Console(file=io.StringIO()))

    runs: dict[str, Callable[[], None]] = {
        "bare": loop(lambda: items),
        "update": ours,
        "tqdm.update": theirs,
        "report": report,
        "tqdm.postfix": postfix,
        "list": loop(tracked(lambda: items)),
        "tqdm.list": loop(lambda: tqdm(items, file=io.StringIO())),
        "rich.list": loop(rich_tracked),
        "bare generator": loop(generated),
        "generator": loop(tracked(generated)),
        "tqdm.generator": loop(lambda: tqdm(generated(), file=io.StringIO())),
    }
    least = dict.fromkeys(runs, float("inf"))
    for _ in range(rounds):
        for name, run in runs.items():
            begun = time.perf_counter_ns()
            run()
            least[name] = min(least[name], (time.perf_counter_ns() - begun) / calls)
    job.cancel()
    bare, bare_generator = least["bare"], least["bare generator"]

    def over(name: str) -> float:
        return least[name] - (bare_generator if "generator" in name else bare)

    half, six = over("update") / over("tqdm.update"), over("report") / over("tqdm.postfix")
    return [
        Cost("job.update(1)", over("update"), "tqdm.update(1)", over("tqdm.update"), "<= 0.5 x tqdm", half <= 0.5),
        Cost(
            "job.report(progress=, message=)",
            over("report"),
            "set_postfix_str + update",
            over("tqdm.postfix"),
            "<= 0.6 x tqdm",
            six <= 0.6,
        ),
        Cost("track(list), an item", over("list"), "tqdm(list)", over("tqdm.list"), "<= 10 ns", over("list") <= 10),
        Cost(
            "track(list), an item", over("list"), "rich.track(list)", over("rich.list"), "<= 10 ns", over("list") <= 10
        ),
        Cost(
            "track(generator), an item",
            over("generator"),
            "tqdm(generator)",
            over("tqdm.generator"),
            "<= 40 ns",
            over("generator") <= 40,
        ),
    ]


def reporter_text(costs: list[Cost]) -> str:
    """Return what is printed."""
    lines = [
        [
            *(cost.name, f"{cost.ours_ns:.0f} ns", cost.theirs, f"{cost.theirs_ns:.0f} ns"),
            *(f"{cost.ours_ns / cost.theirs_ns:.2f}", f"{cost.goal}: {'met' if cost.met else 'missed'}"),
        ]
        for cost in costs
    ]
    return "\n".join(
        [
            "Over the empty loop, the least of all rounds.",
            "",
            table(["ours", "ns", "theirs", "ns", "ratio", "goal"], lines),
        ]
    )
