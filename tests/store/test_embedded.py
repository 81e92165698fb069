"""What the embedded store does beyond the contract of ``test_store.py``: the file, and other servers on it."""

from __future__ import annotations

import asyncio
import logging
import sqlite3
import stat
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import pytest

from jupyter_jobprogress.protocol.messages import Stored, decode_state
from jupyter_jobprogress.protocol.state import State, Status
from jupyter_jobprogress.settings import Settings
from jupyter_jobprogress.store.embedded import EmbeddedStore


def state(job_id: str = "a", status: str = "processing", **fields: Any) -> State:
    return State(job_id=job_id, status=Status(status), stage="", progress=0.5, message="", timestamp="", **fields)


class Listener:
    def __init__(self) -> None:
        self.seen: asyncio.Queue[Stored] = asyncio.Queue()

    def pushed(self, stored: Stored) -> None:
        self.seen.put_nowait(stored)

    def gap(self, job_ids: Any) -> None:
        raise AssertionError("the embedded store loses no push")


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(database=str(tmp_path / "new" / "jobs.sqlite"))


async def test_a_restarted_server_knows_running_and_finished_jobs(settings: Settings) -> None:
    before = EmbeddedStore(settings)
    running = await before.publish(state("running"), start=True)
    await before.publish(state("finished", "completed", result={"x": 1}))
    await before.close()

    after = EmbeddedStore(settings)

    found = await after.read(["running", "finished"])
    assert decode_state(found["running"].data).status is Status.PROCESSING
    assert decode_state(found["finished"].data).result == {"x": 1}
    receipt = await after.publish(state("running", "completed", run=running.run))
    assert receipt.run == running.run
    assert receipt.seq > running.seq
    await after.close()


async def test_fences_and_cancel_flags_survive_a_restart(settings: Settings) -> None:
    before = EmbeddedStore(settings)
    old = await before.publish(state(), start=True)
    new = await before.publish(state(), start=True)
    await before.request_cancel("a")
    await before.close()

    after = EmbeddedStore(settings)

    assert (await after.publish(state(run=old.run))).outcome == "superseded"
    assert (await after.publish(state(run=new.run))).cancel_requested
    await after.close()


def test_a_terminal_state_is_on_disk_before_it_is_acknowledged(settings: Settings) -> None:
    program = textwrap.dedent(
        """
        import asyncio, os, signal, sys
        from jupyter_jobprogress.protocol.state import State, Status
        from jupyter_jobprogress.settings import Settings
        from jupyter_jobprogress.store.embedded import EmbeddedStore

        async def main():
            store = EmbeddedStore(Settings(database=sys.argv[1]))
            fields = dict(stage="", progress=1.0, message="", timestamp="")
            await store.publish(State(job_id="a", status=Status.PROCESSING, **fields))
            await store.publish(State(job_id="a", status=Status.COMPLETED, **fields))
            os.kill(os.getpid(), signal.SIGKILL)

        asyncio.run(main())
        """
    )
    for _ in range(5):
        subprocess.run([sys.executable, "-c", program, settings.database or ""], check=False)

        with sqlite3.connect(settings.database or "") as connection:
            (status,) = connection.execute("SELECT status FROM jobs WHERE job_id = 'a'").fetchone()
            connection.execute("DELETE FROM jobs")
        connection.close()
        assert status == "completed"


async def test_a_terminal_state_waits_for_a_batch_that_has_taken_it(settings: Settings) -> None:
    store = EmbeddedStore(settings)
    await asyncio.gather(
        *(store.publish(state(f"job-{n}", "completed" if n % 2 else "processing")) for n in range(200)),
        *(store.list() for _ in range(20)),
    )

    with sqlite3.connect(settings.database or "") as connection:
        (count,) = connection.execute("SELECT count(*) FROM jobs WHERE status = 'completed'").fetchone()
    connection.close()

    assert count == 100
    await store.close()


async def test_the_file_is_readable_by_its_owner_alone(settings: Settings) -> None:
    store = EmbeddedStore(settings)
    await store.publish(state("a", "completed"))

    path = Path(settings.database or "")
    modes = [stat.S_IMODE(found.stat().st_mode) for found in path.parent.iterdir()]

    assert set(modes) == {0o600}
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    await store.close()


async def test_two_servers_of_one_user_see_each_others_jobs(settings: Settings) -> None:
    here, there = EmbeddedStore(settings), EmbeddedStore(settings)
    listener = Listener()
    await there.subscribe(listener).add("a")

    await here.publish(state("a", n=1))

    async with asyncio.timeout(30):
        assert decode_state((await listener.seen.get()).data).n == 1
        await here.publish(state("a", "completed", n=2))
        assert decode_state((await listener.seen.get()).data).status is Status.COMPLETED
    await there.publish(state("other", "completed"))
    assert {stored.job_id for stored in (await here.list()).jobs} == {"a", "other"}
    await here.close()
    await there.close()


async def has_looked(store: EmbeddedStore) -> None:
    """Wait until a store has taken in what other servers have written before."""
    other = EmbeddedStore(store._settings)
    listener = Listener()
    subscription = store.subscribe(listener)
    await subscription.add("marker")
    await other.publish(state("marker", "completed"))
    async with asyncio.timeout(30):
        await listener.seen.get()
    await subscription.close()
    await other.close()


async def test_a_server_that_knew_a_job_reads_how_it_ended_at_another(settings: Settings) -> None:
    here, there = EmbeddedStore(settings), EmbeddedStore(settings)
    run = (await here.publish(state("a"), start=True)).run
    await here.list()
    assert await there.request_cancel("a")
    await has_looked(here)

    await here.publish(state("a", "cancelled", run=run))
    await has_looked(there)

    assert decode_state((await there.read(["a"]))["a"].data).status is Status.CANCELLED
    assert (await there.publish(state("a", run=run))).outcome == "ended"
    await there.delete("a")
    await has_looked(here)
    assert await here.read(["a"]) == {}
    await here.close()
    await there.close()


async def test_a_wish_to_cancel_at_another_server_reaches_a_job_that_reports_all_the_time(settings: Settings) -> None:
    here, there = EmbeddedStore(settings), EmbeddedStore(settings)
    run = (await here.publish(state("a"), start=True)).run
    await here.list()
    assert await there.request_cancel("a")

    async with asyncio.timeout(30):
        while not (await here.publish(state("a", run=run))).cancel_requested:
            await asyncio.sleep(0)

    await here.list()
    await here.close()
    await there.close()
    after = EmbeddedStore(settings)
    assert (await after.publish(state("a", run=run))).cancel_requested
    await after.close()


async def test_a_run_that_another_server_has_replaced_does_not_come_back(settings: Settings) -> None:
    here, there = EmbeddedStore(settings), EmbeddedStore(settings)
    old = (await here.publish(state("a"), start=True)).run
    await here.list()
    new = await there.publish(state("a", n=1), start=True)
    await there.list()

    await here.publish(state("a", run=old, n=2))
    await here.list()
    await has_looked(here)

    assert (await here.publish(state("a", run=old))).outcome == "superseded"
    assert decode_state((await here.read(["a"]))["a"].data).run == new.run
    await here.close()
    await there.close()


async def test_a_disk_that_fails_is_said_once_and_costs_no_update(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    broken = tmp_path / "folder"
    broken.mkdir()
    (broken / "jobs.sqlite").mkdir()
    store = EmbeddedStore(Settings(database=str(broken / "jobs.sqlite")))
    listener = Listener()
    await store.subscribe(listener).add("a")

    with caplog.at_level(logging.INFO):
        for status in ("processing", "completed", "processing", "failed"):
            await store.publish(state("a", status))

    assert listener.seen.qsize() == 4
    assert decode_state((await store.read(["a"]))["a"].data).status is Status.FAILED
    assert len([record for record in caplog.records if record.levelno == logging.WARNING]) == 1
    await store.close()


async def test_expired_states_are_gone_from_memory_and_file() -> None:
    now_us = 1_000_000_000_000_000
    store = EmbeddedStore(Settings(ttl_s=10, terminal_ttl_s=20), clock_us=lambda: now_us)
    await store.publish(state("a"))
    await store.publish(state("b", "completed"))

    now_us += 11_000_000

    assert set(await store.read(["a", "b"])) == {"b"}
    assert [stored.job_id for stored in (await store.list()).jobs] == ["b"]
    await store.close()


async def test_a_job_that_comes_again_after_it_has_expired_is_written(settings: Settings) -> None:
    now_us = 1_000_000_000_000_000
    store = EmbeddedStore(settings, clock_us=lambda: now_us)
    await store.publish(state("a"), start=True)
    await store.list()

    now_us += 4_000_000_000
    await store.publish(state("a", "completed"))

    assert [stored.status for stored in (await store.list()).jobs] == [Status.COMPLETED]
    await store.close()


async def test_while_the_disk_fails_memory_is_listed_and_the_log_names_the_file(
    settings: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    store = EmbeddedStore(settings)
    await store.publish(state("gone"))
    run = (await store.publish(state("a"), start=True)).run
    await store.list()
    with sqlite3.connect(settings.database or "") as other:
        other.execute("CREATE TRIGGER full BEFORE UPDATE ON jobs BEGIN SELECT raise(ABORT, 'disk is full'); END")
        other.execute("CREATE TRIGGER as_full BEFORE INSERT ON jobs BEGIN SELECT raise(ABORT, 'disk is full'); END")
    other.close()

    await store.publish(state("a", "completed", run=run))
    await store.publish(state("b", parent_id="a"))
    await store.delete("gone")

    assert [(stored.job_id, stored.status) for stored in (await store.list()).jobs] == [
        ("b", Status.PROCESSING),
        ("a", Status.COMPLETED),
    ]
    assert [stored.job_id for stored in (await store.list(parent_id="a")).jobs] == ["b"]
    assert f"until {settings.database} can be written" in caplog.text
    await store.close()


async def test_a_file_of_a_later_version_is_written_and_keeps_its_version(settings: Settings) -> None:
    before = EmbeddedStore(settings)
    await before.publish(state("a", "completed"))
    await before.close()
    with sqlite3.connect(settings.database or "") as other:
        other.executescript("ALTER TABLE jobs ADD COLUMN later TEXT; PRAGMA user_version = 3")
    other.close()

    store = EmbeddedStore(settings)
    await store.publish(state("b", "completed"))

    assert {stored.job_id for stored in (await store.list()).jobs} == {"a", "b"}
    await store.close()
    with sqlite3.connect(settings.database or "") as other:
        assert other.execute("PRAGMA user_version").fetchone() == (3,)
    other.close()
