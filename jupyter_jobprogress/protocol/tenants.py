"""Who shares a store with others: a name for each of them, and what Redis lets them do. Pure.

The name of a user is never part of a key, a file or a channel: it may hold any character, and in the name of a Redis
ACL a ``*`` would open the keys of others. What stands there is a keyed hash, so that it cannot be guessed either.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
from typing import Final

from jupyter_jobprogress.errors import InvalidArgumentError

KEY_BYTES: Final = 32

_SAFE: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9:._-]*")

COMMANDS: Final = (
    *("auth", "hello", "select", "ping", "time", "eval", "evalsha"),
    *("get", "set", "mget", "del", "exists", "pexpire", "pttl"),
    *("hget", "hmget", "hset", "hdel", "hincrby", "hincrbyfloat", "hgetall"),
    *("zadd", "zrem", "zrangebyscore", "zrevrangebyscore", "zremrangebyscore"),
    *("publish", "subscribe", "unsubscribe"),
)
"""All that a store asks of Redis, itself or in its scripts. None of them names a key or a channel by a pattern, lists
those of others, or changes the server."""


def tenant_name(user: str, key: bytes, *, kind: str = "user") -> str:
    """Return the name under which a user's jobs are kept: 32 characters of a-z and 2-7 after a ``u``.

    ``kind`` tells users from services of a JupyterHub, which may have the same name. 160 bits of HMAC-SHA256 with
    ``key``, so that no two users share one, and nobody finds out whose a name is.

    Raises:
        InvalidArgumentError: the key is shorter than 32 bytes.
    """
    if len(key) < KEY_BYTES:
        raise InvalidArgumentError("the key of tenants", f"{len(key)} bytes", f"{KEY_BYTES} bytes or more")
    # surrogatepass: a name that is no valid text is another one than any that is.
    digest = hmac.digest(key, f"{kind}:{user}".encode("utf-8", "surrogatepass"), hashlib.sha256)
    return "u" + base64.b32encode(digest[:20]).decode().lower()


def acl_rules(namespace: str, password: str) -> list[str]:
    """Return the rules of ``ACL SETUSER`` that confine a Redis user to one namespace.

    The password is told to Redis by its SHA-256, as ``ACL LIST`` shows it. What the user was allowed before is reset.

    Raises:
        InvalidArgumentError: the namespace is empty, or has a character that means something in a pattern.
    """
    if _SAFE.fullmatch(namespace) is None:
        raise InvalidArgumentError("the namespace", namespace, "letters, digits and : . _ - as tenant_name makes it")
    hashed = hashlib.sha256(password.encode()).hexdigest()
    return [
        *("reset", "on", f"#{hashed}", f"~{namespace}:*", f"&{namespace}:*"),
        *(f"+{command}" for command in COMMANDS),
    ]
