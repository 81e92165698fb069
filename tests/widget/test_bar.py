from __future__ import annotations

import subprocess
import sys
import threading
from typing import Any

import pytest

from jupyter_jobprogress import JobProgress, State, Status
from jupyter_jobprogress.errors import InvalidJobIdError, InvalidMessageError
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
