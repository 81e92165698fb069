from __future__ import annotations

import asyncio
import subprocess
import sys
import threading
from collections.abc import Callable
from typing import Any

import pytest

from jupyter_jobprogress import JobProgress, State, Status
from jupyter_jobprogress.errors import InvalidJobIdError, InvalidMessageError, NotWatchedError
from jupyter_jobprogress.protocol.messages import encode
from jupyter_jobprogress.widget.bar import MIME_TYPE


def state(**fields: Any) -> State:
    given: dict[str, Any] = {"job_id": "a", "status": Status.PROCESSING, "stage": "", "progress": 0.5}
    return State(**(given | {"message": "half", "timestamp": "2026-01-01T00:00:00Z"} | fields))


def bundle(bar: JobProgress) -> dict[str, Any]:
    return bar._repr_mimebundle_()[0]


def test_one_id_or_many() -> None:
    assert JobProgress("a").job_ids == ["a"]
    assert JobProgress(["a", "b"]).job_ids == ["a", "b"]


def test_an_invalid_id_is_refused() -> None:
    with pytest.raises(InvalidJobIdError):
        JobProgress(["a", "b c"])


def test_the_bundle_has_all_four_forms() -> None:
    found = bundle(JobProgress("a", states={"a": state()}))

    assert found[MIME_TYPE]["job_ids"] == ["a"]
    assert found[MIME_TYPE]["states"]["a"]["progress"] == 0.5
    assert "application/vnd.jupyter.widget-view+json" in found
    assert "50%" in found["text/html"]
    assert found["text/plain"] == "a: Running · 50% · half"


def test_a_bar_that_the_kernel_feeds_is_left_to_the_widget() -> None:
    found = bundle(JobProgress("a", relay=True))

    assert MIME_TYPE not in found
    assert "application/vnd.jupyter.widget-view+json" in found


def test_a_bar_is_fed_from_any_thread() -> None:
    bar = JobProgress(["a", "b"], relay=True)

    thread = threading.Thread(target=bar.feed, args=(encode(state(status=Status.COMPLETED)),))
    thread.start()
    thread.join()

    assert bar.states["a"]["status"] == "completed"
    assert "Completed" in bundle(bar)["text/html"]


def test_what_is_no_state_is_not_fed() -> None:
    with pytest.raises(InvalidMessageError):
        JobProgress("a").feed(b"{}")


def test_a_missing_bundle_is_said_in_a_sentence() -> None:
    program = (
        "import pathlib; real = pathlib.Path.is_file\n"
        "pathlib.Path.is_file = lambda path: path.name != 'widget.js' and real(path)\n"
        "import jupyter_jobprogress\n"
        "try: jupyter_jobprogress.JobProgress\n"
        "except jupyter_jobprogress.JobProgressError as exc: print(exc)\n"
    )

    said = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout

    assert "Install the package again" in said


class Store:
    """Follows jobs as a store does: what a test says comes in another thread."""

    def __init__(self) -> None:
        self.takes: dict[str, Callable[[bytes], object]] = {}
        self.left: list[str] = []

    def follow(self, job_id: str, take: Callable[[bytes], object]) -> Callable[[], None]:
        self.takes[job_id] = take
        return lambda: self.left.append(job_id)

    def say(self, **fields: Any) -> None:
        said = state(**fields)
        thread = threading.Thread(target=self.takes[said.job_id], args=(encode(said),))
        thread.start()
        thread.join()


def test_what_the_kernel_hears_is_in_traits_that_can_be_observed() -> None:
    store, seen = Store(), threading.Event()
    bar = JobProgress("a", following=store.follow)
    found: list[tuple[str, Any]] = []
    bar.observe(lambda change: (found.append((change["new"], bar.result)), seen.set()), "status")

    store.say(status=Status.COMPLETED, progress=1.0, n=8, total=8, result={"answer": 42})

    assert seen.wait(30)
    assert found == [("completed", {"answer": 42})]
    assert bar.wait(30)
    assert (bar.status, bar.progress, bar.n, bar.total) == ("completed", 1.0, 8.0, 8.0)
    assert bar.state is not None
    assert bar.state["message"] == "half"


def test_what_is_saved_is_what_the_line_shows() -> None:
    bar = JobProgress("a")

    bar.feed(encode(state(result={"secret": 1}, metadata={"secret": 2}, n=3)))

    assert set(bar.saved["a"]) == {"job_id", "status", "stage", "progress", "message", "timestamp", "n"}
    assert bundle(bar)[MIME_TYPE]["states"] == bar.saved


def test_an_end_that_is_heard_while_its_job_speaks_is_what_is_saved() -> None:
    interval_s, said = sys.getswitchinterval(), state()
    ended = encode(state(status=Status.COMPLETED))
    sys.setswitchinterval(1e-6)  # else it takes weeks until the two meet
    try:
        for _ in range(100):
            bar = JobProgress("a")
            feeding = threading.Thread(target=bar.feed, args=(ended,))
            feeding.start()
            for _ in range(30):
                bar.present(said)
            feeding.join()
            assert bar.saved["a"]["status"] == "completed"
    finally:
        sys.setswitchinterval(interval_s)


def test_several_jobs_have_one_status_and_the_mean_of_their_progress() -> None:
    bar = JobProgress(["a", "b"])
    assert (bar.status, bar.progress) == ("", None)

    bar.feed(encode(state(status=Status.FAILED)))
    assert (bar.status, bar.progress, bar.state) == ("processing", 0.25, None)
    bar.feed(encode(state(job_id="b", status=Status.COMPLETED, progress=1.0)))

    assert (bar.status, bar.progress) == ("failed", 0.75)


def test_waiting_ends_with_the_job_with_the_time_and_with_the_bar() -> None:
    store = Store()
    bar = JobProgress(["a", "b"], following=store.follow)
    store.say(status=Status.COMPLETED)
    assert not bar.wait(0.2)

    bar.close()

    assert not bar.wait(30)
    assert set(store.left) == {"a", "b"}
    assert not JobProgress("a", following=lambda job_id, take: None).wait()


async def test_a_bar_can_be_awaited() -> None:
    store = Store()
    bar = JobProgress("a", following=store.follow)
    waiting = asyncio.ensure_future(bar._until_over())
    await asyncio.sleep(0)

    store.say(status=Status.COMPLETED)

    async with asyncio.timeout(30):
        assert await waiting is bar
        assert await bar is bar


async def test_awaiting_a_bar_that_nothing_follows_is_an_error() -> None:
    bar = JobProgress("a", following=lambda job_id, take: None)

    with pytest.raises(NotWatchedError, match="nothing follows it"):
        await bar
