"""What reporting costs the code that reports, beside tqdm and rich, and whether a store that is away can be felt."""

from __future__ import annotations

import io
import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final, NamedTuple

from benchmarks.figures import table
from benchmarks.worker import with_project

CALLS: Final = 300_000
NOWHERE: Final = "redis://127.0.0.1:1/0"
"""A store that refuses: the sender works, and nothing else does."""


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

    settings = Settings(url=NOWHERE)
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


class Felt(NamedTuple):
    """How long calls of ``update`` took while a store was in some state, in microseconds."""

    store: str
    p50_us: float
    p99_us: float
    max_us: float
    control_max_us: float


_TIMED: Final = """
import json, sys, time
from jupyter_jobprogress import Job
calls = int(sys.argv[1])

def timed(call):
    clock, found = time.perf_counter_ns, [0] * calls
    for index in range(calls):
        begun = clock()
        call()
        found[index] = clock() - begun
    return sorted(found)

control = timed(lambda: None)
job = Job("felt", total=calls, display=False)
found = timed(job.update)
job.cancel()
print(json.dumps([found[calls // 2], found[calls * 99 // 100], found[-1], control[-1]]))
"""


@contextmanager
def _silent() -> Iterator[str]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield f"redis://127.0.0.1:{listener.getsockname()[1]}/0"


def felt(*, calls: int = 1_000_000, redis_url: str | None = None) -> list[Felt]:
    """Time every call of a million, with the store up (where a URL is given), refused and silent."""
    found = []
    with _silent() as silent:
        stores = {"up": redis_url, "refused": NOWHERE, "silent": silent}
        for store, url in stores.items():
            if url is not None:
                environment = with_project(os.environ) | {"JOBPROGRESS_URL": url}
                command = [sys.executable, "-c", _TIMED, str(calls)]
                done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
                found.append(Felt(store, *(value / 1000 for value in json.loads(done.stdout))))
    return found


def reporter_text(costs: list[Cost], felt: list[Felt]) -> str:
    """Return what is printed."""
    lines = [
        [
            *(cost.name, f"{cost.ours_ns:.0f} ns", cost.theirs, f"{cost.theirs_ns:.0f} ns"),
            *(f"{cost.ours_ns / cost.theirs_ns:.2f}", f"{cost.goal}: {'met' if cost.met else 'missed'}"),
        ]
        for cost in costs
    ]
    rows = [
        [one.store, f"{one.p50_us:.2f}", f"{one.p99_us:.2f}", f"{one.max_us:.0f}", f"{one.control_max_us:.0f}"]
        for one in felt
    ]
    return "\n".join(
        [
            "Over the empty loop, the least of all rounds.",
            "",
            table(["ours", "ns", "theirs", "ns", "ratio", "goal"], lines),
            "",
            "Each call of job.update() timed by itself; the control is an empty function in the same process.",
            "",
            table(["store", "p50 us", "p99 us", "max us", "control max us"], rows),
        ]
    )
