"""Bars of jobs in real terminals, as a person sees them."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.support.kernel import kernel_environment
from tests.support.terminal import Terminal, in_terminal

HEAD = "import logging, os, subprocess, sys, threading, time\nfrom jupyter_jobprogress import Job, track\n"


def script(folder: Path, code: str) -> str:
    path = folder / "script.py"
    path.write_text(HEAD + code)
    return str(path)


def is_clean(terminal: Terminal) -> bool:
    """Whether the next prompt of a shell would stand where a line begins, with its cursor."""
    return terminal.cursor == (True, 0)


def test_a_loop_in_a_script_has_a_bar_that_moves_and_stays_when_it_is_done(tmp_path: Path) -> None:
    go = tmp_path / "go"
    code = f"""
for n in track(range(8), title="Embed", unit="images"):
    while n == 2 and not os.path.exists({str(go)!r}): time.sleep(0.01)
print("and on")
"""
    with in_terminal(script(tmp_path, code)) as terminal:
        terminal.shows("▶ Embed", "25 %", "2 / 8 images")
        go.touch()

        assert terminal.end() == 0

        done, after = terminal.lines
        assert done.startswith("✓ Embed")
        assert "100 %" in done
        assert "8 images" in done
        assert after == "and on"
        assert is_clean(terminal)


def test_what_is_printed_passes_above_the_bar_and_stays_as_it_is(tmp_path: Path) -> None:
    code = """
logging.basicConfig(level="INFO", format="logged %(message)s")
with Job("train", total=3) as job:
    for n in range(3):
        job.update()
        print("out", n)
        print("err", n, file=sys.stderr)
        logging.info("%s", n)
        print("a", end=""); time.sleep(0.5); print("b" * 120)
"""
    with in_terminal(script(tmp_path, code)) as terminal:
        assert terminal.end() == 0

        wrapped = ["a" + "b" * 99, "b" * 21]
        printed = [line for n in range(3) for line in (f"out {n}", f"err {n}", f"logged {n}", *wrapped)]
        assert terminal.lines[:-1] == printed
        assert terminal.lines[-1].startswith("✓ train")


@pytest.mark.parametrize("last", ["print('!')", ""])
def test_a_line_that_is_printed_in_pieces_stays_whole_and_the_end_is_told_after_it(last: str, tmp_path: Path) -> None:
    code = f"""
print("dots", end="", flush=True)
for n in track(range(4), title="Dots"):
    print(".", end="", flush=True); time.sleep(0.3)
time.sleep(0.5)
{last}
"""
    with in_terminal(script(tmp_path, code)) as terminal:
        assert terminal.end() == 0

        dots, end = terminal.lines
        assert dots.endswith("...." + "!" * bool(last))
        assert end.startswith("✓ Dots")


def test_what_a_child_process_writes_is_not_lost(tmp_path: Path) -> None:
    code = """
for n in track(range(4), title="Convert"):
    subprocess.run(["echo", f"child {n} writes"])
    time.sleep(0.3)
"""
    with in_terminal(script(tmp_path, code)) as terminal:
        assert terminal.end() == 0

        for n in range(4):
            assert f"child {n} writes" in terminal.text
        assert terminal.lines[-1].startswith("✓ Convert")


def test_a_loop_in_a_loop_is_one_line_and_jobs_side_by_side_have_one_each(tmp_path: Path) -> None:
    code = """
def work(name):
    with Job(title=name, total=5) as job:
        for _ in range(5): job.update(); time.sleep(0.2)
for epoch in track(range(3), title="Epochs"):
    for batch in track(range(3), title="Batches"): time.sleep(0.01)
threads = [threading.Thread(target=work, args=(name,)) for name in ("Left", "Right")]
for thread in threads: thread.start()
for thread in threads: thread.join()
"""
    with in_terminal(script(tmp_path, code)) as terminal:
        terminal.until(
            lambda lines: any("▶ Left" in line for line in lines) and any("▶ Right" in line for line in lines)
        )
        assert terminal.end() == 0

        assert sorted(" ".join(line.split()[:2]) for line in terminal.lines) == [
            "✓ Batches",
            "✓ Epochs",
            "✓ Left",
            "✓ Right",
        ]
        assert is_clean(terminal)


def test_a_loop_in_a_loop_is_one_line_also_where_neither_has_a_title(tmp_path: Path) -> None:
    code = """
for epoch in track(range(4)):
    for batch in track(range(3)): time.sleep(0.05)
"""
    with in_terminal(script(tmp_path, code)) as terminal:
        assert terminal.end() == 0

        outer, inner = terminal.lines
        assert outer.startswith("✓ job-")
        assert outer.rstrip().endswith(" 4")
        assert inner.rstrip().endswith(" 3")


def test_many_jobs_at_once_fit_into_a_small_terminal(tmp_path: Path) -> None:
    code = """
jobs = [Job(title=f"Job {n}", total=2) for n in range(30)]
for job in jobs: job.update(); time.sleep(0.02)
time.sleep(0.5)
print("in between")
for job in jobs[5:]: job.complete()
time.sleep(0.5)
for job in jobs: job.complete()
"""
    with in_terminal(script(tmp_path, code), columns=40, lines=6) as terminal:
        assert terminal.end() == 0

        history = ["".join(line[x].data for x in range(40)).rstrip() for line in terminal._screen.history.top]
        assert [line for line in history + terminal.lines if line.startswith("in between")] == ["in between"]
        assert len(history + terminal.lines) <= 12  # nothing was drawn twice
        assert all(len(line) < 40 for line in terminal.lines)


@pytest.mark.parametrize(
    ("end", "code", "sign", "said"),
    [
        ("raise ValueError('no more disk')", 1, "✗ Train", "ValueError: no more disk"),
        ("sys.exit(3)", 3, "✗ Train", "Failed"),
        ("os.kill(os.getpid(), 2); time.sleep(9)", -2, "⊘ Train", "Cancelled"),
    ],
    ids=["error", "exit", "interrupt"],
)
def test_an_end_before_the_end_is_told_and_leaves_the_terminal_clean(
    end: str, code: int, sign: str, said: str, tmp_path: Path
) -> None:
    source = f"""
with Job("train", title="Train", total=4) as job:
    job.update(2); time.sleep(0.3)
    {end}
"""
    with in_terminal(script(tmp_path, source)) as terminal:
        assert terminal.end() == code

        (line,) = [line for line in terminal.lines if "Train" in line and "50 %" in line]
        assert line.startswith(sign)
        assert said in line
        assert is_clean(terminal)


def test_ctrl_c_in_a_loop_is_told_below_its_traceback(tmp_path: Path) -> None:
    with in_terminal(script(tmp_path, "for n in track(range(10**9), title='Count'): time.sleep(0.01)")) as terminal:
        terminal.shows("▶ Count")

        terminal.interrupt()

        assert terminal.end() != 0
        assert "KeyboardInterrupt" in terminal.lines[-2]
        assert terminal.lines[-1].startswith("⊘ Count")
        assert "Interrupted" in terminal.lines[-1]
        assert is_clean(terminal)


def test_a_killed_process_has_hidden_no_cursor(tmp_path: Path) -> None:
    with in_terminal(script(tmp_path, "for n in track(range(10**9), title='Count'): time.sleep(0.01)")) as terminal:
        terminal.shows("▶ Count")
        terminal.process.kill()
        terminal.end()

        assert terminal.cursor[0]
        assert b"\x1b[?25l" not in terminal.written


def test_a_question_in_between_is_not_drawn_over(tmp_path: Path) -> None:
    code = """
with Job("ask", total=2) as job:
    job.update()
    time.sleep(0.5)
    print(f"got {input('Go on? ')}")
    job.update()
"""
    with in_terminal(script(tmp_path, code)) as terminal:
        terminal.shows("Go on?")
        terminal.type("yes\n")

        assert terminal.end() == 0
        assert "got yes" in terminal.lines


def test_children_of_the_process_draw_nothing(tmp_path: Path) -> None:
    code = """
import multiprocessing
def work(n):
    with Job(title=f"Inner {n}", total=1) as inner: inner.update(); time.sleep(0.3)
    return n
if __name__ == "__main__":
    for method in ("fork", "spawn"):
        with multiprocessing.get_context(method).Pool(2) as pool:
            for n in track(pool.imap(work, range(3)), total=3, title=method): pass
    if (pid := os.fork()) == 0:
        with Job(title="Forked", total=1) as job: job.update(); time.sleep(0.3)
        print("child prints"); sys.stdout.flush(); os._exit(0)
    os.waitpid(pid, 0)
"""
    with in_terminal(script(tmp_path, code)) as terminal:
        assert terminal.end() == 0

        assert "Inner" not in terminal.text
        assert "Forked" not in terminal.text
        assert "child prints" in terminal.text
        assert [line.split()[:2] for line in terminal.lines if "✓" in line] == [["✓", "fork"], ["✓", "spawn"]]


@pytest.mark.parametrize("how", ["argument", "environment", "disabled", "dumb"])
def test_nothing_is_drawn_where_nothing_is_wanted(how: str, tmp_path: Path) -> None:
    display = ", display=False" if how == "argument" else ""
    environment = {
        "argument": {},
        "environment": {"JOBPROGRESS_DISPLAY": "off"},
        "disabled": {"JOBPROGRESS_DISABLE": "1"},
        "dumb": {"TERM": "dumb"},
    }[how]
    code = f"for n in track(range(3), title='Quiet'{display}): time.sleep(0.2)\nprint(type(sys.stdout).__name__)"
    with in_terminal(script(tmp_path, code), environment=environment) as terminal:
        assert terminal.end() == 0

        assert terminal.lines == ["TextIOWrapper"]
        assert b"\x1b" not in terminal.written


def test_only_the_terminal_gets_the_bar_where_output_goes_into_a_file(tmp_path: Path) -> None:
    out = tmp_path / "out.txt"
    code = f"""
os.dup2(os.open({str(out)!r}, os.O_WRONLY | os.O_CREAT), 1)
for n in track(range(3), title="Split"): print(n); time.sleep(0.1)
"""
    with in_terminal(script(tmp_path, code)) as terminal:
        assert terminal.end() == 0

        assert out.read_text() == "0\n1\n2\n"
        assert terminal.lines[-1].startswith("✓ Split")


def test_a_closed_or_missing_standard_error_stops_no_job(tmp_path: Path) -> None:
    code = """
for end in ("sys.stderr.close()", "sys.stderr = None", "os.close(2)"):
    if os.fork() == 0:
        os.execv(sys.executable, [sys.executable, "-c", f"import os, sys; {end}\\n" + LOOP])
    _, status = os.wait()
    assert status == 0, (end, status)
job = Job("open", total=2)
time.sleep(0.3)
os.close(2); sys.stderr.close()
job.update(); time.sleep(0.5); job.complete()
print("all went well")
"""
    loop = "from jupyter_jobprogress import track\nassert sum(track(range(10))) == 45"
    with in_terminal(script(tmp_path, f"LOOP = {loop!r}\n{code}")) as terminal:
        assert terminal.end() == 0
        assert terminal.lines[-1].endswith("all went well")


def test_a_terminal_of_ascii_alone_gets_ascii(tmp_path: Path) -> None:
    environment = {"PYTHONIOENCODING": "ascii:backslashreplace", "PYTHONUTF8": "0", "LC_ALL": "C"}
    with in_terminal(
        script(tmp_path, "for n in track(range(3), title='Plain'): time.sleep(0.1)"), environment=environment
    ) as terminal:
        assert terminal.end() == 0

        assert terminal.lines[-1].startswith("+ Plain")
        assert terminal.written.isascii()


def test_what_a_job_says_cannot_move_the_cursor(tmp_path: Path) -> None:
    code = r"""
with Job("evil", title="\x1b[2J\x1b]0;owned\x07[red]evil", total=2) as job:
    job.report(message="\r\n\x1b[1A\x9b2J" + "x" * 500, stage="\x1b[31m"); job.update(); time.sleep(0.5)
    job.fail("\x1b[2J\n\n")
"""
    with in_terminal(script(tmp_path, code)) as terminal:
        assert terminal.end() == 0

        assert b"\x1b[2J" not in terminal.written
        assert b"\x1b]0" not in terminal.written
        assert "\x9b" not in terminal.written.decode()
        assert len(terminal.lines) == 1
        assert "[red]evil" in terminal.lines[0]


def test_at_a_prompt_of_python_a_bar_leaves_the_line_to_its_user() -> None:
    lines = [
        HEAD.strip().replace("\n", "; "),
        "def count():\n  while not job.closed: job.update(); time.sleep(0.01)\n",
        "job = Job(title='Behind', total=10**6); thread = threading.Thread(target=count); thread.start()",
        "time.sleep(0.6)",
        "6 * 7",
        "time.sleep(0.6)",
        "job.complete(); thread.join()",
        "exit()",
    ]
    with in_terminal("-q") as terminal:
        for line in lines:
            terminal.until(lambda shown: shown[-1:] == [">>>"])
            time.sleep(0.5 if line == "6 * 7" else 0)  # in which a bar would be drawn
            terminal.type(f"{line}\n")
            terminal.shows(f"{line.splitlines()[0][:60]}")

        assert terminal.end() == 0
        assert terminal.lines[terminal.lines.index(">>> 6 * 7") + 1] == "42"
        assert [line for line in terminal.lines if line.startswith("▶ Behind")]
        assert not [line for line in terminal.lines if ">>>" in line and "━" in line]


def test_a_job_that_ends_while_its_user_writes_does_not_write_into_the_line() -> None:
    lines = [
        HEAD.strip().replace("\n", "; "),
        "def count(): [(job.update(), time.sleep(0.01)) for _ in range(100)]; job.complete()\n",
        "job = Job(title='Behind', total=100); thread = threading.Thread(target=count); thread.start()",
    ]
    with in_terminal("-q") as terminal:
        for line in lines:
            terminal.until(lambda shown: shown[-1:] == [">>>"])
            terminal.type(f"{line}\n")
            terminal.shows(f"{line.splitlines()[0][:60]}")
        terminal.until(lambda shown: shown[-1:] == [">>>"])
        terminal.type("job.wait(30), 6 ")
        terminal.shows(">>> job.wait(30), 6")
        time.sleep(2)  # in which the job ends, and its end would be drawn
        terminal.type("* 7\n")

        terminal.shows("✓ Behind", "100 %")
        terminal.shows("(True, 42)")
        terminal.type("exit()\n")
        assert terminal.end() == 0
        assert ">>> job.wait(30), 6 * 7" in terminal.lines
        assert terminal.lines.index("(True, 42)") == next(
            index + 1 for index, line in enumerate(terminal.lines) if line.startswith("✓ Behind")
        )


def test_in_ipython_the_end_of_a_cell_tells_how_its_loop_ended(tmp_path: Path) -> None:
    environment = {"IPYTHONDIR": str(tmp_path), "PROMPT_TOOLKIT_NO_CPR": "1"}
    with in_terminal(
        "-m", "IPython", "--no-banner", "--simple-prompt", "--no-confirm-exit", environment=environment
    ) as terminal:
        terminal.shows("In [1]:")
        terminal.type("from jupyter_jobprogress import track\n")
        terminal.shows("In [2]:")
        terminal.type("for n in track(range(4), title='Cells'): 1 / (2 - n)\n")

        terminal.shows("✗ Cells", "ZeroDivisionError")
        terminal.shows("In [3]:")
        terminal.type("exit\n")
        assert terminal.end() == 0


def test_a_pipe_gets_lines_and_no_bar(tmp_path: Path) -> None:
    code = "for n in track(range(4), title='Piped'): time.sleep(0.01)\n"
    path = script(tmp_path, code)

    def run(**environment: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, path],
            capture_output=True,
            text=True,
            env=kernel_environment(**environment),
            timeout=60,
            check=True,
        )

    quiet, asked = run(), run(JOBPROGRESS_DISPLAY="lines")

    assert (quiet.stdout, quiet.stderr) == ("", "")
    first, last = asked.stderr.splitlines()
    assert first.startswith("Piped: Running, 0 %, 0 / 4")
    assert last.startswith("Piped: Completed, 100 %")
