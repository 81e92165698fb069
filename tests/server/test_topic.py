from __future__ import annotations

import asyncio
import json

import pytest

from jupyter_jobprogress.protocol.messages import Stored
from jupyter_jobprogress.protocol.state import Status
from jupyter_jobprogress.server.metrics import Counts
from jupyter_jobprogress.server.topic import DUTY, JOINED_BYTES, ROUND_S, SEAT_S, Group, Pace, Topic, pace_s
from tests.support.seats import Viewer


class Jobs:
    """Topics that share their paces, as those of a fan-out do."""

    def __init__(self) -> None:
        self.counts = Counts()
        self.paces: dict[float, Pace] = {}

    def topic(self, job_id: str = "a") -> Topic:
        return Topic(
            job_id, self.counts, lambda interval_s: self.paces.setdefault(interval_s, Pace(interval_s, self.counts))
        )


def stored(number: int, job_id: str = "a", status: Status = Status.PROCESSING, size: int = 0) -> Stored:
    data = json.dumps({"job_id": job_id, "n": number, "x": "y" * size}).encode()
    return Stored(job_id, data, number, status)


def resting(topic: Topic) -> Group:
    """Let the group behave as after a round that took long: what comes now waits."""
    group = topic.groups[0.0]
    assert isinstance(group, Group)
    group.free_at_s = asyncio.get_running_loop().time() + 0.1
    return group


async def test_the_first_update_after_silence_leaves_at_once() -> None:
    viewer, topic = Viewer(), Jobs().topic()
    topic.add(viewer.mailbox, 0.0)

    topic.take(stored(1))

    assert viewer.numbers == [1]


async def test_a_round_of_few_viewers_is_followed_by_a_rest_without_being_measured(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    viewer, topic = Viewer(), Jobs().topic()
    topic.add(viewer.mailbox, 0.0)
    monkeypatch.delattr("time.thread_time")
    begin_s = asyncio.get_running_loop().time()

    topic.take(stored(1))

    group = topic.groups[0.0]
    assert isinstance(group, Group)
    # So long that what the same read of the store gave is not sent by itself.
    assert group.free_at_s >= begin_s + DUTY * (ROUND_S + SEAT_S)


async def test_updates_in_quick_succession_all_arrive_and_leave_together() -> None:
    viewers, jobs = [Viewer(), Viewer()], Jobs()
    topic = jobs.topic()
    for viewer in viewers:
        topic.add(viewer.mailbox, 0.0)
    resting(topic)

    for number in range(20):
        topic.take(stored(number))
    assert [viewer.writes for viewer in viewers] == [[], []]
    for viewer in viewers:
        await viewer.until(lambda viewer: viewer.writes)

    assert [viewer.numbers for viewer in viewers] == [list(range(20))] * 2
    assert viewers[0].writes[0] is viewers[1].writes[0], "joined once for all"
    assert (jobs.counts.frames_out, jobs.counts.coalesced, jobs.counts.updates_in) == (40, 0, 20)


async def test_a_terminal_state_takes_along_what_waits_in_the_same_write() -> None:
    viewer, topic = Viewer(), Jobs().topic()
    topic.add(viewer.mailbox, 0.0)
    resting(topic)

    topic.take(stored(1))
    topic.take(stored(2))
    topic.take(stored(3, status=Status.FAILED))

    assert viewer.numbers == [1, 2, 3]
    assert len(viewer.writes) == 1


async def test_what_waits_leaves_before_it_outgrows_a_socket() -> None:
    viewer, topic = Viewer(), Jobs().topic()
    topic.add(viewer.mailbox, 0.0)
    resting(topic)

    for number in range(10):
        topic.take(stored(number, size=20_000))
        resting(topic)

    assert viewer.numbers == [0, 1, 2, 3, 4, 5, 6, 7]
    assert max(map(len, viewer.writes)) < JOINED_BYTES + 20_100


async def test_who_comes_while_updates_wait_sees_no_older_one_after_the_newest() -> None:
    early, late, topic = Viewer(), Viewer(), Jobs().topic()
    topic.add(early.mailbox, 0.0)
    resting(topic)
    topic.take(stored(1))
    topic.take(stored(2))

    topic.add(late.mailbox, 0.0)
    topic.take(stored(3, status=Status.COMPLETED))

    assert early.numbers == [1, 2, 3]
    assert late.numbers == [2, 3]


async def test_a_viewer_that_is_behind_costs_the_others_nothing() -> None:
    stuck, viewer, jobs = Viewer(), Viewer(), Jobs()
    topic = jobs.topic()
    for each in (stuck, viewer):
        topic.add(each.mailbox, 0.0)
    stuck.reading = False

    for number in range(100):
        topic.take(stored(number))
    topic.take(stored(100, status=Status.COMPLETED))
    stuck.read()

    assert viewer.numbers == list(range(101))
    assert stuck.numbers == [100]
    assert jobs.counts.coalesced == 101


async def test_an_interval_lets_the_first_out_at_once_and_then_the_newest() -> None:
    viewer, jobs = Viewer(), Jobs()
    topic, loop = jobs.topic(), asyncio.get_running_loop()
    topic.add(viewer.mailbox, 0.1)
    begin_s = loop.time()

    for number in range(50):
        topic.take(stored(number))
    assert viewer.numbers == [0]
    await viewer.until(lambda viewer: len(viewer.writes) == 2)

    assert viewer.numbers == [0, 49]
    assert loop.time() - begin_s >= 0.099
    assert jobs.counts.coalesced == 48


async def test_an_interval_does_not_hold_back_the_end_another_job_or_another_viewer() -> None:
    slow, fast, jobs = Viewer(), Viewer(), Jobs()
    first, second = jobs.topic("a"), jobs.topic("b")
    first.add(slow.mailbox, 60.0)
    second.add(slow.mailbox, 60.0)
    first.add(fast.mailbox, 0.0)

    for number in range(3):
        first.take(stored(number))
    second.take(stored(7, "b"))
    first.take(stored(3, status=Status.CANCELLED))

    assert slow.numbers == [0, 7, 3]
    assert fast.numbers[-1] == 3


async def test_jobs_that_are_due_together_leave_in_one_write() -> None:
    viewer, jobs = Viewer(), Jobs()
    topics = [jobs.topic(f"job-{number}") for number in range(50)]
    for topic in topics:
        topic.add(viewer.mailbox, 0.05)

    for number in range(2):
        for topic in topics:
            topic.take(stored(number, topic.job_id))
    await viewer.until(lambda viewer: len(viewer.numbers) == 100)

    assert len(viewer.writes) < 50 + 10
    assert len(jobs.paces) == 1


async def test_a_viewer_of_many_jobs_that_falls_behind_gets_the_newest_of_each() -> None:
    viewer, jobs = Viewer(), Jobs()
    topics = [jobs.topic(f"job-{number}") for number in range(3)]
    for topic in topics:
        topic.add(viewer.mailbox, 0.02)
        topic.take(stored(0, topic.job_id))
    viewer.reading = False

    for topic in topics:
        topic.take(stored(1, topic.job_id))
    async with asyncio.timeout(30):
        while not viewer.mailbox.waiting:
            await asyncio.sleep(0.005)
    for topic in topics:
        topic.take(stored(2, topic.job_id))
    viewer.read()
    await viewer.until(lambda viewer: viewer.numbers.count(2) == 3)


async def test_nobody_is_sent_what_they_no_longer_watch() -> None:
    viewer, jobs = Viewer(), Jobs()
    topic = jobs.topic()
    for interval_s in (0.0, 0.01):
        topic.add(viewer.mailbox, interval_s)
        topic.take(stored(int(1000 * interval_s) + 1))
        topic.take(stored(int(1000 * interval_s) + 2))

        assert topic.discard(viewer.mailbox, interval_s)
        assert not topic.discard(viewer.mailbox, interval_s)
        count = len(viewer.writes)
        await asyncio.sleep(0.03)
        topic.take(stored(int(1000 * interval_s) + 3))

        assert len(viewer.writes) == count
    assert topic.groups == {}


@pytest.mark.parametrize(
    ("asked_ms", "served_s"),
    [(0, 0), (-1, 0), (float("nan"), 0), (1, 0.01), (16, 0.02), (50, 0.05), (999, 1.0), (1001, 2.0), (1e9, 60.0)],
)
def test_intervals_are_rounded_up_so_that_viewers_share_them(asked_ms: float, served_s: float) -> None:
    assert pace_s(asked_ms) == served_s
