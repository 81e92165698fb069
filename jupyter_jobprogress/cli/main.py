"""The command ``jupyter jobprogress``: arguments, and which file carries them out."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from importlib import import_module

from jupyter_jobprogress._version import __version__
from jupyter_jobprogress.cli.exits import Exit

_STATUSES = ("queued", "processing", "completed", "failed", "cancelled")


def parser() -> argparse.ArgumentParser:
    """Return the parser of everything but ``serve``, whose options are traits."""
    top = argparse.ArgumentParser(prog="jupyter jobprogress", description="Progress of jobs, from the command line.")
    top.add_argument("--version", action="version", version=__version__)
    commands = top.add_subparsers(dest="command", required=True, metavar="COMMAND")
    commands.add_parser("serve", help="serve jobs without Jupyter", add_help=False)
    where = argparse.ArgumentParser(add_help=False)
    where.add_argument(
        "--url",
        help="server (http, https) or Redis; else JOBPROGRESS_URL, REDIS_URL, or a server of yours that runs here. "
        "A token is read from JOBPROGRESS_TOKEN, never from an argument",
    )

    report = commands.add_parser("report", parents=[where], help="report on a job, from a shell script")
    report.add_argument("job_id")
    report.add_argument("--progress", help="0 to 1, or a percentage with its sign: 40%%")
    for name in ("message", "stage", "unit", "title", "error"):
        report.add_argument(f"--{name}")
    report.add_argument("--n", type=float, help="work done")
    report.add_argument("--total", type=float, help="work expected")
    report.add_argument("--status", choices=_STATUSES)
    report.add_argument("--result", metavar="JSON")
    report.add_argument("--metric", action="append", default=[], metavar="NAME=NUMBER", help="may be repeated")
    report.add_argument("--start", action="store_true", help="begin a new run, and print its number")
    report.add_argument("--run", type=int, help="the run that this belongs to")
    report.add_argument("--strict", action="store_true", help="fail where the report does not arrive")
    report.add_argument("--cancellable", action="store_true", help="exit with 6 if somebody asked to cancel the job")

    listing = commands.add_parser("list", parents=[where], help="list jobs, newest first")
    listing.add_argument("--status", choices=_STATUSES)
    listing.add_argument("--limit", type=int, default=50, help="default: 50")
    listing.add_argument("--json", action="store_true", help="one state a line")

    cancel = commands.add_parser("cancel", parents=[where], help="ask jobs to stop")
    cancel.add_argument("job_ids", nargs="+", metavar="job_id")

    watch = commands.add_parser("watch", parents=[where], help="follow jobs until they have ended")
    watch.add_argument("job_ids", nargs="+", metavar="job_id")
    watch.add_argument("--json", action="store_true", help="every state, one a line")

    ticket = commands.add_parser("ticket", parents=[where], help="make a token for a job on another machine")
    ticket.add_argument("job_id", nargs="?")
    ticket.add_argument("--watch", action="store_true", help="to watch, in place of reporting")
    ticket.add_argument("--prefix", action="store_true", help="for every job whose id begins so")
    ticket.add_argument("--expires", default="7d", help="s, m, h or d: 90m, 7d (default)")
    ticket.add_argument("--revoke", metavar="ID", help="take back the ticket of this id, in place of making one")
    ticket.add_argument("--public-url", help="address of the server as the job sees it, where it is another")

    run = commands.add_parser("run", parents=[where], help="run a script unchanged, with its bars of tqdm as jobs")
    run.add_argument("--job-id", help="default: the name of the script and a number")
    run.add_argument("--title", help="default: the name of the script")
    run.add_argument("-m", dest="module", action="store_true", help="it is the name of a module, as for python -m")
    run.add_argument("first", metavar="script")
    run.add_argument("rest", nargs=argparse.REMAINDER, metavar="...", help="its arguments")

    doctor = commands.add_parser("doctor", parents=[where], help="say what works here, and how to mend what does not")
    doctor.add_argument("--json", action="store_true", help="all findings as one JSON array")

    demo = commands.add_parser("demo", help="a server, a job in another process, and its progress; needs nothing else")
    demo.add_argument("--port", type=_port, default=0, help="default: any that is free")
    demo.add_argument("--no-browser", dest="browser", action="store_false", help="only print the URL of the page")
    return top


def _port(text: str) -> int:
    if not 0 <= (port := int(text)) <= 65535:
        raise ValueError
    return port


_port.__name__ = "port"  # as argparse says it


def main(argv: Sequence[str] | None = None) -> int:
    """Carry out a command and return its exit code."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    if arguments[:1] == ["serve"] and "--hub" in arguments:
        from jupyter_jobprogress.server.hub_app import JobProgressHub

        JobProgressHub.launch_instance([argument for argument in arguments[1:] if argument != "--hub"])
        return Exit.OK
    if arguments[:1] == ["serve"]:
        from jupyter_jobprogress.server.standalone import JobProgressServer

        JobProgressServer.launch_instance(arguments[1:])
        return Exit.OK
    options = parser().parse_args(arguments)
    if options.command == "run":
        from jupyter_jobprogress.cli.run import command

        return command(options)
    from jupyter_jobprogress.cli.running import run

    return run(import_module(f"jupyter_jobprogress.cli.{options.command}").command, options)
