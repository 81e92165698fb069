"""A Redis that jobs report to: does it answer, does it know us, and is it shared with whom it should not?"""

from __future__ import annotations

import os

from jupyter_jobprogress.cli.checks.finding import Finding, failed, not_applicable, ok, warning
from jupyter_jobprogress.errors import StoreDeniedError, StoreError, StoreUnavailableError
from jupyter_jobprogress.settings import Settings, mask_url
from jupyter_jobprogress.store.base import Store
from jupyter_jobprogress.store.redis_client import RedisClient

_ACL = "Give its account the rights of docs/redis.md, or of docs/jupyterhub.md under a JupyterHub"


def no_right(check: str, what: str, exc: StoreDeniedError) -> Finding:
    """Say that an account may not do something."""
    namespace = (
        " Where it is confined to a namespace, set JOBPROGRESS_NAMESPACE to that." if "keys" in exc.reason else ""
    )
    return failed(check, f"The account of Redis may not {what}: {exc.reason}", f"{_ACL}.{namespace}")


async def answers(store: Store, url: str) -> Finding:
    """Read one key."""
    label = mask_url(url)
    try:
        await store.read(["doctor"])
    except StoreDeniedError as exc:
        if "no permission" in exc.reason or "NOPERM" in exc.reason:
            return ok("store", f"{label} answers, and knows the account.")  # the other checks say what it may not do
        return failed(
            "store",
            f"{label} refuses the user or the password of the URL, or its lack: {exc.reason}",
            "Correct the credential before the @ of the URL: redis://user:password@host:6379/0, with signs like @ / : "
            "in percent form.",
        )
    except StoreUnavailableError as exc:
        if "did not come within" in exc.reason:
            return failed(
                "store",
                f"{label} does not answer: {exc.reason}.",
                "Look whether that process hangs (redis-cli ping), and whether a firewall drops what is sent to it.",
            )
        return failed(
            "store",
            f"{label} cannot be reached: {exc.reason.rstrip('.')}.",
            "Start Redis there, or correct host, port, TLS (rediss://) and database of the URL.",
        )
    return ok("store", f"{label} answers.")


async def isolation(settings: Settings) -> Finding:
    """Under a JupyterHub: look at a name outside of the user's namespace, which must be refused."""
    if not os.environ.get("JUPYTERHUB_USER"):
        return not_applicable("isolation", "No user of a JupyterHub runs this.")
    if not settings.namespace:  # or the URL had been refused already
        return warning(
            "isolation",
            "All users of this Redis see, change and cancel each other's jobs, as JOBPROGRESS_SHARED_REDIS=1 says.",
            "If that is not meant, give each user an account and a namespace: docs/jupyterhub.md.",
        )
    client = RedisClient(settings, done=lambda _: None)
    try:
        await client.commands(("EXISTS", "job_status:doctor"))
    except StoreDeniedError:
        return ok("isolation", "The account of Redis is confined to its namespace.")
    except StoreError:
        return not_applicable("isolation", "Redis does not answer.")
    finally:
        await client.close()
    return failed(
        "isolation",
        "The account of Redis reads outside of its namespace: users can see each other's jobs.",
        "Give each user an account that is confined: docs/jupyterhub.md, C.",
    )
