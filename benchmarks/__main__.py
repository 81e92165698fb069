"""The front door of the benchmarks."""

from __future__ import annotations

import argparse
import json
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

from benchmarks import surroundings
from benchmarks.latency import ROWS, Client, Plan, Run
from benchmarks.report import latency_json, latency_text
from benchmarks.servers import StartError


def _positive(text: str) -> float:
    value = float(text)
    if not 0 < value < float("inf"):
        raise argparse.ArgumentTypeError(f"expected a number above 0, got {text}")
    return value


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    latency = commands.add_parser(
        "latency", help="delay from a report until a viewer has it, beside the original design"
    )
    default = Plan()
    latency.add_argument("--repetitions", type=int, choices=range(1, 101), metavar="N", default=default.repetitions)
    latency.add_argument("--updates-per-s", type=_positive, default=default.updates_per_s)
    latency.add_argument("--seconds", type=_positive, default=default.seconds, help="length of one measurement")
    latency.add_argument("--warm-up-s", type=_positive, default=default.warm_up_s, help="before it, not counted")
    latency.add_argument("--rows", nargs="+", choices=ROWS, default=list(ROWS), help="lines of the table; default: all")
    latency.add_argument("--browser", action="store_true", help="measure in a real Chromium, too")
    latency.add_argument("--json", type=Path, metavar="FILE", help="write every delay and all else there")
    return parser


def _latency(arguments: argparse.Namespace) -> int:
    notes: list[str] = []
    rows = tuple(dict.fromkeys(arguments.rows))
    if any(ROWS[name].server == "original" for name in rows):
        if reason := surroundings.missing_original():
            rows = tuple(name for name in rows if ROWS[name].server != "original")
            notes.append(f"not run: {reason}")
        elif reason := surroundings.slower_original():
            notes.append(reason)
    clients: tuple[Client, ...] = ("socket",)
    if arguments.browser:
        if reason := surroundings.missing_browser():
            notes.append(f"not run: {reason}")
        else:
            clients = ("socket", "chromium")
    if not rows:
        print(*notes, sep="\n", file=sys.stderr)
        return 2
    plan = Plan(
        repetitions=arguments.repetitions,
        updates_per_s=arguments.updates_per_s,
        seconds=arguments.seconds,
        warm_up_s=arguments.warm_up_s,
        rows=rows,
        clients=clients,
    )
    run = Run(plan, progress=lambda text: print(text, file=sys.stderr, flush=True))
    facts = {"machine": surroundings.machine(run.cores), "versions": surroundings.versions()}
    try:
        results = run.measure()
    except StartError as exc:
        print(f"Not run: {exc}", *notes, sep="\n", file=sys.stderr)
        return 2
    facts["machine"]["load average after"] = surroundings.load_average()
    if run.browser:
        facts["versions"]["chromium"] = run.browser
        errors = f"{min(run.clock_errors_us):.0f} to {max(run.clock_errors_us):.0f} us"
        notes.append(f"the pages' clocks, with steps of 100 us, were ahead by {errors}; this is not taken out")
    print(latency_text(plan, results, surroundings=facts, notes=notes))
    if arguments.json:
        arguments.json.write_text(json.dumps(latency_json(plan, results, surroundings=facts, notes=notes)) + "\n")
    return 0


def main(argv: Sequence[str] | None = None) -> int:
    """Run one benchmark. Returns 0, or 2 if it could not run."""
    arguments = _parser().parse_args(argv)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that the servers are stopped, too
    return _latency(arguments)


if __name__ == "__main__":
    sys.exit(main())
