"""What workers add to a job of another process, over every store (rule 33)."""

from __future__ import annotations

import asyncio
import math
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from jupyter_jobprogress.errors import InvalidJobIdError, InvalidProgressError
from jupyter_jobprogress.protocol.messages import Contribution, Outcome
from jupyter_jobprogress.protocol.state import Status
from jupyter_jobprogress.settings import Settings
from jupyter_jobprogress.store.base import Store
from jupyter_jobprogress.store.embedded import EmbeddedStore
from tests.store.test_store import open_store, read_one, store  # noqa: F401 — fixtures
from tests.support.jobs import make_state

VERSION_1 = """
CREATE TABLE jobs (job_id TEXT PRIMARY KEY, seq INTEGER NOT NULL, run INTEGER, ended INTEGER NOT NULL,
    cancel INTEGER NOT NULL, status TEXT NOT NULL, parent_id TEXT, state BLOB NOT NULL, history BLOB NOT NULL,
    expires_us INTEGER NOT NULL) STRICT, WITHOUT ROWID;
INSERT INTO jobs VALUES ('old', 1, 1, 1, 0, 'completed', NULL,
    CAST('{"seq":1,"run":1,"job_id":"old","status":"completed"}' AS BLOB), x'', 9000000000000000);
PRAGMA user_version = 1;
"""


async def test_the_owner_learns_the_sum_of_what_workers_said_last(store: Store) -> None:  # noqa: F811
    run = (await store.publish(make_state(n=1), start=True)).run

    for part, n in (("a", 2), ("b", 3.5), ("a", 4), ("a", 4)):
        receipt = await store.add("job-1", part=part, contribution=Contribution(n=n), run=run)
        assert (receipt.run, receipt.outcome) == (run, Outcome.ACCEPTED)

    receipt = await store.publish(make_state(n=1, run=run))
    assert receipt.added == 7.5
    assert receipt.words is None
    state = await read_one(store)
    assert state is not None
    assert state.n == 1  # the owner alone writes the state


async def test_the_newest_words_reach_the_owner_once_for_each(store: Store) -> None:  # noqa: F811
    run = (await store.publish(make_state(), start=True)).run
    said = Contribution(n=1, stage="fit", message="epoch 1", metrics={"loss": 0.5, "bad": None}, metadata={"a": [1]})

    await store.add("job-1", part="a", contribution=Contribution(n=1, message="first"), run=run)
    await store.add("job-1", part="b", contribution=said, run=run)
    await store.add("job-1", part="c", contribution=Contribution(n=5), run=run)

    receipt = await store.publish(make_state(run=run))
    assert (receipt.words, receipt.words_seq, receipt.added) == (said, 2, 7)


async def test_a_new_run_begins_with_nothing_added(store: Store) -> None:  # noqa: F811
    run = (await store.publish(make_state(), start=True)).run
    await store.add("job-1", part="a", contribution=Contribution(n=9, message="old"), run=run)

    receipt = await store.publish(make_state(), start=True)

    assert (receipt.added, receipt.words, receipt.words_seq) == (0, None, 0)
    late = await store.add("job-1", part="a", contribution=Contribution(n=10), run=run)
    assert late.outcome is Outcome.SUPERSEDED
    assert (await store.publish(make_state(run=receipt.run))).added == 0


async def test_nothing_is_added_after_the_end(store: Store) -> None:  # noqa: F811
    run = (await store.publish(make_state(), start=True)).run
    await store.publish(make_state(status="completed", run=run))

    assert (await store.add("job-1", part="a", contribution=Contribution(n=1), run=run)).outcome is Outcome.ENDED


async def test_without_a_run_a_worker_joins_the_newest(store: Store) -> None:  # noqa: F811
    run = (await store.publish(make_state(), start=True)).run

    await store.add("job-1", part="a", contribution=Contribution(n=2), run=None)

    assert (await store.publish(make_state(run=run))).added == 2


async def test_a_worker_hears_of_a_wish_to_cancel(store: Store) -> None:  # noqa: F811
    run = (await store.publish(make_state(), start=True)).run
    await store.request_cancel("job-1")

    assert (await store.add("job-1", part="a", contribution=Contribution(n=1), run=run)).cancel_requested


async def test_many_workers_at_once_are_added_up_exactly(store: Store) -> None:  # noqa: F811
    run = (await store.publish(make_state(), start=True)).run

    async def work(part: str) -> None:
        for n in range(1, 26):
            await store.add("job-1", part=part, contribution=Contribution(n=n), run=run)

    await asyncio.gather(*(work(f"worker-{number}") for number in range(8)))

    assert (await store.publish(make_state(run=run))).added == 200


async def test_a_bad_contribution_is_refused_and_changes_nothing(store: Store) -> None:  # noqa: F811
    run = (await store.publish(make_state(), start=True)).run

    with pytest.raises(InvalidProgressError):
        await store.add("job-1", part="a", contribution=Contribution(n=math.inf), run=run)
    with pytest.raises(InvalidJobIdError):
        await store.add("job-1", part="*", contribution=Contribution(n=1), run=run)
    with pytest.raises(InvalidJobIdError):
        await store.add("no spaces", part="a", contribution=Contribution(n=1), run=run)

    assert (await store.publish(make_state(run=run))).added == 0


async def test_a_restarted_embedded_server_still_knows_what_was_added(tmp_path: Path) -> None:
    settings = Settings(database=str(tmp_path / "jobs.sqlite"))
    first = EmbeddedStore(settings)
    run = (await first.publish(make_state(), start=True)).run
    await first.add("job-1", part="a", contribution=Contribution(n=3, message="said"), run=run)
    await first.close()

    second = EmbeddedStore(settings)
    receipt = await second.publish(make_state(run=run))
    await second.close()

    assert (receipt.added, receipt.words) == (3, Contribution(n=3, message="said"))


async def test_a_database_of_an_earlier_version_is_taken_over(tmp_path: Path) -> None:
    path = tmp_path / "jobs.sqlite"
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript(VERSION_1)

    taken_over = EmbeddedStore(Settings(database=str(path)))
    try:
        assert (await taken_over.read(["old"]))["old"].status is Status.COMPLETED
        run = (await taken_over.publish(make_state("old"), start=True)).run
        await taken_over.add("old", part="a", contribution=Contribution(n=3), run=run)
        assert (await taken_over.publish(make_state("old", run=run))).added == 3
    finally:
        await taken_over.close()
