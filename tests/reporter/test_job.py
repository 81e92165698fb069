"""A job from its own side: what it says arrives, and nothing that it does waits or raises."""

from __future__ import annotations

import asyncio
import copy
import random
import threading
import time
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from jupyter_jobprogress.errors import InvalidJobIdError, SettingsError
from jupyter_jobprogress.protocol import limits
from jupyter_jobprogress.protocol.messages import decode_state
from jupyter_jobprogress.protocol.state import State, Status
from jupyter_jobprogress.reporter.job import Job
from jupyter_jobprogress.reporter.sender import Sender
from jupyter_jobprogress.settings import Settings
from tests.support.faulty_store import FaultyStore

Read = Callable[[str], State]
Until = Callable[..., None]

pytestmark = pytest.mark.usefixtures("sender")


def test_what_a_job_counts_and_says_is_in_its_state(settings: Settings, read: Read) -> None:
    with Job("train", total=4, title="Train", unit="step", parent_id="all", settings=settings) as job:
        job.update()
        job.update(2)
        job.report(stage="fit", message="epoch 1", metadata={"lr": np.float32(0.5)})
        job.log(loss=np.float64(0.25), bad=float("nan"))
        job.complete({"score": 1}, "Trained")

    assert job.wait(30)
    state = read("train")
    assert (state.status, state.stage, state.progress, state.message) == ("completed", "complete", 1.0, "Trained")
    assert (state.n, state.total, state.unit, state.title, state.parent_id) == (3, 4, "step", "Train", "all")
    assert state.metrics == {"loss": 0.25, "bad": None}
    assert (state.metadata, state.result) == ({"lr": 0.5}, {"score": 1})
    assert state.run == job.run is not None
    assert state.heartbeat_s == 10.0
    assert state.origin is not None
    assert state.origin.pid is not None
    assert state.started_at is not None
    assert state.started_at <= state.timestamp


class OnDevice:
    """A scalar of PyTorch or JAX: reading it waits for a device, and its graph holds memory until it is detached."""

    def __init__(self, value: float, *, graph: bool = True) -> None:
        self.value = value
        self.graph = graph
        self.read_in: list[threading.Thread] = []

    def detach(self) -> OnDevice:
        detached = OnDevice(self.value, graph=False)
        detached.read_in = self.read_in
        return detached

    def item(self) -> float:
        assert not self.graph, "the graph was kept until the scalar was read"
        self.read_in.append(threading.current_thread())
        return self.value


def test_a_scalar_on_a_device_is_read_by_the_sender(settings: Settings, store: FaultyStore, until: Until) -> None:
    job, loss = Job("device", settings=settings), OnDevice(0.25)

    job.log(loss=loss)

    until(lambda: store.stored[-1].metrics == {"loss": 0.25} if store.stored else False)
    assert threading.current_thread() not in loss.read_in
    job.complete()
    assert job.wait(30)


def test_a_running_job_shows_progress_and_rate(settings: Settings, store: FaultyStore, until: Until) -> None:
    job = Job("rate", total=100, settings=settings)
    until(lambda: store.stored)

    job.update(25)
    until(lambda: store.stored[-1].n == 25)

    state = store.stored[-1]
    assert state.status is Status.PROCESSING
    assert state.progress == 0.25
    assert state.rate_per_s is not None
    assert state.rate_per_s > 0
    assert state.eta_s is not None
    job.cancel()
    assert job.wait(30)


@pytest.mark.parametrize(
    ("exc", "status"),
    [
        (ValueError("no such file"), Status.FAILED),
        (SystemExit(3), Status.FAILED),
        (SystemExit(0), Status.CANCELLED),
        (KeyboardInterrupt(), Status.CANCELLED),
        (asyncio.CancelledError(), Status.CANCELLED),
        (GeneratorExit(), Status.CANCELLED),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, BaseException) else str(value),
)
def test_an_exception_ends_the_job_and_goes_on(
    exc: BaseException, status: Status, settings: Settings, read: Read
) -> None:
    job = Job("boom", settings=settings, total=2)

    def work() -> None:
        with job:
            job.update()
            raise exc

    with pytest.raises(type(exc)) as caught:
        work()

    assert caught.value is exc
    assert job.wait(30)
    state = read("boom")
    assert state.status is status
    assert state.progress == 0.5
    if isinstance(exc, ValueError):
        assert state.error == "ValueError: no such file"
        assert state.metadata is not None
        assert str(state.metadata["traceback"]).rstrip().endswith("ValueError: no such file")


def test_the_first_end_wins(settings: Settings, read: Read) -> None:
    with Job("ends", settings=settings) as job:
        job.fail("disk full")
        job.complete()
        job.cancel()
        job.report(message="still there")

    assert job.wait(30)
    state = read("ends")
    assert (state.status, state.error, state.message) == (Status.FAILED, "disk full", "Error: disk full")
    assert job.closed


def test_an_end_inside_a_report_of_the_same_thread_is_not_lost(settings: Settings, read: Read) -> None:
    job = Job("signal", settings=settings)

    class Cancels:
        """Ends the job in the midst of a report, as a signal handler may."""

        def __str__(self) -> str:
            job.cancel("by a signal")
            return "late"

    job.report(message=Cancels())  # type: ignore[arg-type]

    assert job.wait(30)
    assert read("signal").message == "by a signal"


def test_a_percentage_is_clamped_with_one_question(
    settings: Settings, store: FaultyStore, until: Until, caplog: pytest.LogCaptureFixture
) -> None:
    job = Job("percent", settings=settings)

    job.report(progress=42)
    job.report(progress=43)
    job.report(progress=1.0000000001)

    until(lambda: store.stored and store.stored[-1].progress == 1.0)
    job.report(progress=0.5)
    job.report(progress=float("nan"))
    until(lambda: store.stored[-1].progress == 0.5)
    messages = [record.message for record in caplog.records]
    assert len([message for message in messages if "percentage" in message]) == 1
    assert len([message for message in messages if "finite" in message]) == 1
    job.complete()
    assert job.wait(30)


def test_a_given_progress_holds_until_the_count_moves(settings: Settings, store: FaultyStore, until: Until) -> None:
    job = Job("explicit", total=10, settings=settings)

    job.report(progress=0.7)
    until(lambda: store.stored and store.stored[-1].progress == 0.7)
    job.update(2)
    until(lambda: store.stored[-1].progress == 0.2)
    job.report(n=5)
    until(lambda: store.stored[-1].progress == 0.5)

    job.complete()
    assert job.wait(30)


def test_more_metrics_than_allowed_are_left_out_with_one_warning(
    settings: Settings, read: Read, caplog: pytest.LogCaptureFixture
) -> None:
    with Job("metrics", settings=settings) as job:
        for number in range(limits.METRICS + 5):
            job.log(**{f"m{number}": number})
        job.log(m0=99)

    assert job.wait(30)
    found = read("metrics").metrics
    assert found is not None
    assert len(found) == limits.METRICS
    assert found["m0"] == 99
    assert len([record for record in caplog.records if "metrics" in record.message]) == 1


def test_metadata_beyond_the_limit_is_replaced_with_one_warning(
    settings: Settings, read: Read, caplog: pytest.LogCaptureFixture
) -> None:
    with Job("large", settings=settings) as job:
        job.report(metadata={"rows": ["x" * 100] * 1000})
        job.report(metadata={"rows": ["y" * 100] * 1000})

    assert job.wait(30)
    metadata = read("large").metadata
    assert metadata is not None
    assert list(metadata) == ["dropped"]
    assert len([record for record in caplog.records if "too large" in record.message]) == 1


_anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary() | st.complex_numbers(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text() | st.integers(), inner) | st.sets(st.integers()),
    max_leaves=10,
)


def test_nothing_that_is_reported_raises_or_costs_the_last_word(sender: Sender, settings: Settings) -> None:
    jobs = []

    @hypothesis_settings(max_examples=40, deadline=None)
    @given(values=st.lists(_anything, min_size=8, max_size=8))
    def report(values: list[object]) -> None:
        stage, progress, n, total, message, metadata, result, count = values
        job = Job(settings=settings, total=total, title=stage, unit=message)  # type: ignore[arg-type]
        job.update(count)  # type: ignore[arg-type]
        job.report(stage=stage, progress=progress, n=n, total=total, message=message, metadata=metadata)  # type: ignore[arg-type]
        job.log(a=progress, b=metadata)
        job.complete(result, message)  # type: ignore[arg-type]
        jobs.append(job)

    report()

    assert all(job.wait(30) for job in jobs)
    ids = [job.id for job in jobs]
    for stored in sender.read(ids).result(30).values():
        assert decode_state(stored.data).status is Status.COMPLETED


def test_a_long_run_has_a_history_with_its_end(settings: Settings, read: Read) -> None:
    with Job("history", total=2, settings=settings) as job:
        job.log(loss=2.0)
        time.sleep(0.15)
        job.update(2)
        job.log(loss=1.0)

    assert job.wait(30)
    history = read("history").history
    assert history is not None
    assert history.progress[-1] == 1.0
    assert history.metrics["loss"][-1] == 1.0


def test_a_watcher_gets_every_newer_state_and_the_last(settings: Settings, until: Until) -> None:
    seen: list[State] = []
    job = Job("watched", total=2, settings=settings)
    assert job.in_process
    stop = job.watch(lambda data: seen.append(decode_state(data)))
    until(lambda: seen)

    job.update()
    until(lambda: seen[-1].n == 1)
    job.complete()

    assert job.wait(30)
    until(lambda: seen[-1].status is Status.COMPLETED)
    assert [state.seq for state in seen] == sorted({state.seq for state in seen})  # type: ignore[type-var]
    stop()


def test_a_copy_of_a_job_is_the_job(settings: Settings) -> None:
    with Job("copied", settings=settings) as job:
        assert copy.copy(job) is job
        assert copy.deepcopy({"job": job})["job"] is job
    assert job.wait(30)


def test_silence_counts_and_reports_nothing(
    settings: Settings, store: FaultyStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("JOBPROGRESS_DISABLE", "1")

    with Job("quiet", total=3, settings=settings) as job:
        job.update(3)
        job.report(progress=0.5)
        job.log(loss=1)

    assert (job.n, job.status) == (3, Status.COMPLETED)
    assert not job.wait(1)
    assert store.published == []


def test_a_bad_id_is_refused_when_the_job_is_made(settings: Settings) -> None:
    with pytest.raises(InvalidJobIdError):
        Job("no spaces", settings=settings)
    with pytest.raises(InvalidJobIdError):
        Job("fine", parent_id="../up", settings=settings)
    assert Job("made", title="Ärger / 2", settings=settings).id == "made"
    assert Job(title="Train it!", settings=settings).id.startswith("train-it-")


def test_a_bad_url_raises_as_an_argument_and_not_from_the_environment(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    with pytest.raises(SettingsError):
        Job("url", url="ftp://example.org")
    monkeypatch.setenv("JOBPROGRESS_URL", "ftp://example.org")

    with Job("url") as job:
        job.update()

    assert job.n == 1
    assert "Nothing is reported" in caplog.text


def test_a_run_that_has_seeded_its_numbers_draws_the_same_ones(
    settings: Settings, store: FaultyStore, until: Until
) -> None:
    random.seed(7)
    expected = [random.random() for _ in range(3)]
    random.seed(7)
    store.fault = "refuses"

    job = Job(settings=settings)
    until(lambda: len(store.published) >= 3)  # with backoffs in between, which are drawn by chance

    assert [random.random() for _ in range(3)] == expected
    store.fault = None
    job.complete()
    assert job.wait(30)
