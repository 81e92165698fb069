"""One Redis, two users of it: what ``acl_rules`` lets each do, tried on a real server."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import pytest
from redis import Redis
from redis.exceptions import NoPermissionError, ResponseError

from jupyter_jobprogress.errors import InvalidArgumentError, SettingsError, StoreDeniedError
from jupyter_jobprogress.protocol.state import State, Status
from jupyter_jobprogress.protocol.tenants import acl_rules, tenant_name
from jupyter_jobprogress.settings import Settings
from jupyter_jobprogress.store.redis import RedisStore
from tests.support.redis_server import RedisServer

KEY = bytes(range(32))
ANN, BOB = tenant_name("ann", KEY), tenant_name("bob", KEY)
PASSWORD = "the password of bob"

ATTACKS = [
    ("GET", f"{ANN}:job_status:train"),
    ("MGET", f"{BOB}:job_status:train", f"{ANN}:job_status:train"),
    ("SET", f"{ANN}:job_status:train", "{}"),
    ("DEL", f"{ANN}:job_status:train"),
    ("HGET", f"{ANN}:jobprogress:meta:train", "run"),
    ("ZREVRANGEBYSCORE", f"{ANN}:jobprogress:index", "+inf", "-inf"),
    ("PEXPIRE", f"{ANN}:job_status:train", "1"),
    ("GET", "job_status:train"),
    ("PUBLISH", f"{ANN}:job_progress:train", "{}"),
    ("SUBSCRIBE", f"{ANN}:job_progress:train"),
    ("PSUBSCRIBE", "*"),
    ("PSUBSCRIBE", f"{BOB}:*"),
    ("EVAL", "return redis.call('GET', KEYS[1])", "1", f"{ANN}:job_status:train"),
    ("EVAL", f"return redis.call('GET', '{ANN}:job_status:train')", "0"),
    ("EVAL", f"return redis.call('PUBLISH', '{ANN}:job_progress:train', '')", "0"),
    ("EVAL", "return redis.call('KEYS', '*')", "0"),
    ("EVAL", "return redis.call('FLUSHALL')", "0"),
    *[
        tuple(command.split())
        for command in (
            *("SCAN 0", "KEYS *", "RANDOMKEY", "DBSIZE", "FLUSHALL", "FLUSHDB", "SWAPDB 0 1", "MONITOR", "SAVE"),
            *("SHUTDOWN NOSAVE", "CONFIG GET *", "CONFIG SET requirepass x", "ACL LIST", "ACL SETUSER default on"),
            *("CLIENT LIST", "CLIENT KILL TYPE normal", "PUBSUB CHANNELS", "SCRIPT FLUSH", "SCRIPT LOAD return"),
            *("FUNCTION LIST", "INFO", "REPLICAOF NO ONE", "MODULE LIST", "SLOWLOG GET"),
            *(f"RENAME {ANN}:a {BOB}:a", f"COPY {ANN}:a {BOB}:a", f"MIGRATE h 1 {ANN}:a 0 1", f"DUMP {ANN}:a"),
            *(f"OBJECT ENCODING {ANN}:a", f"TYPE {ANN}:a", f"SORT {BOB}:a BY {ANN}:*", f"WATCH {ANN}:a"),
        )
    ],
]
"""What bob tries on ann's jobs, on those of nobody, and on the server. Answered without a refusal, each is a leak."""


@pytest.fixture(scope="module")
def shared(redis_server: RedisServer) -> Iterator[RedisServer]:
    """Give a Redis with an account of bob; ann's job is in it."""
    with Redis.from_url(redis_server.url) as admin:
        admin.execute_command("ACL", "SETUSER", BOB, *acl_rules(BOB, PASSWORD))
        admin.set(f"{ANN}:job_status:train", "secret")
        yield redis_server
        admin.execute_command("ACL", "DELUSER", BOB)
        admin.delete(f"{ANN}:job_status:train")


def url(server: RedisServer) -> str:
    return f"redis://{BOB}:{quote(PASSWORD)}@127.0.0.1:{server.port}/0"


@pytest.mark.parametrize("attack", ATTACKS, ids=lambda attack: " ".join(attack)[:40])
def test_an_account_reaches_nothing_but_its_namespace(shared: RedisServer, attack: tuple[str, ...]) -> None:
    with (
        Redis.from_url(url(shared), protocol=2) as bob,
        pytest.raises((NoPermissionError, ResponseError), match=r"permission|can't (run|publish|access)|access"),
    ):
        bob.execute_command(*attack)


async def test_all_that_a_store_does_works_for_such_an_account(shared: RedisServer) -> None:
    seen: list[object] = []

    class Heard:
        def pushed(self, stored: object) -> None:
            seen.append(stored)

        def gap(self, job_ids: object) -> None:
            """Nothing is lost here."""

    def state(status: Status) -> State:
        return State(job_id="mine", status=status, stage="", progress=0.5, message="", timestamp="2026-01-01T00:00:00Z")

    store = RedisStore(Settings(url=url(shared), namespace=BOB))
    subscription = store.subscribe(Heard())
    await subscription.add("mine")
    receipt = await store.publish(state(Status.PROCESSING), start=True)
    assert receipt.run
    assert list(await store.read(["mine"])) == ["mine"]
    assert [job.job_id for job in (await store.list()).jobs] == ["mine"]
    assert await store.request_cancel("mine")
    await store.publish(state(Status.COMPLETED))
    assert await store.delete("mine")
    assert store.health.up
    assert len(seen) >= 1
    await store.close()


async def test_the_wrong_namespace_is_denied_and_named_without_a_secret(shared: RedisServer) -> None:
    store = RedisStore(Settings(url=url(shared), namespace=ANN))

    with pytest.raises(StoreDeniedError) as caught:
        await store.read(["train"])

    assert PASSWORD not in str(caught.value)
    assert "secret" not in str(caught.value)
    await store.close()


def test_no_two_users_share_a_name_and_none_is_a_pattern() -> None:
    chance = random.Random(11)
    alphabet = "ab*?[]{}:^\\ /\n\u00e4\U0001f600\ud800"
    users = {"".join(chance.choices(alphabet, k=chance.randrange(1, 8))) for _ in range(20_000)}
    users |= {"ann", "ann:*", "a?n", "[a-z]nn", "A", "ann/", "x" * 10_000}

    names = {tenant_name(user, KEY) for user in users}

    assert len(users) > 10_000
    assert len(names) == len(users)
    assert all(name.isascii() and name.isalnum() and len(name) == 33 for name in names)
    assert tenant_name("ann", KEY, kind="service") != ANN
    assert tenant_name("ann", KEY[::-1]) != ANN


@pytest.mark.parametrize("namespace", ["", "*", "a*", "a?", "[a]", "a b", "a\n"])
def test_a_namespace_that_means_more_than_itself_is_refused(namespace: str) -> None:
    with pytest.raises(InvalidArgumentError):
        acl_rules(namespace, PASSWORD)


def test_the_page_prints_the_rules_that_are_tested() -> None:
    page = (Path(__file__).parents[2] / "docs" / "jupyterhub.md").read_text()

    rules = acl_rules("NAME", PASSWORD)
    rules[2] = "#SHA256"
    assert f"ACL SETUSER NAME {' '.join(rules)}\n" in page


def test_under_a_hub_a_redis_that_nothing_divides_is_refused_with_the_remedy() -> None:
    inherited = {"JUPYTERHUB_USER": "ann", "REDIS_URL": "redis://:secret@redis/0"}

    with pytest.raises(SettingsError, match=r"docs/jupyterhub\.md") as caught:
        Settings.from_environment(None, inherited)

    assert "secret" not in str(caught.value)
    assert Settings.from_environment(None, inherited | {"JOBPROGRESS_NAMESPACE": BOB}).namespace == BOB
    assert Settings.from_environment(None, inherited | {"JOBPROGRESS_SHARED_REDIS": "1"}).url
    assert Settings.from_environment("redis://mine", inherited).url == "redis://mine"
