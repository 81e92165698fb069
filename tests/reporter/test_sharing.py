"""One job, many hands: whoever joins a job adds to it, and its owner says so."""

from __future__ import annotations

import pickle
import threading
import time
from collections.abc import Callable
from itertools import pairwise

import pytest

from jupyter_jobprogress.errors import InvalidJobIdError, JobCancelled
from jupyter_jobprogress.protocol.messages import Contribution
from jupyter_jobprogress.protocol.state import State, Status
from jupyter_jobprogress.reporter import contribution, joining
from jupyter_jobprogress.reporter.job import Job
from jupyter_jobprogress.reporter.sender import Sender
from jupyter_jobprogress.settings import Settings
from tests.support.faulty_store import FaultyStore

Read = Callable[[str], State]
Until = Callable[..., None]

pytestmark = pytest.mark.usefixtures("sender")


@pytest.fixture
def owner(settings: Settings, until: Until) -> Job:
    job = Job("shared", total=100, settings=settings, heartbeat_s=0.5)
    until(lambda: job.run)
    return job


def test_what_is_joined_adds_to_what_its_owner_counts(
    owner: Job, settings: Settings, store: FaultyStore, read: Read, until: Until
) -> None:
    workers = [Job.join("shared", settings=settings) for _ in range(4)]

    owner.update(2)
    for worker in workers:
        worker.update(5)
        worker.add(1)
    until(lambda: owner.n == 26)
    until(lambda: store.stored[-1].n == 26)

    assert store.stored[-1].progress == 0.26
    for worker in workers:
        worker.update(4)
        worker.complete()  # not its to end
        assert worker.n == 10
    until(lambda: owner.n == 42)
    owner.complete()
    assert owner.wait(30)
    assert (read("shared").n, read("shared").status) == (42, Status.COMPLETED)


def test_the_last_word_waits_for_what_was_added_before(
    owner: Job, settings: Settings, read: Read, until: Until
) -> None:
    worker = Job.join("shared", settings=settings)
    worker.update(1)
    until(lambda: owner.n == 1)
    worker.update(9)
    # Delivered by the worker, unknown to the owner: it looks again before it ends.
    until(lambda: worker._carrier is not None)
    sent = threading.Event()
    original = worker._on_receipt

    def on_receipt(receipt):  # type: ignore[no-untyped-def]
        sent.set()
        return original(receipt)

    worker._on_receipt = on_receipt  # type: ignore[method-assign]
    assert sent.wait(30)
    owner.complete()

    assert owner.wait(30)
    assert read("shared").n == 10


def test_the_last_word_has_what_a_worker_logged_before(
    owner: Job, sender: Sender, store: FaultyStore, read: Read
) -> None:
    owner.log(loss=0.5)
    said = Contribution(n=3, message="evaluated", metrics={"accuracy": 0.9})
    sender._run(lambda: store.add("shared", part="worker", contribution=said, run=owner.run)).result(30)
    owner.complete()

    assert owner.wait(30)
    state = read("shared")
    assert (state.n, state.metrics, state.message) == (3, {"loss": 0.5, "accuracy": 0.9}, "Job completed")


def test_what_is_joined_may_say_something(owner: Job, settings: Settings, store: FaultyStore, until: Until) -> None:
    worker = Job.join("shared", settings=settings)
    owner.report(message="waiting for workers", metadata={"kept": True})

    worker.report(stage="fit", message="from a worker")
    worker.log(loss=0.5)

    until(lambda: store.stored[-1].metrics == {"loss": 0.5})
    state = store.stored[-1]
    assert (state.stage, state.message, state.metadata) == ("fit", "from a worker", {"kept": True})
    owner.report(message="from the owner")
    until(lambda: store.stored[-1].message == "from the owner")
    owner.cancel()
    assert owner.wait(30)


def test_a_stage_begins_at_zero_whatever_workers_added_before(
    settings: Settings, store: FaultyStore, until: Until
) -> None:
    owner = Job("shared", stages=["map", "reduce"], settings=settings)
    until(lambda: owner.run)
    worker = Job.join("shared", settings=settings)
    with owner.stage("map", total=4):
        worker.update(4)
        until(lambda: owner.n == 4)
    assert owner.n == 4

    with owner.stage("reduce", total=4):
        until(lambda: (store.stored[-1].stage, store.stored[-1].n, store.stored[-1].progress) == ("reduce", 0, 0.5))
        worker.update(1)
        owner.update(1)
        until(lambda: (store.stored[-1].n, store.stored[-1].progress) == (2, 0.75))
        owner.report(n=3)
        assert owner.n == 3
    assert owner.n == 4


def test_stages_of_a_worker_name_what_it_does_and_take_nothing_back(
    owner: Job, settings: Settings, store: FaultyStore, until: Until
) -> None:
    worker = Job.join("shared", settings=settings)
    for name in ("decode", "encode"):
        with worker.stage(name, total=10):
            worker.update(7)

    assert worker.n == 14
    until(lambda: (owner.n, store.stored[-1].stage, store.stored[-1].total) == (14, "encode", 100))
    owner.complete()
    assert owner.wait(30)


def test_what_a_worker_said_once_does_not_come_back_over_what_is_said_later(
    owner: Job, settings: Settings, store: FaultyStore, until: Until, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(contribution, "AGAIN_S", 0.3)
    worker, other = (Job.join("shared", settings=settings) for _ in range(2))
    worker.report(stage="load", message="from a worker")
    worker.log(loss=0.5, speed=1)
    until(lambda: (store.stored[-1].message, store.stored[-1].metrics) == ("from a worker", {"loss": 0.5, "speed": 1}))
    other.log(loss=0.25)
    until(lambda: (store.stored[-1].metrics or {}).get("loss") == 0.25)
    owner.report(stage="fit", message="from the owner")

    for done in range(1, 6):
        worker.update()
        worker.log(speed=done + 1)
        until(lambda done=done: (owner.n, (store.stored[-1].metrics or {}).get("speed")) == (done, done + 1))

    state = store.stored[-1]
    assert (state.stage, state.message, state.metrics) == ("fit", "from the owner", {"loss": 0.25, "speed": 6})
    added = len(store.added)
    until(lambda: len(store.added) >= added + 4)  # each of the two has repeated its count
    published = len(store.published)
    until(lambda: len(store.published) >= published + 2)  # and the owner has looked
    assert store.stored[-1].message == "from the owner"
    owner.complete()
    assert owner.wait(30)


def test_a_worker_asks_less_and_less_often_for_a_run_that_does_not_come(
    owner: Job, settings: Settings, store: FaultyStore, until: Until
) -> None:
    worker = Job.__new__(Job)
    joining.attach(worker, "shared", settings, started_at="before the job was started again")

    worker.update()

    until(lambda: len(store.read_at_s) >= 5)
    gaps_s = [later - earlier for earlier, later in pairwise(store.read_at_s)]
    assert [gap_s >= least_s for gap_s, least_s in zip(gaps_s, (0.1, 0.2, 0.4, 0.8), strict=False)] == [True] * 4
    owner.complete()
    assert owner.wait(30)


def test_what_is_joined_is_cancelled_with_its_owner(
    owner: Job, sender: Sender, settings: Settings, store: FaultyStore, until: Until
) -> None:
    worker = Job.join("shared", settings=settings)
    worker.update()
    sender._run(lambda: store.request_cancel("shared")).result(30)

    worker.update()
    until(lambda: worker.cancel_requested)
    with pytest.raises(JobCancelled):
        worker.update()
    until(lambda: owner.cancel_requested)
    with pytest.raises(JobCancelled):
        owner.update()
    assert owner.wait(30)


def test_a_job_is_pickled_without_its_token_and_joins_its_run(settings: Settings, until: Until) -> None:
    with Job("pickled", settings=settings) as job:
        until(lambda: job.run)
        assert pickle.loads(pickle.dumps(job)) is job
    secret = Settings(token="secret-token")
    with Job("secret", settings=secret) as other:
        for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
            assert b"secret-token" not in pickle.dumps(other, protocol)
    assert other.wait(30)


def test_a_job_is_pickled_with_each_task_of_a_pool_without_waiting_for_a_store_that_is_away(
    settings: Settings, store: FaultyStore
) -> None:
    store.fault = "refuses"
    job = Job("pickled", settings=settings)

    begun_s = time.monotonic()
    for _ in range(30):
        pickle.dumps(job)

    assert time.monotonic() - begun_s < 5
    store.fault = None
    job.complete()
    assert job.wait(30)


@pytest.mark.parametrize("counting", ["update", "add"])
def test_threads_of_one_process_count_exactly(counting: str, owner: Job, until: Until) -> None:
    count = getattr(owner, counting)

    def work() -> None:
        for _ in range(20_000):
            count()

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert owner.n == 160_000
    owner.complete()
    assert owner.wait(30)


def test_a_child_is_a_job_of_its_own_below_its_parent(settings: Settings, read: Read) -> None:
    with Job("parent", settings=settings) as job:
        with job.child("rank3", total=4) as child:
            child.update(4)
        odd = job.child("rank / ünï")
        odd.complete()
        long = job.child("x" * 500)
        long.complete()

    for one in (job, child, odd, long):
        assert one.wait(30)
    assert child.id == "parent.rank3"
    assert (read("parent.rank3").parent_id, read("parent.rank3").title) == ("parent", "rank3")
    assert odd.id.startswith("parent.rank-")
    assert len(long.id) <= 200
    assert job.child("rank / ünï").id == odd.id != job.child("rank - ünï").id


def test_a_bad_id_is_refused_when_it_is_joined(settings: Settings) -> None:
    with pytest.raises(InvalidJobIdError):
        Job.join("no spaces", settings=settings)
