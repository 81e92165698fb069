from __future__ import annotations

import asyncio
import json

import pytest

from jupyter_jobprogress.protocol.messages import Stored
from jupyter_jobprogress.protocol.state import Status
from jupyter_jobprogress.server.frames import text_frame
from jupyter_jobprogress.server.mailbox import CONTROL_FRAMES, WRITE_BYTES, MailboxFullError
from jupyter_jobprogress.server.metrics import Counts
from jupyter_jobprogress.server.topic import Pace, Topic
from tests.support.seats import Viewer


def job(job_id: str = "a") -> Topic:
    counts = Counts()
    return Topic(job_id, counts, lambda interval_s: Pace(interval_s, counts))


def stored(number: int, job_id: str = "a", status: Status = Status.PROCESSING, size: int = 0) -> Stored:
    data = json.dumps({"job_id": job_id, "n": number, "x": "y" * size}).encode()
    return Stored(job_id, data, number, status)


async def test_a_viewer_that_does_not_read_is_owed_the_newest_state_of_each_job_and_no_more() -> None:
    viewer, first, second = Viewer(), job("a"), job("b")
    for topic in (first, second):
        topic.add(viewer.mailbox, 0.0)
    viewer.reading = False

    for number in range(1, 1001):
        first.take(stored(number, "a"))
        second.take(stored(number, "b"))
    assert viewer.writes == []
    viewer.read()

    assert [(message["job_id"], message["n"]) for message in viewer.seen] == [("a", 1000), ("b", 1000)]
    assert len(viewer.writes) == 1, "what waits leaves together"


async def test_what_is_owed_is_shared_with_every_other_viewer() -> None:
    viewer, topic = Viewer(), job()
    topic.add(viewer.mailbox, 0.0)
    viewer.reading = False

    topic.take(stored(1))
    viewer.read()

    assert viewer.writes[0] == topic.frame
    assert viewer.mailbox._owed is None


async def test_a_viewer_that_was_behind_is_sent_a_bounded_part_at_a_time() -> None:
    viewer = Viewer()
    topics = [job(f"job-{number}") for number in range(20)]
    for topic in topics:
        topic.add(viewer.mailbox, 0.0)
    viewer.reading = False
    for topic in topics:
        topic.take(stored(1, topic.job_id, size=60_000))

    viewer.read()

    assert {message["job_id"] for message in viewer.seen} == {topic.job_id for topic in topics}
    assert len(viewer.writes) == 4
    assert max(map(len, viewer.writes)) < WRITE_BYTES + 61_000


async def test_an_end_is_not_lost_where_the_next_run_has_begun_before_the_viewer_reads() -> None:
    viewer, topic = Viewer(), job()
    topic.add(viewer.mailbox, 0.0)
    viewer.reading = False

    for number in range(10):
        topic.take(stored(number))
    topic.take(stored(10, status=Status.COMPLETED))
    topic.take(stored(11))
    topic.take(stored(12))
    viewer.read()

    assert viewer.numbers == [10, 12]


async def test_answers_keep_their_order_and_come_before_what_is_owed() -> None:
    viewer, topic = Viewer(), job()
    topic.add(viewer.mailbox, 0.0)
    viewer.reading = False
    topic.take(stored(1))
    for number in range(3):
        viewer.mailbox.put(text_frame(json.dumps({"answer": number}).encode()))

    viewer.read()

    assert [message.get("answer") for message in viewer.seen] == [0, 1, 2, None]


async def test_what_comes_while_something_waits_does_not_overtake_it() -> None:
    viewer, topic = Viewer(), job()
    topic.add(viewer.mailbox, 0.0)
    viewer.reading = False
    viewer.mailbox.put(text_frame(b'{"answer":1}'))
    viewer.reading = True  # the socket is free, and has not said so yet

    topic.take(stored(1))
    assert viewer.writes == []
    viewer.read()

    assert [message.get("answer") for message in viewer.seen] == [1, None]


async def test_an_outlet_that_refuses_in_the_middle_is_sent_the_rest_later() -> None:
    viewer, topic = Viewer(), job()
    topic.add(viewer.mailbox, 0.0)
    viewer.reading = False
    topic.take(stored(1))
    viewer.mailbox.put(text_frame(b"{}"))

    viewer.mailbox.drained()
    assert viewer.mailbox.waiting
    viewer.read()

    assert viewer.numbers == [None, 1]


async def test_nothing_is_owed_of_a_job_that_was_forgotten_or_after_the_end() -> None:
    viewer, topic = Viewer(), job()
    topic.add(viewer.mailbox, 0.0)
    viewer.reading = False
    topic.take(stored(1))
    viewer.mailbox.forget(topic)
    assert not viewer.mailbox.waiting
    viewer.mailbox.close()
    topic.take(stored(2))

    viewer.read()

    assert viewer.writes == []


async def test_who_waits_for_room_goes_on_when_there_is_some_and_at_the_end() -> None:
    viewer = Viewer()
    await viewer.mailbox.room()
    viewer.reading = False
    viewer.mailbox.put(b"answer")
    for way_out in (viewer.read, viewer.mailbox.close):
        viewer.reading = False
        viewer.mailbox.put(b"answer")
        waiting = asyncio.create_task(viewer.mailbox.room())
        await asyncio.sleep(0)
        assert not waiting.done()

        way_out()

        async with asyncio.timeout(30):
            await waiting


async def test_answers_that_nobody_reads_are_bounded() -> None:
    viewer = Viewer()
    viewer.reading = False

    for _ in range(CONTROL_FRAMES):
        viewer.mailbox.put(b"answer")

    with pytest.raises(MailboxFullError):
        viewer.mailbox.put(b"one more")
