"""Bars of tqdm as jobs, over a real Redis."""

from __future__ import annotations

import io
import json
from typing import Any

import pytest

from jupyter_jobprogress.reporter.process import sender_for
from jupyter_jobprogress.settings import Settings
from jupyter_jobprogress.tqdm import tqdm, trange
from tests.support.redis_server import RedisServer


@pytest.fixture(autouse=True)
def where(redis_server: RedisServer, namespace: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JOBPROGRESS_URL", redis_server.url)
    monkeypatch.setenv("JOBPROGRESS_NAMESPACE", namespace)


def state_of(job_id: str) -> dict[str, Any]:
    found = sender_for(Settings.from_environment()).read([job_id]).result(5)
    state: dict[str, Any] = json.loads(found[job_id].data)
    return state


def test_a_bar_is_a_job_and_prints_what_tqdm_prints() -> None:
    printed = io.StringIO()
    bar = trange(4, desc="Fit", unit="step", file=printed)
    for _ in bar:
        bar.set_postfix(loss="0.25", phase="warm")

    assert bar.job is not None
    assert bar.job.wait(5)
    state = state_of(bar.job.id)
    assert (state["status"], state["n"], state["total"], state["title"]) == ("completed", 4, 4, "Fit")
    assert (state["unit"], state["metrics"]) == ("step", {"loss": 0.25})
    assert "4/4" in printed.getvalue()


def test_a_block_that_fails_fails_its_job() -> None:
    bar = tqdm(total=4, file=io.StringIO())
    bar.update(1)
    with pytest.raises(ValueError, match="broken"), bar:
        raise ValueError("broken")

    assert bar.job is not None
    assert bar.job.wait(5)
    state = state_of(bar.job.id)
    assert (state["status"], state["n"], state["error"]) == ("failed", 1, "ValueError: broken")


def test_a_bar_that_is_disabled_is_no_job() -> None:
    assert tqdm(range(3), disable=True).job is None
