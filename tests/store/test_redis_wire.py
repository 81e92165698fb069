"""The connection that is taken over from redis-py: what it hands on, and when it gives up."""

from __future__ import annotations

import asyncio
import datetime
import ipaddress
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from redis.asyncio import Connection, SSLConnection
from redis.exceptions import RedisError

from jupyter_jobprogress.settings import Settings
from jupyter_jobprogress.store.redis import RedisStore
from jupyter_jobprogress.store.redis_wire import ErrorReply, Reply, Wire, pack
from tests.support.chaos import ChaosProxy
from tests.support.jobs import Collector, make_state
from tests.support.redis_server import RedisServer, free_port
from tests.support.tcp import tcp_server


def connection(port: int) -> Connection:
    return Connection(host="127.0.0.1", port=port, protocol=2)


def in_s(seconds: float) -> float:
    return asyncio.get_running_loop().time() + seconds


def own_certificate(folder: Path) -> tuple[Path, Path]:
    """Make a certificate for the loopback address that is its own authority, and return it and its key."""
    key, name = ec.generate_private_key(ec.SECP256R1()), x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "redis")])
    now = datetime.datetime.now(datetime.UTC)
    address = x509.IPAddress(ipaddress.ip_address("127.0.0.1"))
    builder = x509.CertificateBuilder(
        issuer_name=name,
        subject_name=name,
        public_key=key.public_key(),
        serial_number=x509.random_serial_number(),
        not_valid_before=now - datetime.timedelta(hours=1),
        not_valid_after=now + datetime.timedelta(days=1),
    ).add_extension(x509.SubjectAlternativeName([address]), critical=False)
    certificate_file, key_file = folder / "cert.pem", folder / "key.pem"
    signed = builder.sign(key, hashes.SHA256())
    certificate_file.write_bytes(signed.public_bytes(serialization.Encoding.PEM))
    key_file.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return certificate_file, key_file


async def test_replies_come_in_one_list_for_each_question_with_errors_among_them(redis_server: RedisServer) -> None:
    wire = await Wire.open(connection(redis_server.port))
    try:
        large = b"x" * 3_000_000  # many reads
        questions = [("ECHO", large), ("NONSENSE",), ("ECHO", "ä"), ("EXISTS", "nothing", 7)]
        replies = await wire.ask(pack(questions), len(questions), deadline=in_s(5))

        assert [replies[0], *replies[2:]] == [large, "ä".encode(), 0]
        assert isinstance(replies[1], ErrorReply)
        assert replies[1].code == "ERR"
        assert await wire.ask(pack([("PING",)]), 1, deadline=in_s(5)) == [b"PONG"]
    finally:
        await wire.close()


async def test_all_messages_of_one_read_are_handed_over_in_one_turn(redis_server: RedisServer, namespace: str) -> None:
    batches: list[list[Reply]] = []
    arrived = asyncio.Event()

    def pushed(replies: list[Reply]) -> None:
        batches.append(replies)
        arrived.set()

    reader = await Wire.open(connection(redis_server.port), pushed=pushed)
    writer = await Wire.open(connection(redis_server.port))
    try:
        await reader.tell(("SUBSCRIBE", namespace))
        await asyncio.wait_for(arrived.wait(), 5)
        assert batches.pop() == [[b"subscribe", namespace.encode(), 1]]

        # In one transaction Redis writes all of them before it looks at another connection.
        publishes = [("PUBLISH", namespace, number) for number in range(200)]
        await writer.ask(pack([("MULTI",), *publishes, ("EXEC",)]), 202, deadline=in_s(5))
        async with asyncio.timeout(5):
            while sum(map(len, batches)) < 200:
                arrived.clear()
                await arrived.wait()

        messages = [reply for batch in batches for reply in batch]
        assert messages == [[b"message", namespace.encode(), b"%d" % number] for number in range(200)]
        assert len(batches) < 20
    finally:
        await reader.close()
        await writer.close()


async def test_a_question_fails_at_its_deadline_and_so_does_one_that_is_asked_after_the_loss(
    own_redis: RedisServer,
) -> None:
    wire = await Wire.open(connection(own_redis.port))
    try:
        await wire.ask(pack([("PING",)]), 1, deadline=in_s(0.05))
        own_redis.freeze()
        started = asyncio.get_running_loop().time()
        with pytest.raises(TimeoutError):
            await wire.ask(pack([("PING",)]), 1, deadline=in_s(0.2))
        assert 0.2 <= asyncio.get_running_loop().time() - started < 0.6
        with pytest.raises(TimeoutError):
            await wire.ask(pack([("PING",)]), 1, deadline=in_s(0.2))
    finally:
        own_redis.thaw()
        await wire.close()


async def test_a_deadline_is_kept_that_is_earlier_than_that_of_the_question_before(own_redis: RedisServer) -> None:
    wire = await Wire.open(connection(own_redis.port))
    try:
        await wire.ask(pack([("PING",)]), 1, deadline=in_s(600))
        own_redis.freeze()
        async with asyncio.timeout(30):
            with pytest.raises(TimeoutError):
                await wire.ask(pack([("PING",)]), 1, deadline=in_s(0.2))
    finally:
        own_redis.thaw()
        await wire.close()


async def test_a_loss_is_told_once_and_a_close_from_here_is_not(redis_server: RedisServer) -> None:
    ended: list[str] = []
    async with ChaosProxy(redis_server.port) as proxy:
        cut = await Wire.open(connection(proxy.port), ended=lambda: ended.append("cut"))
        asking = cut.ask(pack([("BLPOP", "nothing", 0)]), 1, deadline=in_s(5))
        proxy.cut()
        with pytest.raises((RedisError, OSError)):
            await asking
        closed = await Wire.open(connection(redis_server.port), ended=lambda: ended.append("closed"))
        for wire in (cut, closed):
            await wire.close()
            await wire.close()
        await asyncio.sleep(0)

    assert ended == ["cut"]
    with pytest.raises((RedisError, OSError)):
        await cut.tell(("SUBSCRIBE", "a"))


@pytest.mark.parametrize("unasked", [b"+EXTRA\r\n", b"!nonsense\r\n"], ids=["a reply too many", "not the protocol"])
async def test_a_server_that_says_what_it_was_not_asked_loses_the_connection(unasked: bytes) -> None:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(65536):
            writer.write(b"+OK\r\n" * data.count(b"SETINFO"))
            if b"PING" in data:
                writer.write(b"+PONG\r\n" + unasked)
        writer.close()

    async with tcp_server(answer) as port:
        ended = asyncio.Event()
        wire = await Wire.open(connection(port), ended=ended.set)

        await asyncio.gather(wire.ask(pack([("PING",)]), 1, deadline=in_s(5)), return_exceptions=True)

        await asyncio.wait_for(ended.wait(), 5)
        assert wire.error is not None
        with pytest.raises(type(wire.error)):
            await wire.ask(pack([("PING",)]), 1, deadline=in_s(5))
        await wire.close()


async def test_a_store_works_over_tls_and_refuses_a_certificate_that_it_does_not_know(
    own_redis: RedisServer, tmp_path: Path
) -> None:
    certificate, key = own_certificate(tmp_path)
    tls_port = free_port()
    own_redis.stop()
    files = ("--tls-cert-file", str(certificate), "--tls-key-file", str(key), "--tls-ca-cert-file", str(certificate))
    own_redis.start("--tls-port", str(tls_port), *files, "--tls-auth-clients", "no")

    store = RedisStore(Settings(url=f"rediss://127.0.0.1:{tls_port}?ssl_ca_certs={certificate}"))
    try:
        collector = Collector()
        await store.subscribe(collector).add("job-1")
        text = "x" * 60_000  # several records of TLS
        for number in range(20):
            await store.publish(make_state(message=str(number), metadata={"text": text}))
        await collector.until(lambda: len(collector.pushes) == 20)
        assert (await store.read(["job-1"]))["job-1"] == collector.pushes[-1]
    finally:
        await store.close()

    with pytest.raises(RedisError, match="certificate"):
        await Wire.open(SSLConnection(host="127.0.0.1", port=tls_port, protocol=2))
