"""Bursts in slices: who waits, who does not, and in which order."""

from __future__ import annotations

import asyncio

from jupyter_jobprogress.server.turns import Turns


async def _go(turns: Turns, name: int, gone: list[tuple[int, int]], turn: list[int]) -> None:
    await turns.take()
    gone.append((turn[0], name))


async def _count(turn: list[int]) -> None:
    while True:
        await asyncio.sleep(0)
        turn[0] += 1


async def test_a_burst_goes_in_slices_and_in_order() -> None:
    turns, gone, turn = Turns(3), list[tuple[int, int]](), [0]
    counting = asyncio.create_task(_count(turn))

    await asyncio.gather(*(_go(turns, name, gone, turn) for name in range(11)))
    counting.cancel()

    assert [name for _, name in gone] == list(range(11))
    by_turn = [sum(at == one for at, _ in gone) for one in sorted({at for at, _ in gone})]
    assert max(by_turn) == 3
    assert len(by_turn) == 4


async def test_who_comes_alone_does_not_wait() -> None:
    turns = Turns(1)
    for _ in range(3):
        coroutine = turns.take()
        try:
            coroutine.send(None)
        except StopIteration:
            pass
        else:
            raise AssertionError("waited, though nobody else was there")
        await asyncio.sleep(0)
        await asyncio.sleep(0)


async def test_who_leaves_the_line_takes_no_place_in_it() -> None:
    turns = Turns(1)
    first, left, stayed = (asyncio.create_task(turns.take()) for _ in range(3))
    await asyncio.sleep(0)
    assert first.done()
    assert not left.done()
    left.cancel()
    async with asyncio.timeout(20):
        await stayed

    assert left.cancelled()
