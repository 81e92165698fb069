"""Viewers of a job learn of its parts, of those that are there and of those that come."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from jupyter_jobprogress.server.children import Children
from jupyter_jobprogress.settings import Settings
from tests.support.faulty_store import FaultyStore
from tests.support.jobs import make_state


class Viewer:
    def __init__(self) -> None:
        self.told: list[tuple[str, list[str]]] = []
        self.news = asyncio.Event()

    def children(self, parent_id: str, job_ids: list[str]) -> None:
        self.told.append((parent_id, job_ids))
        self.news.set()

    async def next(self) -> tuple[str, list[str]]:
        async with asyncio.timeout(30):
            while not self.told:
                self.news.clear()
                await self.news.wait()
        return self.told.pop(0)


@pytest.fixture
async def store() -> AsyncIterator[FaultyStore]:
    store = FaultyStore(Settings())
    yield store
    await store.close()


@pytest.fixture
async def children(store: FaultyStore) -> AsyncIterator[Children]:
    children = Children(store, look_s=0.05)
    yield children
    await children.close()


async def test_parts_that_are_there_and_parts_that_come_are_told_once(store: FaultyStore, children: Children) -> None:
    viewer = Viewer()
    await store.publish(make_state("p"), start=True)
    await store.publish(make_state("p.1", parent_id="p"), start=True)
    await store.publish(make_state("other", parent_id="q"), start=True)

    children.watch(viewer, "p")
    assert await viewer.next() == ("p", ["p.1"])
    await store.publish(make_state("p.1", parent_id="p"))
    await store.publish(make_state("p.2", parent_id="p"), start=True)

    assert await viewer.next() == ("p", ["p.2"])
    assert viewer.told == []


async def test_a_second_viewer_is_told_of_all_at_once(store: FaultyStore, children: Children) -> None:
    first, second = Viewer(), Viewer()
    await store.publish(make_state("p.1", parent_id="p"), start=True)
    children.watch(first, "p")
    await first.next()

    children.watch(second, "p")

    assert second.told == [("p", ["p.1"])]
    children.unwatch(first, "p")
    await store.publish(make_state("p.2", parent_id="p"), start=True)
    assert await second.next() == ("p", ["p.1"])
    assert await second.next() == ("p", ["p.2"])
    assert first.told == []


async def test_nothing_is_looked_for_when_nobody_watches(store: FaultyStore, children: Children) -> None:
    viewer = Viewer()
    children.watch(viewer, "p")
    children.unwatch(viewer, "p")

    async with asyncio.timeout(30):
        while children._looker is not None:
            await asyncio.sleep(0.01)
    await store.publish(make_state("p.1", parent_id="p"), start=True)
    children.watch(viewer, "p")
    assert await viewer.next() == ("p", ["p.1"])


async def test_a_store_that_is_away_is_asked_again(store: FaultyStore, children: Children) -> None:
    viewer = Viewer()
    await store.publish(make_state("p.1", parent_id="p"), start=True)
    store.fault = "refuses"
    children.watch(viewer, "p")
    await asyncio.sleep(0)

    store.fault = None

    assert await viewer.next() == ("p", ["p.1"])


async def test_parts_with_large_states_are_found_behind_each_other(store: FaultyStore, children: Children) -> None:
    viewer, parts = Viewer(), [f"p.{number}" for number in range(10)]
    for part in parts:
        await store.publish(make_state(part, parent_id="p", metadata={"x": "y" * 60_000}), start=True)

    children.watch(viewer, "p")

    told: list[str] = []
    while len(told) < len(parts):
        told += (await viewer.next())[1]
    assert sorted(told) == parts


async def test_new_parts_with_large_states_are_found_behind_each_other(store: FaultyStore, children: Children) -> None:
    viewer = Viewer()
    await store.publish(make_state("p.first", parent_id="p"), start=True)
    children.watch(viewer, "p")
    assert await viewer.next() == ("p", ["p.first"])
    # Of one turn: a look sees them all or none, and the first of them is not on the first page.
    await store.publish(make_state("p.second", parent_id="p"), start=True)
    for number in range(10):
        await store.publish(make_state(f"other-{number}", metadata={"x": "y" * 60_000}), start=True)

    assert await viewer.next() == ("p", ["p.second"])
