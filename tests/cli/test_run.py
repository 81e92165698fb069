"""``jupyter jobprogress run``: real scripts, against a real server."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from jupyter_jobprogress.cli.exits import Exit
from tests.support.chaos import ChaosProxy
from tests.support.jupyter import isolated_environment
from tests.support.standalone import Serving, serving

RUN = [sys.executable, "-m", "jupyter_jobprogress", "run"]
WITHIN_S = 30.0

BARS = """
import sys, time
from {module} import tqdm
for epoch in tqdm(range(2), desc="Epochs", unit="epoch"):
    bar = tqdm(range(20), leave=False)
    for batch in bar:
        time.sleep(0.02)
    bar.set_postfix(loss=0.25)
print("done")
"""

EVERYTHING = """
import pickle, sys
class Mine: pass
print(sys.argv, __name__, __file__, __package__, __spec__ and __spec__.name, sys.path[0])
print(pickle.loads(pickle.dumps(Mine())).__class__ is sys.modules["__main__"].Mine is Mine)
print(__builtins__ is not None, __loader__ is not None)
print(sys.stdin.read().upper(), file=sys.stderr)
import atexit
atexit.register(print, "left")
{end}
"""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    with serving(tmp_path_factory.mktemp("run")) as running:
        yield running


class Scripts:
    """Runs scripts in a folder of their own, with and without us."""

    def __init__(self, folder: Path, server: Serving) -> None:
        self.folder = folder
        self.server = server
        self.environment = dict(server.environment)
        self.started: list[subprocess.Popen[str]] = []

    def write(self, text: str, name: str = "train.py") -> None:
        (self.folder / name).write_text(text)

    def start(self, *command: str, **options: Any) -> subprocess.Popen[str]:
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        process = subprocess.Popen(command, cwd=self.folder, env=self.environment, text=True, **pipes, **options)
        self.started.append(process)
        return process

    def run(self, *arguments: str, words: str = "") -> tuple[int, str, str]:
        """Return exit code, stdout and stderr of a command."""
        process = self.start(*arguments, stdin=subprocess.PIPE)
        out, err = process.communicate(words, timeout=WITHIN_S)
        return process.returncode, out, err

    def states(self) -> dict[str, dict[str, Any]]:
        command = [sys.executable, "-m", "jupyter_jobprogress", "list", "--json", "--limit=1000"]
        done = subprocess.run(command, env=self.server.environment, capture_output=True, check=True, timeout=WITHIN_S)
        return {state["job_id"]: state for state in map(json.loads, done.stdout.splitlines())}

    def until(self, true: Callable[[dict[str, dict[str, Any]]], object]) -> None:
        deadline_s = time.monotonic() + WITHIN_S
        while not true(self.states()):
            assert time.monotonic() < deadline_s, self.states()

    def cancel(self, job_id: str) -> None:
        command = [sys.executable, "-m", "jupyter_jobprogress", "cancel", job_id]
        subprocess.run(command, env=self.server.environment, check=True, timeout=WITHIN_S)


@pytest.fixture
def scripts(tmp_path: Path, server: Serving) -> Iterator[Scripts]:
    found = Scripts(tmp_path, server)
    yield found
    for process in found.started:
        if process.poll() is None:  # its test failed
            process.kill()
            process.communicate()


@pytest.mark.parametrize(
    ("how", "end"),
    [
        ("train.py", ""),
        ("train.py", "sys.exit(3)"),
        ("train.py", "sys.exit('no data')"),
        ("train.py", "raise ValueError('broken')"),
        ("-m train", "sys.exit(None)"),
        ("-m train", "import absent"),
    ],
)
def test_a_script_notices_nothing(scripts: Scripts, how: str, end: str) -> None:
    scripts.write(EVERYTHING.format(end=end))
    arguments = (*how.split(), "--epochs", "3", "-m", "--url=x")

    alone = scripts.run(sys.executable, *arguments, words="hello")
    within = scripts.run(*RUN, *arguments, words="hello")

    assert within[:2] == alone[:2]
    assert within[2] == "".join(line for line in alone[2].splitlines(True) if "<frozen runpy>" not in line)


@pytest.mark.parametrize(
    ("end", "status", "words"),
    [
        ("pass", "completed", "Job completed"),
        ("raise SystemExit(3)", "failed", "Exit code 3"),
        ("raise SystemExit('no data')", "failed", "no data"),
        ("raise ValueError('broken')", "failed", "ValueError: broken"),
    ],
)
def test_the_script_is_a_job_and_ends_as_it_ends(scripts: Scripts, end: str, status: str, words: str) -> None:
    job_id = f"end-{len(words)}"
    scripts.write(end)
    scripts.run(*RUN, "--job-id", job_id, "train.py")

    state = scripts.states()[job_id]
    assert (state["status"], state.get("error", state["message"])) == (status, words)
    assert state["title"] == "train.py"
    if "ValueError" in words:
        assert "train.py" in state["metadata"]["traceback"]
        assert "cli/run.py" not in state["metadata"]["traceback"]


@pytest.mark.parametrize("module", ["tqdm", "tqdm.std", "tqdm.auto", "tqdm.asyncio", "tqdm.rich", "tqdm.notebook"])
def test_bars_of_every_class_are_parts_of_the_script(scripts: Scripts, module: str) -> None:
    job_id = module.replace(".", "-")
    scripts.write(BARS.format(module=module))

    code, out, _ = scripts.run(*RUN, "--job-id", job_id, "train.py")

    states = scripts.states()
    outer, inner = f"{job_id}.train-4", f"{job_id}.train-4.train-5"
    assert (code, out.splitlines()[-1]) == (0, "done")
    assert [states[name]["status"] for name in (job_id, outer, inner)] == ["completed"] * 3
    assert [states[name].get("parent_id") for name in (job_id, outer, inner)] == [None, job_id, outer]
    assert (states[outer]["title"], states[outer]["n"], states[outer]["total"]) == ("Epochs", 2, 2)
    assert (states[outer]["unit"], states[inner]["n"]) == ("epoch", 20)


def test_bars_print_what_tqdm_prints(scripts: Scripts) -> None:
    scripts.write("from tqdm import tqdm\nfor _ in tqdm(range(3), bar_format='{n}/{total} {desc}', desc='Fit'): pass")

    assert scripts.run(*RUN, "train.py") == scripts.run(sys.executable, "train.py")


CHILDREN = """
import multiprocessing, subprocess, sys
def work():
    from tqdm import tqdm
    import marked
    assert marked.by == ["the user"]
    with tqdm(total=3, desc=multiprocessing.current_process().name) as bar:
        bar.update(3)
if __name__ == "__main__":
    for method in ("fork", "spawn"):
        child = multiprocessing.get_context(method).Process(target=work, name=method)
        child.start()
        child.join()
        assert child.exitcode == 0
    subprocess.run([sys.executable, "other.py"], check=True)
    light = "import sys; print([name for name in sys.modules if 'reporter' in name or name == 'asyncio'])"
    subprocess.run([sys.executable, "-c", light], check=True)
"""


def test_children_report_too_and_cost_nothing_without_tqdm(scripts: Scripts) -> None:
    scripts.write(CHILDREN)
    scripts.write("by = []", "marked.py")
    scripts.write("import marked; marked.by.append('the user')", "sitecustomize.py")
    scripts.write("from tqdm import trange\nfor _ in trange(4, desc='other'): pass", "other.py")
    scripts.environment["PYTHONPATH"] = os.pathsep.join(
        [str(scripts.folder), scripts.environment.get("PYTHONPATH", "")]
    )

    code, out, err = scripts.run(*RUN, "--job-id", "family", "train.py")

    assert (code, out) == (0, "[]\n"), err
    parts = [state for state in scripts.states().values() if state.get("parent_id") == "family"]
    assert {state["title"] for state in parts} == {"fork", "spawn", "other"}
    assert {state["status"] for state in parts} == {"completed"}
    assert len({state["origin"]["pid"] for state in parts}) == 3


POOL = """
import multiprocessing
def work(number):
    from tqdm import tqdm
    for _ in tqdm(range(3), desc=f"part {number}"):
        pass
if __name__ == "__main__":
    with multiprocessing.get_context("%s").Pool(1) as pool:
        pool.map(work, range(2))
"""


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
async def test_bars_of_a_pool_tell_their_end_though_it_ends_its_processes(
    scripts: Scripts, server: Serving, method: str
) -> None:
    scripts.write(POOL % method)
    async with ChaosProxy(urlsplit(server.url).port or 0) as slow:
        slow.delay_s = 0.1
        scripts.environment |= {
            "JOBPROGRESS_URL": f"http://127.0.0.1:{slow.port}/",
            "JOBPROGRESS_TOKEN": server.told.token,
        }
        code, _, err = await asyncio.to_thread(scripts.run, *RUN, "--job-id", method, "train.py")

    assert code == 0, err
    parts = [state for state in scripts.states().values() if state.get("parent_id") == method]
    assert [(state["title"], state["status"]) for state in parts] == [("part 1", "completed")]


WAITING = """
import time
try:
    print("ready", flush=True)
    {wait}
finally:
    print("tidied")
"""


def test_cancelling_interrupts_a_script_that_waits(scripts: Scripts) -> None:
    scripts.write(WAITING.format(wait="time.sleep(60)"))
    process = scripts.start(*RUN, "--job-id", "waits", "train.py")
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    scripts.until(lambda states: "waits" in states)

    scripts.cancel("waits")
    out, err = process.communicate(timeout=WITHIN_S)

    assert (process.returncode, out) == (130, "tidied\n")
    assert "Traceback" not in err
    state = scripts.states()["waits"]
    assert (state["status"], state["message"]) == ("cancelled", "Cancelled on request")


LOOPING = "[time.sleep(0.01) for _ in __import__('tqdm').tqdm(iter(int, 1))]"


@pytest.mark.parametrize("whom", ["{id}", "{id}.train-5"], ids=["script", "bar"])
def test_a_bar_leaves_its_loop_where_interrupts_are_ignored_or_it_alone_is_cancelled(
    scripts: Scripts, whom: str
) -> None:
    job_id = "deaf" if whom == "{id}" else "heard"
    scripts.write(WAITING.format(wait=LOOPING))
    ignoring = ["sh", "-c", 'trap "" INT; exec "$@"', "sh"] if job_id == "deaf" else []
    process = scripts.start(*ignoring, *RUN, "--job-id", job_id, "train.py")
    scripts.until(lambda states: f"{job_id}.train-5" in states)

    scripts.cancel(whom.format(id=job_id))
    out, err = process.communicate(timeout=WITHIN_S)

    assert (process.returncode, out) == (130, "ready\ntidied\n"), err
    states = scripts.states()
    assert states[job_id]["status"] == states[f"{job_id}.train-5"]["status"] == "cancelled"


@pytest.mark.parametrize(
    ("number", "code", "words"),
    [(signal.SIGINT, 130, "Interrupted"), (signal.SIGTERM, -signal.SIGTERM, "Terminated")],
)
def test_signals_end_the_script_as_ever_and_the_job_hears_of_it(
    scripts: Scripts, number: signal.Signals, code: int, words: str
) -> None:
    scripts.write(WAITING.format(wait="time.sleep(60)"))
    process = scripts.start(*RUN, "--job-id", words, "train.py")
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    process.send_signal(number)
    _, err = process.communicate(timeout=WITHIN_S)

    assert process.returncode == code
    assert ("KeyboardInterrupt" in err) == (number == signal.SIGINT)
    state = scripts.states()[words]
    assert (state["status"], state["message"]) == ("cancelled", words)


def test_without_a_server_the_script_runs_all_the_same(scripts: Scripts, tmp_path: Path) -> None:
    scripts.write("import sys\nfrom tqdm import trange\nfor _ in trange(3, disable=True): pass\nsys.exit(7)")
    scripts.environment = isolated_environment(tmp_path)
    code, _, err = scripts.run(*RUN, "train.py")
    assert code == 7
    assert "nothing is reported" in err

    scripts.environment["JOBPROGRESS_URL"] = "http://127.0.0.1:9/"
    assert scripts.run(*RUN, "train.py")[0] == 7

    scripts.environment["JOBPROGRESS_DISABLE"] = "1"
    assert scripts.run(*RUN, "train.py") == (7, "", "")


@pytest.mark.parametrize("wrong", [("absent.py",), ("-m", "absent"), ("--job-id", "x y", "train.py"), ()])
def test_wrong_usage_runs_nothing(scripts: Scripts, wrong: tuple[str, ...]) -> None:
    scripts.write("print('it runs')")

    code, out, err = scripts.run(*RUN, *wrong)

    assert (code, out) == (Exit.USAGE, "")
    assert "Traceback" not in err
