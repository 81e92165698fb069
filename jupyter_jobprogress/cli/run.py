"""``jupyter jobprogress run``: an unchanged script as a job, with its bars of tqdm as parts of it.

The script runs in this very process, as ``__main__``, with its own ``sys.argv`` and ``sys.path[0]``: what it prints,
reads and returns is its own affair. What cannot be reported costs the bar, and not the script.
"""

from __future__ import annotations

import atexit
import builtins
import io
import os
import runpy
import signal
import sys
import threading
from argparse import Namespace
from contextlib import nullcontext
from importlib.machinery import SourceFileLoader
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType, TracebackType
from typing import Final

from jupyter_jobprogress.cli.exits import Exit
from jupyter_jobprogress.cli.running import complain
from jupyter_jobprogress.client.places import find
from jupyter_jobprogress.errors import JobCancelled, NoServerError, ProtocolError, SettingsError
from jupyter_jobprogress.integrations import hook
from jupyter_jobprogress.integrations.bars import PARENT, script_job
from jupyter_jobprogress.reporter.destination import disabled
from jupyter_jobprogress.reporter.job import Job, within
from jupyter_jobprogress.settings import Settings

INTERRUPTED: Final = 130

_STARTUP: Final = str(Path(hook.__file__).with_name("startup"))


def command(options: Namespace) -> int:
    """Run a script, and return its exit code; 130 where it was interrupted or cancelled."""
    name = options.first
    _set_path(name, module=options.module)
    if not _exists(name, module=options.module):
        complain(f"There is no {'module' if options.module else 'file'} {name!r} to run.")
        return Exit.USAGE
    try:
        job = _begin(options, name)
    except (ProtocolError, SettingsError) as exc:
        complain(str(exc))
        return Exit.USAGE
    sys.argv = [name, *options.rest]
    if job is None:
        return _say(_execute(name, module=options.module), None)
    end = _End(job)
    # After the script's own threads and exit handlers, which may report yet, and before the sender stops.
    atexit.register(end)
    # A shell lets what it puts into the background ignore SIGINT. There the bars leave their loops themselves.
    deaf = signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    with within(job) if deaf else nullcontext():
        end.exc = _execute(name, module=options.module)
    return _say(end.exc, job)


def _begin(options: Namespace, name: str) -> Job | None:
    """Start the job of the script, and tell its bars and its children of it. None: nothing is reported."""
    if disabled():
        return None
    try:
        settings = find(options.url)
    except NoServerError:
        complain("No server or store was found, and nothing is reported. Set JOBPROGRESS_URL, or add --url.")
        return None
    except SettingsError as exc:
        if exc.name == "url":
            raise
        complain(f"Nothing is reported: {exc}")
        return None
    _export(settings)
    job = Job(
        options.job_id,
        title=options.title or (name if options.module else Path(name).name),
        parent_id=script_job()[0] or None,
        display=False,
        handle_sigterm=True,
        settings=settings,
    )
    job._loop = _Interrupter()
    os.environ[PARENT] = f"{job.id} {os.getpid()}"
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, (_STARTUP, os.environ.get("PYTHONPATH"))))
    hook.install()
    return job


def _export(settings: Settings) -> None:
    """Let the bars, and the children of the script, report where the script does."""
    for name, value in (
        ("JOBPROGRESS_URL", settings.url),
        ("JOBPROGRESS_TOKEN", settings.token),
        ("JOBPROGRESS_CA_FILE", settings.ca_file),
    ):
        os.environ.pop(name, None)
        if value:
            os.environ[name] = value


class _Interrupter:
    """Stands where the loop of a job stands: whoever cancels the script interrupts its main thread, as Ctrl-C does."""

    done: Final = 0

    def interrupt(self) -> None:
        main = threading.main_thread().ident
        if main is not None and signal.getsignal(signal.SIGINT) is not signal.SIG_IGN:
            signal.pthread_kill(main, signal.SIGINT)  # to this thread, so that it also wakes from a blocking call

    def release(self) -> None:
        pass


class _End:
    """Ends the job at exit as the script ended."""

    def __init__(self, job: Job) -> None:
        self._job = job
        self.exc: BaseException | None = None

    def __call__(self) -> None:
        job, exc = self._job, self.exc
        if job.cancel_requested and exc is not None:
            job.cancel("Cancelled on request")
        elif isinstance(exc, SystemExit):
            if code := _code(exc):
                job.fail(f"Exit code {code}" if isinstance(exc.code, int) else str(exc.code))
            else:
                job.complete()
        elif exc is None:
            job.complete()
        else:
            job._end_by(exc)


def _set_path(name: str, *, module: bool) -> None:
    if not sys.flags.safe_path:
        sys.path[0] = os.getcwd() if module else os.path.dirname(os.path.realpath(name))


def _exists(name: str, *, module: bool) -> bool:
    if not module:
        return os.path.isfile(name)
    try:
        return find_spec(name) is not None
    except (ImportError, ValueError):
        return False


def _execute(name: str, *, module: bool) -> BaseException | None:
    """Run a script as Python does, and return what ended it, with the frames of the script alone."""
    try:
        if module:
            runpy.run_module(name, run_name="__main__", alter_sys=True)
        else:
            _execute_file(os.path.abspath(name))
    except BaseException as exc:  # noqa: BLE001 — whatever ends the script is passed on, after the job has heard of it
        return exc.with_traceback(_of_script(exc.__traceback__))
    return None


def _execute_file(path: str) -> None:
    """Not by runpy, which takes ``__main__`` away again before the script's threads and exit handlers have ended."""
    main = ModuleType("__main__")
    loader = SourceFileLoader("__main__", path)
    main.__dict__.update(__file__=path, __builtins__=builtins, __loader__=loader, __cached__=None, __annotations__={})
    sys.modules["__main__"] = main
    with io.open_code(path) as file:
        code = compile(file.read(), path, "exec", dont_inherit=True)
    exec(code, main.__dict__)


def _of_script(trace: TracebackType | None) -> TracebackType | None:
    while trace is not None and trace.tb_frame.f_globals.get("__name__") in (__name__, "runpy"):
        trace = trace.tb_next
    return trace


def _say(exc: BaseException | None, job: Job | None) -> int:
    """Print what Python prints when it ends by this, and return its exit code."""
    if exc is None:
        return 0
    if isinstance(exc, SystemExit):
        if not isinstance(exc.code, int | None):
            print(exc.code, file=sys.stderr)
        return _code(exc)
    if isinstance(exc, JobCancelled) or (
        isinstance(exc, KeyboardInterrupt) and job is not None and job.cancel_requested
    ):
        complain(str(exc) or "The script was cancelled.")
        return INTERRUPTED
    sys.last_type, sys.last_value, sys.last_traceback = type(exc), exc, exc.__traceback__
    sys.excepthook(type(exc), exc, exc.__traceback__)
    return INTERRUPTED if isinstance(exc, KeyboardInterrupt) else 1


def _code(exc: SystemExit) -> int:
    if exc.code is None:
        return 0
    return exc.code if isinstance(exc.code, int) else 1
