"""The seam between those who report and those who watch: one interface, three stores behind one URL."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from jupyter_jobprogress.settings import Settings
    from jupyter_jobprogress.store.base import Store


def connect(settings: Settings) -> Store:
    """Make the store that ``settings.url`` names. No I/O: connections are made when they are needed.

    Imports only the store that is asked for, so that a job that reports over HTTP does not load redis-py.
    """
    scheme = (settings.url or "").partition("://")[0]
    if scheme in ("redis", "rediss", "unix"):
        from jupyter_jobprogress.store.redis import RedisStore

        return RedisStore(settings)
    if scheme:
        from jupyter_jobprogress.store.remote import RemoteStore

        return RemoteStore(settings)
    from jupyter_jobprogress.store.embedded import EmbeddedStore

    return EmbeddedStore(settings)
