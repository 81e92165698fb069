"""A store of one test, in this process, and the sender that reports to it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

import pytest

from jupyter_jobprogress.protocol.messages import decode_state
from jupyter_jobprogress.protocol.state import State
from jupyter_jobprogress.reporter import process
from jupyter_jobprogress.reporter.sender import Sender
from jupyter_jobprogress.settings import Settings
from tests.support.faulty_store import FaultyStore


@pytest.fixture(autouse=True)
def _plain_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("JOBPROGRESS_URL", "REDIS_URL", "JOBPROGRESS_TOKEN", "JOBPROGRESS_DISABLE", "JOBPROGRESS_NAMESPACE"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def settings(namespace: str) -> Settings:
    return Settings(namespace=namespace, deadline_s=0.2)


@pytest.fixture
def store(settings: Settings) -> FaultyStore:
    return FaultyStore(settings)


@pytest.fixture
def sender(settings: Settings, store: FaultyStore) -> Iterator[Sender]:
    sender = Sender(settings, connect=lambda _: store)
    process.install(sender)
    yield sender
    for job in process.open_jobs():
        process.forget(job)
    sender.close()
    process._senders.pop(settings)


@pytest.fixture
def read(sender: Sender) -> Callable[[str], State]:
    """Read the state of a job as the store has it."""

    def read(job_id: str) -> State:
        return decode_state(sender.read([job_id]).result(30)[job_id].data)

    return read


@pytest.fixture
def until() -> Callable[..., None]:
    """Wait for a condition, with a deadline."""

    def until(condition: Callable[[], object], *, within_s: float = 30.0) -> None:
        deadline_s = time.monotonic() + within_s
        while not condition():
            assert time.monotonic() < deadline_s, "the condition did not come true in time"
            time.sleep(0.002)

    return until
