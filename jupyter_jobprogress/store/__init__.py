"""The seam between those who report and those who watch: one interface, three stores behind one URL."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

from jupyter_jobprogress.settings import REDIS_SCHEMES

if TYPE_CHECKING:
    from collections.abc import Callable

    from jupyter_jobprogress.settings import Settings
    from jupyter_jobprogress.store.base import Store


def connect(settings: Settings) -> Store:
    """Make the store that ``settings.url`` names. No I/O: connections are made when they are needed.

    Imports only the store that is asked for, so that a job that reports over HTTP does not load redis-py.
    """
    return _store_class(settings)(settings)


def prepare(settings: Settings) -> None:
    """Import what ``connect`` will need, in this thread. What cannot be imported is left for ``connect`` to raise."""
    with suppress(Exception):
        _store_class(settings)


def _store_class(settings: Settings) -> Callable[[Settings], Store]:
    scheme = (settings.url or "").partition("://")[0]
    if scheme in REDIS_SCHEMES:
        from jupyter_jobprogress.store.redis import RedisStore

        return RedisStore
    if scheme:
        from jupyter_jobprogress.store.remote import RemoteStore

        return RemoteStore
    from jupyter_jobprogress.store.embedded import EmbeddedStore

    return EmbeddedStore
