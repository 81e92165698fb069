"""Whatever a job is told, it goes on, is told each oddity once, and what it sends is strict JSON."""

from __future__ import annotations

import json
import logging
import math
import random
import subprocess
from collections import Counter
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import numpy as np
import pytest

from jupyter_jobprogress.errors import InvalidJobIdError
from jupyter_jobprogress.protocol.messages import Outcome
from jupyter_jobprogress.protocol.state import State
from jupyter_jobprogress.reporter.composer import Composer
from jupyter_jobprogress.reporter.facts import own_origin
from jupyter_jobprogress.reporter.job import Job
from jupyter_jobprogress.reporter.progress_reporter import ProgressReporter
from jupyter_jobprogress.reporter.sender import Sender
from jupyter_jobprogress.settings import Settings

Read = Callable[[str], State]
Until = Callable[..., None]

CASES = 5000
JOBS = 50
READER = """
let text = "", bad = 0, lines = 0;
process.stdin.on("data", (data) => { text += data; });
process.stdin.on("end", () => {
  for (const line of text.split("\\n")) {
    if (line === "") continue;
    lines += 1;
    try {
      const found = JSON.parse(line);
      const within = found.progress === null || (found.progress >= 0 && found.progress <= 1);
      if (typeof found.status !== "string" || !within) throw new Error("no state: " + line.slice(0, 200));
      // What is written as \\ud800 is JSON, and no text. This writes nothing else so.
      if (/\\\\ud[89a-f]/.test(JSON.stringify(found))) throw new Error("lone surrogate: " + line.slice(0, 200));
    } catch (error) { bad += 1; console.error(String(error)); }
  }
  console.log(JSON.stringify({ lines, bad }));
});
"""

pytestmark = pytest.mark.usefixtures("sender")


class Hostile:
    """Raises wherever it can."""

    def __str__(self) -> str:
        raise RuntimeError("no text")

    __repr__ = __str__

    def __float__(self) -> float:
        raise OverflowError("no number")

    def __le__(self, other: object) -> bool:
        raise TypeError("not ordered")

    __ge__ = __le__


def odd_values() -> list[object]:
    circle: list[object] = []
    circle.append(circle)
    ring: dict[object, object] = {}
    ring["self"] = {"deep": ring}
    deep: object = "bottom"
    for _ in range(200):
        deep = [deep]
    return [
        *(math.nan, math.inf, -math.inf, -1, -0.5, 1.5, 42, 100, 10**400, -(10**30), 2**63, 1e308, 0, 1, 0.5),
        *(True, False, None, Decimal("0.3"), Decimal("NaN"), Decimal("Infinity"), 1j, b"\xff\xfe", bytearray(b"x")),
        *(
            "\ud800 lone",
            "\udfff",
            "\x00\x07\x1b[31m",
            "a" * 10_000_000,
            "ünï \u2028 \U0001f600",
            "",
            "\r\n",
            "</script>",
        ),
        *(circle, ring, deep, list(range(100_000)), {1: 2, None: 3, (1,): 4}, {"k" * 1000: "v"}, set("ab"), range(5)),
        *(np.float32("nan"), np.float64(0.25), np.int64(7), np.array([1, 2]), np.array(0.5), np.bool_(True)),
        *(Hostile(), object(), int, Hostile, lambda: None, NotImplemented, ...),
    ]


def composer(job: Job) -> Composer:
    return Composer(job_id=job.id, started_at="", heartbeat_s=None, parent_id=None, origin=own_origin(), now_s=0.0, n=0)


def test_five_thousand_odd_reports_do_no_harm(
    settings: Settings, sender: Sender, read: Read, until: Until, caplog: pytest.LogCaptureFixture
) -> None:
    choose, values = random.Random(20260101), odd_values()
    # The largest take most of the time, and twenty of each are enough.
    weights = [0.05 if isinstance(value, (str, list)) and len(value) > 50_000 else 1.0 for value in values]
    frames: list[bytes] = []
    jobs = [Job(f"odd-{number}", settings=settings) for number in range(JOBS)]
    stops = [job.watch(frames.append) for job in jobs]
    composers = [composer(job) for job in jobs]
    until(lambda: all(job.run for job in jobs))

    for case in range(CASES):
        job, (a, b, c, d, e) = jobs[case % JOBS], choose.choices(values, weights, k=5)
        job.update(a)  # type: ignore[arg-type]
        job.report(stage=b, progress=c, message=d, metadata=e)  # type: ignore[arg-type]
        job.report(n=c, total=d, title=a)  # type: ignore[arg-type]
        job.log(loss=b, **{str(case): c})
        job.set_total(e)  # type: ignore[arg-type]
        if case % 50 == 49:
            job.stage(a, weight=b, total=c, unit=d)  # type: ignore[arg-type]
        # The sender looks ten times a second, and would miss most of it.
        state = composers[case % JOBS].compose(*job._words(), run=job.run, now_s=float(case), wall_s=1e9 + case)
        assert sender.tell(state).result(20).outcome is Outcome.ACCEPTED
    for job in jobs:
        job.complete(choose.choice(values), choose.choice(values))  # type: ignore[arg-type]

    assert all(job.wait(20) for job in jobs)
    for stop in stops:
        stop()
    assert all(read(job.id).status.terminal for job in jobs)
    assert len(frames) > CASES
    done = subprocess.run(
        ["node", "-e", READER], input=b"\n".join(frames), capture_output=True, timeout=60, check=False
    )
    assert json.loads(done.stdout) == {"lines": len(frames), "bad": 0}, done.stderr.decode()[:2000]
    told = Counter((record.msg, str(record.args[0]) if record.args else "") for record in caplog.records)
    for kind in ("cannot count", "more than %d metrics", "no amount", "no finite number", "a percentage"):
        once = {job_id: count for (said, job_id), count in told.items() if kind in said}
        assert once == {job.id: 1 for job in jobs}, kind
    assert not [record for record in caplog.records if record.levelno >= logging.ERROR]


async def test_the_reporter_of_the_original_takes_whatever_it_is_told(
    settings: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    async with ProgressReporter(settings=settings) as reporter:
        for number, value in enumerate(odd_values()):
            given: Any = value
            await reporter.report(f"odd-{number}", given, given, given, given)
            await reporter.report_error(f"odd-{number}", given, given)
            await reporter.report_complete(f"odd-{number}", given, given)

        for number in range(len(odd_values())):
            status = await reporter.get_status(f"odd-{number}")
            assert status is not None
            assert status["status"] == "completed"
    assert not [record for record in caplog.records if record.levelno >= logging.ERROR]


@pytest.mark.parametrize("job_id", ["a\nb", "a*", "a?", "[a]", "", " a", "a/b", "ä", "-a", "a" * 201, 5])
def test_an_id_that_could_be_something_else_is_refused(job_id: object, settings: Settings) -> None:
    with pytest.raises(InvalidJobIdError):
        Job(job_id, settings=settings)  # type: ignore[arg-type]
    with pytest.raises(InvalidJobIdError):
        Job.join(job_id, settings=settings)  # type: ignore[arg-type]


def test_more_than_the_total_is_shown_as_it_is(settings: Settings, read: Read) -> None:
    with Job("beyond", total=10, settings=settings) as job:
        job.update(25)
        job.cancel()

    assert job.wait(30)
    state = read("beyond")
    assert (state.n, state.total, state.progress) == (25, 10, 1.0)
