"""A real Redis Cluster, and a master with a replica and three Sentinels, on loopback."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import redis

from tests.support.redis_server import RedisServer, free_port

NODE_TIMEOUT_MS = 1000
SLOTS = 16384


def client(server: RedisServer) -> redis.Redis:
    return redis.Redis(host="127.0.0.1", port=server.port, protocol=2, decode_responses=True, socket_timeout=5)


def until(true: Callable[[], object], *, within_s: float = 30) -> None:
    """Wait for what another process does. Raises AssertionError."""
    deadline = time.monotonic() + within_s
    while True:
        with contextlib.suppress(redis.RedisError):
            if true():
                return
        assert time.monotonic() < deadline, f"not within {within_s} s"
        time.sleep(0.05)


class Cluster:
    """Three masters, and a replica of the first."""

    def __init__(self, masters: list[RedisServer], replica: RedisServer) -> None:
        self.masters = masters
        self.replica = replica

    @property
    def url(self) -> str:
        return "redis+cluster://" + ",".join(f"127.0.0.1:{server.port}" for server in self.masters)

    def master_of(self, key: str) -> RedisServer:
        with client(self.masters[0]) as first:
            slot = first.execute_command("CLUSTER", "KEYSLOT", key)
        return self.masters[slot * len(self.masters) // SLOTS]

    def whole(self) -> bool:
        return all("cluster_state:ok" in _cluster_info(server) for server in (*self.masters, self.replica))


def _cluster_info(server: RedisServer) -> str:
    with client(server) as node:
        # redis-py would parse it, in one version like this and in another like that.
        return str(node.execute_command("CLUSTER", "INFO"))


@contextlib.contextmanager
def cluster(binary: str, directory: Path) -> Iterator[Cluster]:
    """Start one, and wait until all of its nodes call it whole."""
    with contextlib.ExitStack() as stack:
        servers = []
        for number in range(4):
            folder = directory / str(number)
            folder.mkdir()
            server = RedisServer(binary, folder)
            server.options = ["--cluster-enabled", "yes", "--cluster-node-timeout", str(NODE_TIMEOUT_MS)]
            # Its own port plus 10000, unless that is over the last port.
            server.options += ["--cluster-port", str(free_port()), "--repl-diskless-sync-delay", "0"]
            servers.append(stack.enter_context(server))
        *masters, replica = servers
        found = Cluster(masters, replica)
        with contextlib.ExitStack() as clients:
            nodes = [clients.enter_context(client(server)) for server in servers]
            for number, node in enumerate(nodes[:3]):
                first, after = (SLOTS * edge // 3 for edge in (number, number + 1))
                node.execute_command("CLUSTER", "ADDSLOTSRANGE", first, after - 1)
                node.execute_command("CLUSTER", "SET-CONFIG-EPOCH", number + 1)
            for server in servers[1:]:
                bus = server.options[server.options.index("--cluster-port") + 1]
                nodes[0].execute_command("CLUSTER", "MEET", "127.0.0.1", server.port, bus)
            until(found.whole)
            first_id = nodes[0].execute_command("CLUSTER", "MYID")
            nodes[3].execute_command("CLUSTER", "REPLICATE", first_id)
            until(lambda: _is_replica(nodes[3]))
        yield found


def _is_replica(node: redis.Redis) -> bool:
    info = node.info("replication")
    return info["role"] == "slave" and info["master_link_status"] == "up"


class Sentinels:
    """A master with one replica, and three Sentinels that call it ``jobs``."""

    def __init__(self, servers: list[RedisServer], sentinels: list[RedisServer]) -> None:
        self.servers = servers
        self.sentinels = sentinels

    @property
    def hosts(self) -> str:
        return ",".join(f"127.0.0.1:{sentinel.port}" for sentinel in self.sentinels)

    @property
    def url(self) -> str:
        return f"redis+sentinel://{self.hosts}/jobs"

    def master(self) -> RedisServer:
        with client(self.sentinels[0]) as sentinel:
            _, port = sentinel.execute_command("SENTINEL", "GET-MASTER-ADDR-BY-NAME", "jobs")
        return next(server for server in self.servers if server.port == int(port))


@contextlib.contextmanager
def sentinels(binary: str, directory: Path) -> Iterator[Sentinels]:
    """Start them, and wait until each Sentinel knows the replica and the two others."""
    with contextlib.ExitStack() as stack:
        servers: list[RedisServer] = []
        for number in range(2):
            folder = directory / f"server{number}"
            folder.mkdir()
            server = RedisServer(binary, folder)
            server.options = ["--repl-diskless-sync-delay", "0"]
            if servers:
                server.options += ["--replicaof", f"127.0.0.1 {servers[0].port}"]
            servers.append(stack.enter_context(server))
        watchers = []
        for number in range(3):
            folder = directory / f"sentinel{number}"
            folder.mkdir()
            configuration = folder / "sentinel.conf"
            configuration.write_text(
                f"sentinel monitor jobs 127.0.0.1 {servers[0].port} 2\n"
                "sentinel down-after-milliseconds jobs 500\nsentinel failover-timeout jobs 3000\n"
            )
            watcher = RedisServer(binary, folder)
            watcher.configuration = configuration
            watcher.options = ["--sentinel"]
            watchers.append(stack.enter_context(watcher))
        found = Sentinels(servers, watchers)

        def settled() -> bool:
            for watcher in watchers:
                with client(watcher) as sentinel:
                    state = sentinel.sentinel_master("jobs")
                    if state["num-slaves"] < 1 or state["num-other-sentinels"] < 2:
                        return False
            with client(servers[1]) as replica:
                return _is_replica(replica)

        until(settled)
        yield found
