"""The store for several servers and many workers: Redis or Valkey.

Keys, channels and their layout are in protocol/names.py; ``publish.lua`` writes them.
"""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Final

import msgspec

from jupyter_jobprogress.backoff import OWN_RANDOM
from jupyter_jobprogress.errors import SettingsError, StoreError
from jupyter_jobprogress.protocol.messages import (
    Contribution,
    Outcome,
    Receipt,
    Stored,
    encode_contribution,
    encode_state,
)
from jupyter_jobprogress.protocol.names import RedisNames, check_job_id, tenant_namespace
from jupyter_jobprogress.protocol.state import State, Status
from jupyter_jobprogress.settings import Settings
from jupyter_jobprogress.store.base import Health, Listener, Page, Store, Subscription
from jupyter_jobprogress.store.portions import PORTION_BYTES, Stride
from jupyter_jobprogress.store.readable import Readable
from jupyter_jobprogress.store.redis_client import RedisClient, Script
from jupyter_jobprogress.store.redis_index import Indexed
from jupyter_jobprogress.store.redis_push import RedisPush, RedisSubscription
from jupyter_jobprogress.store.redis_url import is_cluster

READ_AT_ONCE: Final = 500
"""Most jobs whose states are asked for in one round trip."""

SCAN: Final = 256
"""Jobs that one call of ``list`` looks at where it filters, so that its work has a bound."""

_log = logging.getLogger(__name__)

_UP: Final = Health(True)
_OUTCOMES: Final = {outcome.encode(): outcome for outcome in Outcome}

_PUBLISH: Final = Script("publish.lua")
_ADD: Final = Script("add.lua")
_CANCEL: Final = Script("cancel.lua")
_contributions: Final = msgspec.json.Decoder(Contribution)


class _Parent(msgspec.Struct):
    parent_id: object = None


_parent_decoder: Final = msgspec.json.Decoder(_Parent)


class RedisStore(Store):
    """See the module. ``clock`` is monotonic, ``wall`` counts seconds since 1970, ``jitter`` is 0 to 1."""

    def __init__(
        self,
        settings: Settings,
        *,
        clock: Callable[[], float] = time.monotonic,
        wall: Callable[[], float] = time.time,
        jitter: Callable[[], float] = OWN_RANDOM.random,
    ) -> None:
        self._ttl_ms = _milliseconds(settings.ttl_s)
        self._terminal_ttl_ms = _milliseconds(settings.terminal_ttl_s)
        self._names = _names(settings)
        self._index = self._names.index()
        self._indexed = Indexed(clock) if self._names.clustered else None
        self._readable = Readable()
        self._health = Health(True)
        self._tenants: set[RedisStore] = set()
        self._client = RedisClient(settings, done=self._command_done, clock=clock, wall=wall)
        self._push = RedisPush(
            self._client, self._names, settings, self._readable, report=self._set_health, clock=clock, jitter=jitter
        )

    @property
    def label(self) -> str:
        return self._client.url

    @property
    def health(self) -> Health:
        return Health(False, "closed") if self._client.closed else self._health

    def now_us(self) -> int:
        return self._client.now_us()

    async def publish(self, state: State, *, start: bool = False) -> Receipt:
        self._client.check_open()
        body, history = encode_state(state)
        names, terminal = self._names.of_job(state.job_id), state.status.terminal
        reply = await self._client.script(
            _PUBLISH,
            (names.state, names.meta, names.history, names.parts, *(() if self._indexed else (self._index,))),
            (
                body,
                history,
                "" if start or state.run is None else state.run,
                int(start),
                int(terminal),
                self._terminal_ttl_ms if terminal else self._ttl_ms,
                max(self._ttl_ms, self._terminal_ttl_ms),
                names.channel,
                state.job_id,
            ),
            time_at=4,
        )
        seq, run, outcome, cancel, _, *shared = reply
        receipt = _receipt(seq, run, outcome, cancel, *shared)
        if self._indexed is not None and receipt.outcome is Outcome.ACCEPTED:
            await self._put_in_index(state.job_id, seq, told=start or terminal)
        return receipt

    async def _put_in_index(self, job_id: str, seq: int, *, told: bool) -> None:
        """Note a job in a Cluster's index, which is not where the job is: when it starts, ends, and now and then."""
        assert self._indexed is not None
        if not (self._indexed.due(job_id) or told):
            return
        index, old = self._index, seq - 1000 * max(self._ttl_ms, self._terminal_ttl_ms)
        try:
            await self._client.commands(
                ("ZADD", index, seq, job_id), ("ZREMRANGEBYSCORE", index, "-inf", old), key=index
            )
        except StoreError:
            # The state is stored and pushed; that a list lags behind is no reason to send it again. Health knows.
            return
        self._indexed.done(job_id)

    async def add(self, job_id: str, *, part: str, contribution: Contribution, run: int | None) -> Receipt:
        self._client.check_open()
        data = encode_contribution(contribution)
        names = self._names.of_job(job_id)
        reply = await self._client.script(
            _ADD,
            (names.meta, names.parts),
            (
                check_job_id(part),
                repr(contribution.n),
                data if contribution.has_words else b"",
                "" if run is None else run,
                self._ttl_ms,
            ),
        )
        return _receipt(*reply)

    async def read(self, job_ids: Sequence[str]) -> dict[str, Stored]:
        self._client.check_open()
        unique = list(dict.fromkeys(check_job_id(job_id) for job_id in job_ids))
        found = {}
        for first in range(0, len(unique), READ_AT_ONCE):
            part = unique[first : first + READ_AT_ONCE]
            for job_id, data in zip(part, await self._read_raw(part), strict=True):
                if data is not None and (stored := self._readable.read(job_id, data)) is not None:
                    found[job_id] = stored
        return found

    async def list(
        self,
        *,
        status: Status | None = None,
        parent_id: str | None = None,
        limit: int = 100,
        after: int | None = None,
    ) -> Page:
        self._client.check_open()
        limit = min(max(limit, 1), 1000)
        scan = limit if status is None and parent_id is None else max(limit, SCAN)
        entries = await self._newest(after, scan + 1)
        jobs: list[Stored] = []
        gone: list[int] = []
        looked_at, size, stride = 0, 0, Stride()
        while looked_at < min(scan, len(entries)) and len(jobs) < limit and size < PORTION_BYTES:
            part = entries[looked_at : min(looked_at + stride.count, scan)]
            states = await self._read_raw([job_id for job_id, _ in part])
            stride.learn(len(data or b"") for data in states)
            for (job_id, seq), data in zip(part, states, strict=True):
                if len(jobs) == limit or size >= PORTION_BYTES:
                    break
                looked_at += 1
                if data is None:
                    gone.append(seq)
                elif (stored := self._readable.read(job_id, data)) is not None and _matches(stored, status, parent_id):
                    jobs.append(stored)
                    size += len(data)
        await self._prune(gone)
        return Page(jobs, entries[looked_at - 1][1] if looked_at < len(entries) else None)

    async def request_cancel(self, job_id: str) -> bool:
        state_key, meta_key = self._names.state(job_id), self._names.meta(job_id)
        data, run = await self._client.commands(("GET", state_key), ("HGET", meta_key, "run"), key=state_key)
        stored = self._readable.read(job_id, data) if data is not None else None
        if stored is None or stored.status.terminal:
            return False
        return bool(await self._client.script(_CANCEL, (state_key, meta_key), (run or b"", self._ttl_ms)))

    async def delete(self, job_id: str) -> bool:
        names = self._names
        keys = (names.state(job_id), names.meta(job_id), names.history(job_id), names.parts(job_id))
        if self._indexed is not None:
            self._indexed.forget(job_id)
        deleted, _ = await self._client.each([(keys[0], ("DEL", *keys)), (self._index, ("ZREM", self._index, job_id))])
        return bool(deleted)

    def subscribe(self, listener: Listener) -> Subscription:
        self._client.check_open()
        return RedisSubscription(self._push, self._names, listener)

    def of_tenant(self, name: str) -> Store:
        return _TenantStore(self, name)

    async def close(self) -> None:
        self._client.closed = True
        await self._push.close()
        await self._client.close()

    async def _read_raw(self, job_ids: Sequence[str]) -> Sequence[bytes | None]:
        """Return the states in one round trip, their histories spliced in."""
        if not job_ids:
            return []
        state_keys = [self._names.state(job_id) for job_id in job_ids]
        history_keys = [self._names.history(job_id) for job_id in job_ids]
        if self._names.clustered:  # not MGET: a slot that moves answers for one key at a time
            found = await self._client.each([(key, ("GET", key)) for key in (*state_keys, *history_keys)])
            return [_join(*pair) for pair in zip(found[: len(job_ids)], found[len(job_ids) :], strict=True)]
        states, histories = await self._client.commands(("MGET", *state_keys), ("MGET", *history_keys))
        return [_join(state, history) for state, history in zip(states, histories, strict=True)]

    async def _newest(self, after: int | None, count: int) -> Sequence[tuple[str, int]]:
        """Return jobs of the index with their seq, newest first."""
        highest = "+inf" if after is None else f"({after}"
        (flat,) = await self._client.commands(
            ("ZREVRANGEBYSCORE", self._index, highest, "-inf", "WITHSCORES", "LIMIT", 0, count), key=self._index
        )
        entries = zip(flat[::2], flat[1::2], strict=True)
        return [(member.decode("utf-8", "replace"), int(float(seq))) for member, seq in entries]

    async def _prune(self, seqs: Sequence[int]) -> None:
        """Take jobs out of the index whose state has expired.

        By score, not by name: a job that was published again meanwhile has another score by now, and stays.
        """
        if seqs:
            index = self._index
            await self._client.commands(*[("ZREMRANGEBYSCORE", index, seq, seq) for seq in seqs], key=index)

    def _command_done(self, error: StoreError | None) -> None:
        if not self._push.started:
            self._set_health(_UP if error is None else Health(False, getattr(error, "reason", "")))
        elif error is not None:
            # One command may fail on a stale connection. Whether Redis is gone is for the probe to say.
            self._push.probe_soon()

    def _set_health(self, health: Health) -> None:
        before, self._health = self._health, health
        if before.up == health.up or self._client.closed:
            return
        for store in (self, *self._tenants):
            if store.on_health is not None:
                try:
                    store.on_health(health)
                except Exception:  # noqa: BLE001 — the reader of pushes may be the caller, and must live on
                    _log.exception("Who wants to know of the health of the store failed")


class _TenantStore(RedisStore):
    """The same Redis under another namespace, over the connections of the store that made it."""

    def __init__(self, whole: RedisStore, name: str) -> None:
        # All that RedisStore holds, shared; then what is this one's own.
        vars(self).update(vars(whole))
        self.on_health = None
        self._whole = whole
        self._names = replace(whole._names, namespace=tenant_namespace(whole._names.namespace, name))
        self._index = self._names.index()
        self._indexed = Indexed(time.monotonic) if self._names.clustered else None
        whole._tenants.add(self)

    @property
    def health(self) -> Health:
        return self._whole.health

    async def close(self) -> None:
        self._whole._tenants.discard(self)

    def _command_done(self, error: StoreError | None) -> None:
        self._whole._command_done(error)


def _names(settings: Settings) -> RedisNames:
    clustered = is_cluster(settings)
    if clustered and "{" in settings.namespace:
        # It would be the hash tag in place of the job.
        raise SettingsError("the namespace", settings.namespace, "one without '{', which a Cluster reads as a hash tag")
    return RedisNames(settings.namespace, clustered=clustered)


def _milliseconds(seconds: float) -> int:
    return max(1, math.ceil(seconds * 1000))


def _receipt(seq: int, run: int, outcome: bytes, cancel: int, added: bytes, words: bytes, words_seq: int) -> Receipt:
    """Read the reply of a script."""
    total = float(added)
    return Receipt(
        seq=seq,
        run=run or None,
        outcome=_OUTCOMES[outcome],
        cancel_requested=bool(cancel),
        added=int(total) if total.is_integer() else total,
        words=_contributions.decode(words) if words else None,
        words_seq=words_seq,
    )


def _join(state: bytes | None, history: bytes | None) -> bytes | None:
    """Splice a history into a state that a store took in; another program's state does not belong to it."""
    if state is None or not history or not state.startswith(b'{"seq":'):
        return state
    return state[:-1] + b',"history":' + history + b"}"


def _matches(stored: Stored, status: Status | None, parent_id: str | None) -> bool:
    if status is not None and stored.status is not status:
        return False
    return parent_id is None or _parent_decoder.decode(stored.data).parent_id == parent_id
