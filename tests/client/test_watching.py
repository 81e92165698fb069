"""``watch``, ``wait`` and ``get_status`` over the stores that people name by a URL, in processes of their own."""

from __future__ import annotations

import asyncio
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import aclosing
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import redis

from jupyter_jobprogress import State, Status, get_status, get_status_async, wait, wait_async, watch
from jupyter_jobprogress.errors import InvalidJobIdError, NoServerError, StoreDeniedError, StoreUnavailableError
from jupyter_jobprogress.settings import Settings
from jupyter_jobprogress.store import connect
from jupyter_jobprogress.store.base import Store
from tests.support.jobs import eventually
from tests.support.jupyter import isolated_environment
from tests.support.redis_server import RedisServer, free_port
from tests.support.standalone import TOKEN, Serving, fetch, serving

PATIENCE_S = 30

INTERRUPTED = {
    "plain": "wait('nobody')",
    # As kernels run their cells. ``asyncio.run`` would take the first interrupt for itself.
    "running loop": """
import asyncio
async def cell():
    wait('nobody')
asyncio.new_event_loop().run_until_complete(cell())
""",
}


def job(job_id: str, status: str = "processing", progress: float | None = None, **fields: Any) -> State:
    told = {"stage": "", "message": "", "timestamp": ""} | fields
    return State(job_id=job_id, status=Status(status), progress=progress, **told)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    with serving(tmp_path_factory.mktemp("client")) as running:
        yield running


@pytest.fixture(params=["http", "redis"])
def settings(request: pytest.FixtureRequest, server: Serving, redis_server: RedisServer, namespace: str) -> Settings:
    if request.param == "redis":
        return Settings(url=redis_server.url, namespace=namespace)
    return Settings(url=server.url, token=server.told.token)


@pytest.fixture
async def store(settings: Settings) -> AsyncIterator[Store]:
    """Give the store as a reporter elsewhere has it: with connections of its own."""
    store = connect(settings)
    yield store
    await store.close()


@pytest.fixture
def no_place(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("JOBPROGRESS_URL", "REDIS_URL", "JOBPROGRESS_TOKEN"):
        monkeypatch.delenv(name, raising=False)


async def test_it_tells_what_is_and_what_comes_until_the_end(settings: Settings, store: Store, namespace: str) -> None:
    await store.publish(job(namespace, progress=0.25))
    seen = []
    async with asyncio.timeout(PATIENCE_S):
        async for state in watch(namespace, settings=settings):
            seen.append((str(state.status), state.progress))
            if state.progress == 0.25:
                await store.publish(job(namespace, progress=0.5))
            elif len(seen) == 2:
                await store.publish(job(namespace, "failed", 0.5, error="Broken"))

    assert seen == [("processing", 0.25), ("processing", 0.5), ("failed", 0.5)]


async def test_several_jobs_are_watched_until_the_last_one_ends(
    settings: Settings, store: Store, namespace: str
) -> None:
    ids = [f"{namespace}-{number}" for number in range(3)]
    ended: list[str] = []
    async with asyncio.timeout(PATIENCE_S):
        await store.publish(job(ids[0], "completed", 1.0))
        async for state in watch(*ids, settings=settings):
            ended.append(state.job_id)
            if len(ended) < len(ids):
                await store.publish(job(ids[len(ended)], "cancelled"))

    assert ended == ids


async def test_who_is_slow_is_given_the_newest_and_the_end(settings: Settings, store: Store, namespace: str) -> None:
    await store.publish(job(namespace, progress=0.0))
    seen: list[Status] = []
    async with asyncio.timeout(2 * PATIENCE_S):
        async for state in watch(namespace, settings=settings):
            seen.append(state.status)
            if len(seen) == 1:
                for number in range(3000):
                    await store.publish(job(namespace, progress=number / 3000))
                await store.publish(job(namespace, "completed", 1.0))

    assert seen[-1] is Status.COMPLETED
    assert len(seen) <= 1100


async def test_a_wait_in_a_running_loop_returns_the_last_state(
    settings: Settings, store: Store, namespace: str
) -> None:
    await store.publish(job(namespace, "failed", 0.3, error="Broken"))

    state = wait(namespace, timeout=PATIENCE_S, settings=settings)

    assert (state.status, state.error) == (Status.FAILED, "Broken")


async def test_a_wait_ends_when_the_job_does(settings: Settings, store: Store, namespace: str) -> None:
    waiting = asyncio.create_task(asyncio.to_thread(wait, namespace, timeout=PATIENCE_S, settings=settings))
    await store.publish(job(namespace, progress=0.5))
    await store.publish(job(namespace, "completed", 1.0))

    assert (await waiting).status is Status.COMPLETED


def test_a_wait_gives_up_in_time(settings: Settings) -> None:
    with pytest.raises(TimeoutError, match=r"Expected job nobody to end within 0\.1 s"):
        wait("nobody", timeout=0.1, settings=settings)


async def test_several_waits_share_the_loop_with_what_they_wait_for(
    settings: Settings, store: Store, namespace: str
) -> None:
    ids = [f"{namespace}-{number}" for number in range(3)]
    async with asyncio.TaskGroup() as tasks:
        waiting = [tasks.create_task(wait_async(each, timeout=PATIENCE_S, settings=settings)) for each in ids]
        for each in ids:
            await store.publish(job(each, progress=0.5))
            found = await get_status_async(each, settings=settings)
            assert found is not None
            assert found.progress == 0.5
            await store.publish(job(each, "completed", 1.0, result={"of": each}))

    assert [task.result().result for task in waiting] == [{"of": each} for each in ids]


async def test_an_asynchronous_wait_gives_up_in_time_and_passes_on_a_timeout_of_its_caller(settings: Settings) -> None:
    with pytest.raises(TimeoutError, match=r"Expected job nobody to end within 0\.1 s"):
        await wait_async("nobody", timeout=0.1, settings=settings)
    with pytest.raises(TimeoutError) as caught:
        async with asyncio.timeout(0.1):
            await wait_async("nobody", timeout=PATIENCE_S, settings=settings)

    assert "nobody" not in str(caught.value)


async def test_a_wait_that_is_cancelled_leaves_no_connection(server: Serving) -> None:
    settings = Settings(url=server.url, token=server.told.token)
    waiting = asyncio.create_task(wait_async("nobody", settings=settings))
    await until_subscriptions(server, 1)

    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting

    await until_subscriptions(server, 0)


async def until_subscriptions(server: Serving, count: int) -> None:
    """Wait until so many jobs are watched at the server, each viewer's counted."""

    async def reached() -> bool:
        text = (await fetch(f"{server.url}metrics", headers=server.headers)).body.decode()
        return f"\njobprogress_subscriptions {count}.0\n" in text

    await eventually(reached, within_s=PATIENCE_S)


async def test_a_state_is_asked_for(settings: Settings, store: Store, namespace: str) -> None:
    assert get_status(namespace, settings=settings) is None

    await store.publish(job(namespace, progress=0.5, message="Half"))

    found = get_status(namespace, settings=settings)
    assert found is not None
    assert (found.status, found.progress, found.message) == (Status.PROCESSING, 0.5, "Half")


@pytest.mark.parametrize("call", [wait, get_status])
def test_an_id_that_is_none_is_refused(settings: Settings, call: Callable[..., object]) -> None:
    with pytest.raises(InvalidJobIdError):
        call("a b", settings=settings)


@pytest.mark.usefixtures("no_place")
def test_it_finds_the_server_of_its_user(server: Serving, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JUPYTER_RUNTIME_DIR", server.environment["JUPYTER_RUNTIME_DIR"])

    assert get_status("nobody") is None


@pytest.mark.usefixtures("no_place")
def test_without_a_server_it_says_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JUPYTER_RUNTIME_DIR", str(tmp_path))

    with pytest.raises(NoServerError, match="jupyter jobprogress serve"):
        get_status("a")


@pytest.mark.parametrize("scheme", ["http", "redis"])
def test_a_store_that_is_away_at_the_start_is_an_error(scheme: str) -> None:
    with pytest.raises(StoreUnavailableError):
        wait("a", timeout=PATIENCE_S, url=f"{scheme}://127.0.0.1:{free_port()}")


def test_a_wrong_token_is_an_error(server: Serving) -> None:
    with pytest.raises(StoreDeniedError):
        wait("a", timeout=PATIENCE_S, settings=Settings(url=server.url, token="0" * 32))


async def test_what_any_program_wrote_is_read(redis_server: RedisServer, namespace: str) -> None:
    with redis.Redis.from_url(redis_server.url) as client:
        client.set(f"job_status:{namespace}", '{"status":"completed","progress":250,"stage":7}')

    state = await asyncio.to_thread(wait, namespace, timeout=PATIENCE_S, url=redis_server.url)

    assert (state.job_id, state.status, state.progress) == (namespace, Status.COMPLETED, None)


@pytest.mark.parametrize("token", ["the same", "another"])
async def test_an_outage_is_waited_for_and_a_refusal_is_not(
    tmp_path: Path, redis_server: RedisServer, namespace: str, token: str
) -> None:
    """The job ends while the server is away: what nobody could push is read, by who may still read it."""
    arguments = [f"--redis-url={redis_server.url}", f"--namespace={namespace}"]
    environment = isolated_environment(tmp_path, JOBPROGRESS_SERVER_TOKEN=TOKEN)
    store = connect(Settings(url=redis_server.url, namespace=namespace))
    await store.publish(job("away", progress=0.0))
    with serving(tmp_path, *arguments, environment=environment) as first:
        states = watch("away", settings=Settings(url=first.url, token=TOKEN))
        assert (await anext(states)).progress == 0
        await asyncio.to_thread(first.stop)
    await store.publish(job("away", "completed", 1.0))
    await store.close()
    if token == "another":
        environment["JOBPROGRESS_SERVER_TOKEN"] = TOKEN[::-1]
    with serving(tmp_path, *arguments, port=urlsplit(first.url).port or 0, environment=environment):
        async with asyncio.timeout(PATIENCE_S), aclosing(states):
            if token == "the same":
                assert [state.status async for state in states] == [Status.COMPLETED]
            else:
                with pytest.raises(StoreDeniedError):
                    await anext(states)


@pytest.mark.parametrize("where", INTERRUPTED)
async def test_an_interrupt_ends_a_wait(server: Serving, where: str) -> None:
    script = "from jupyter_jobprogress import wait\n" + INTERRUPTED[where]

    await until_subscriptions(server, 0)
    process = subprocess.Popen(
        [sys.executable, "-c", script], env=server.environment, stderr=subprocess.PIPE, text=True
    )
    await until_subscriptions(server, 1)
    process.send_signal(signal.SIGINT)
    _, errors = await asyncio.to_thread(process.communicate, timeout=PATIENCE_S)

    assert errors.rstrip().endswith("KeyboardInterrupt")
    assert process.returncode != 0
