from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from jupyter_jobprogress.protocol.messages import Stored
from jupyter_jobprogress.protocol.state import Status
from jupyter_jobprogress.server.mailbox import CONTROL_FRAMES, QUEUE_FRAMES, Mailbox, MailboxFullError


def stored(number: int, job_id: str = "a", status: Status = Status.PROCESSING) -> Stored:
    return Stored(job_id, f"{job_id}{number}".encode(), number, status)


class Viewer:
    """Takes frames while its gate is open."""

    def __init__(self) -> None:
        self.frames: list[str] = []
        self.reading = asyncio.Event()
        self.reading.set()
        self.took = asyncio.Event()

    async def send(self, frame: bytes) -> None:
        await self.reading.wait()
        self.frames.append(frame.decode())
        self.took.set()

    async def until(self, frame: str) -> None:
        async with asyncio.timeout(5):
            while frame not in self.frames:
                self.took.clear()
                await self.took.wait()


@asynccontextmanager
async def running(viewer: Viewer) -> AsyncIterator[Mailbox]:
    mailbox = Mailbox(viewer.send)
    task = asyncio.create_task(mailbox.run())
    try:
        yield mailbox
    finally:
        mailbox.close()
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def test_a_viewer_that_keeps_up_gets_every_state_in_order() -> None:
    viewer = Viewer()

    async with running(viewer) as mailbox:
        for number in range(QUEUE_FRAMES):
            mailbox.put_state(stored(number), interval_s=0)
        await viewer.until(f"a{QUEUE_FRAMES - 1}")

    assert viewer.frames == [f"a{number}" for number in range(QUEUE_FRAMES)]


async def test_a_viewer_that_does_not_read_costs_a_bounded_line_and_then_gets_the_newest() -> None:
    viewer = Viewer()
    viewer.reading.clear()

    async with running(viewer) as mailbox:
        for number in range(100_000):
            mailbox.put_state(stored(number), interval_s=0)
            mailbox.put_state(stored(number, "b"), interval_s=0)
        viewer.reading.set()
        await viewer.until("a99999")
        await viewer.until("b99999")

    assert len(viewer.frames) <= QUEUE_FRAMES + 3
    numbers = [int(frame[1:]) for frame in viewer.frames if frame[0] == "a"]
    assert numbers == sorted(numbers)


async def test_a_terminal_state_follows_what_waits_and_is_never_replaced() -> None:
    viewer = Viewer()
    viewer.reading.clear()

    async with running(viewer) as mailbox:
        for number in range(1000):
            mailbox.put_state(stored(number), interval_s=10)
        mailbox.put_state(stored(1000, status=Status.COMPLETED), interval_s=10)
        viewer.reading.set()
        await viewer.until("a1000")

    assert viewer.frames == ["a0", "a1000"]


async def test_an_interval_lets_the_first_out_at_once_and_then_the_newest() -> None:
    viewer = Viewer()
    loop = asyncio.get_running_loop()

    async with running(viewer) as mailbox:
        begin_s = loop.time()
        mailbox.put_state(stored(0), interval_s=0.1)
        await viewer.until("a0")
        first_s = loop.time() - begin_s
        for number in range(1, 50):
            mailbox.put_state(stored(number), interval_s=0.1)
        await viewer.until("a49")
        second_s = loop.time() - begin_s

    assert viewer.frames == ["a0", "a49"]
    assert first_s < 0.1 <= second_s + 0.001


async def test_the_interval_of_one_job_does_not_hold_back_another() -> None:
    viewer = Viewer()

    async with running(viewer) as mailbox:
        mailbox.put_state(stored(0), interval_s=60)
        mailbox.put_state(stored(1), interval_s=60)
        mailbox.put_state(stored(0, "b"), interval_s=60)
        await viewer.until("b0")

    assert viewer.frames == ["a0", "b0"]


async def test_nothing_waits_for_a_job_that_was_forgotten() -> None:
    viewer = Viewer()

    async with running(viewer) as mailbox:
        mailbox.put_state(stored(0), interval_s=0.05)
        mailbox.put_state(stored(1), interval_s=0.05)
        mailbox.forget("a")
        await viewer.until("a0")
        mailbox.put_state(stored(2), interval_s=0.05)
        await viewer.until("a2")

    assert viewer.frames == ["a0", "a2"]


async def test_answers_that_nobody_reads_are_bounded() -> None:
    mailbox = Mailbox(Viewer().send)

    for _ in range(CONTROL_FRAMES):
        mailbox.put(b"answer")

    with pytest.raises(MailboxFullError):
        mailbox.put(b"one more")
