"""The front door of the benchmarks."""

from __future__ import annotations

import argparse
import json
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

from benchmarks import fanout, faults, latency, native, reporter, scaling, siege, surroundings, training
from benchmarks.fanout_report import fanout_json, fanout_text
from benchmarks.generator import GeneratorError
from benchmarks.peers import ALWAYS, PEERS
from benchmarks.report import latency_json, latency_text
from benchmarks.rows import ROWS
from benchmarks.scaling import scaling_text
from benchmarks.servers import StartError
from benchmarks.stand import Impossible


def _positive(text: str) -> float:
    value = float(text)
    if not 0 < value < float("inf"):
        raise argparse.ArgumentTypeError(f"expected a number above 0, got {text}")
    return value


def _names(text: str) -> tuple[str, ...]:
    names = tuple(filter(None, text.split(",")))
    if unknown := [name for name in names if name not in PEERS]:
        raise argparse.ArgumentTypeError(f"expected names out of {', '.join(PEERS)}, got {', '.join(unknown)}")
    return names


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    _add_latency(commands.add_parser("latency", help="delay of one viewer, beside the original design"))
    _add_fanout(commands.add_parser("fanout", help="thousands of viewers, beside other servers"))
    _add_hostile(commands.add_parser("hostile", help="viewers that mean no good, and what others feel of them"))
    _add_reporter(commands.add_parser("reporter", help="what reporting costs a job, beside tqdm and rich"))
    _add_training(commands.add_parser("training", help="a PyTorch run with and without reporting"))
    _add_scaling(commands.add_parser("scaling", help="what the product costs, and what a service of a size would take"))
    return parser


def _add_latency(parser: argparse.ArgumentParser) -> None:
    default, rows = latency.Plan(), latency.ROWS
    parser.add_argument("--repetitions", type=int, choices=range(1, 101), metavar="N", default=default.repetitions)
    parser.add_argument("--updates-per-s", type=_positive, default=default.updates_per_s)
    parser.add_argument("--seconds", type=_positive, default=default.seconds, help="length of one measurement")
    parser.add_argument("--warm-up-s", type=_positive, default=default.warm_up_s, help="before it, not counted")
    parser.add_argument("--rows", nargs="+", choices=rows, default=list(rows), help="lines of the table; default: all")
    parser.add_argument("--browser", action="store_true", help="measure in a real Chromium, too")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every delay and all else there")
    parser.set_defaults(run=_latency)


def _add_fanout(parser: argparse.ArgumentParser) -> None:
    others = [name for name in PEERS if name not in ALWAYS]
    parser.add_argument(
        "--peers",
        type=_names,
        default=("original",),
        help=f"servers beside {', '.join(ALWAYS)}, with commas, out of {','.join(others)}; default: original",
    )
    asked = [name for name, row in ROWS.items() if not row.only_asked]
    parser.add_argument(
        "--rows",
        nargs="+",
        choices=ROWS,
        default=asked,
        help=f"work to do; default: all but {', '.join(name for name in ROWS if name not in asked)}",
    )
    parser.add_argument("--repetitions", type=int, choices=range(1, 101), metavar="N", default=None, help="default: 3")
    parser.add_argument("--quick", action="store_true", help="one repetition, short measurements: to see that it runs")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all figures of every repetition there")
    parser.set_defaults(run=_fanout)


def _add_hostile(parser: argparse.ArgumentParser) -> None:
    products = [name for name, peer in PEERS.items() if peer.is_product]
    parser.add_argument("--products", nargs="+", choices=products, default=products)
    parser.add_argument("--seconds", type=_positive, default=20.0, help="of the attack, and before it")
    parser.set_defaults(run=_hostile)


def _hostile(arguments: argparse.Namespace) -> int:
    if reason := native.missing():
        print(f"Not run: {reason}", file=sys.stderr)
        return 2
    try:
        sieges = [
            siege.Besieging(product, seconds=arguments.seconds, progress=_say).measure()
            for product in arguments.products
        ]
    except (StartError, native.NativeError, GeneratorError, siege.SiegeError) as exc:
        print(f"Not run: {exc}", file=sys.stderr)
        return 2
    print(siege.siege_text(sieges))
    return 1 if any(one.missed for one in sieges) else 0


def _add_reporter(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--calls", type=int, default=reporter.CALLS, help="of each kind, in each of nine rounds")
    parser.add_argument("--timed-calls", type=int, default=1_000_000, help="that are timed one by one")
    parser.set_defaults(run=_reporter)


def _reporter(arguments: argparse.Namespace) -> int:
    if reason := reporter.missing():
        print(f"Not run: {reason}", file=sys.stderr)
        return 2
    print(reporter.reporter_text(reporter.costs(calls=arguments.calls)), flush=True)
    print("", faults.felt_text(faults.felt(calls=arguments.timed_calls)), sep="\n")
    return 0


def _add_training(parser: argparse.ArgumentParser) -> None:
    # A machine drifts by more than the goal within seconds, so that many short pairs tell more than few long ones.
    parser.add_argument("--pairs", type=int, default=200)
    parser.add_argument("--epochs", type=int, default=1, help="of each run; default: 1, two thirds of a second")
    parser.add_argument("--store", choices=training.STORES, default=training.STORES[0])
    parser.add_argument("--in-workers", action="store_true", help="workers of the DataLoader report each image, too")
    parser.set_defaults(run=_training)


def _training(arguments: argparse.Namespace) -> int:
    if reason := training.missing(arguments.store):
        print(f"Not run: {reason}", file=sys.stderr)
        return 2
    pairs = training.measure(
        store=arguments.store, pairs=arguments.pairs, epochs=arguments.epochs, in_workers=arguments.in_workers
    )
    print(training.training_text(pairs))
    return 0


def _add_scaling(parser: argparse.ArgumentParser) -> None:
    products = [name for name, peer in PEERS.items() if peer.is_product]
    parser.add_argument("--product", choices=products, default=products[0])
    parser.add_argument("--repetitions", type=int, choices=range(1, 101), metavar="N", default=None, help="default: 3")
    parser.add_argument("--quick", action="store_true", help="one repetition, short measurements: to see that it runs")
    parser.set_defaults(run=_scaling)


def _scaling(arguments: argparse.Namespace) -> int:
    if reason := native.missing() or PEERS[arguments.product].missing():
        print(f"Not run: {reason}", file=sys.stderr)
        return 2
    repetitions = arguments.repetitions or (1 if arguments.quick else 3)
    scale = fanout.QUICK if arguments.quick else 1.0
    measuring = scaling.Scaling(arguments.product, repetitions=repetitions, scale=scale, progress=_say)
    try:
        costs, checks = measuring.measure()
    except (StartError, native.NativeError, GeneratorError, Impossible) as exc:
        print(f"Not run: {exc}", file=sys.stderr)
        return 2
    print(scaling_text(costs, checks))
    for kind, entries in (("machine", surroundings.machine(measuring.cores)), ("versions", surroundings.versions())):
        print(f"{kind}: " + ", ".join(f"{name} {value}" for name, value in entries.items()))
    return 0


def _fanout(arguments: argparse.Namespace) -> int:
    if reason := native.missing():
        print(f"Not run: {reason}", file=sys.stderr)
        return 2
    wanted = [name for name in PEERS if name in {*ALWAYS, *arguments.peers}]
    failures = {name: reason for name in wanted if (reason := PEERS[name].missing())}
    plan = fanout.Plan(
        rows=tuple(name for name in ROWS if name in arguments.rows),
        peers=tuple(name for name in wanted if name not in failures),
        repetitions=arguments.repetitions or (1 if arguments.quick else 3),
        scale=fanout.QUICK if arguments.quick else 1.0,
    )
    notes = []
    if "original" in plan.peers and (reason := surroundings.slower_original()):
        notes.append(reason)
    run = fanout.Run(plan, progress=_say)
    if run.open_files < native.OPEN_FILES:
        notes.append(f"only {run.open_files} open files are allowed, {native.OPEN_FILES} are needed: ulimit -n")
    facts = {"machine": surroundings.machine(run.cores), "versions": surroundings.versions()}
    try:
        results = run.measure()
    except (StartError, native.NativeError) as exc:
        print(f"Not run: {exc}", *notes, sep="\n", file=sys.stderr)
        return 2
    facts["machine"]["load average after"] = surroundings.load_average()
    failures |= run.failures
    print(fanout_text(plan, results, surroundings=facts, notes=notes, failures=failures))
    if arguments.json:
        found = fanout_json(plan, results, surroundings=facts, notes=notes, failures=failures)
        arguments.json.write_text(json.dumps(found) + "\n")
    return 0


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def _latency(arguments: argparse.Namespace) -> int:
    notes: list[str] = []
    rows = tuple(dict.fromkeys(arguments.rows))
    if any(latency.ROWS[name].server == "original" for name in rows):
        if reason := surroundings.missing_original():
            rows = tuple(name for name in rows if latency.ROWS[name].server != "original")
            notes.append(f"not run: {reason}")
        elif reason := surroundings.slower_original():
            notes.append(reason)
    clients: tuple[latency.Client, ...] = ("socket",)
    if arguments.browser:
        if reason := surroundings.missing_browser():
            notes.append(f"not run: {reason}")
        else:
            clients = ("socket", "chromium")
    if not rows:
        print(*notes, sep="\n", file=sys.stderr)
        return 2
    plan = latency.Plan(
        repetitions=arguments.repetitions,
        updates_per_s=arguments.updates_per_s,
        seconds=arguments.seconds,
        warm_up_s=arguments.warm_up_s,
        rows=rows,
        clients=clients,
    )
    run = latency.Run(plan, progress=_say)
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
    return int(arguments.run(arguments))


if __name__ == "__main__":
    sys.exit(main())
