"""Names of jobs, Redis keys, channels and URL paths. Every one of them is made here, with the id checked.

    what                      name (after "{namespace}:" where one is set)      type
    state                     job_status:{job_id}                               string, JSON
    push channel              job_progress:{job_id}                             channel
    order, fence, cancel flag jobprogress:meta:{job_id}                         hash: seq run ended cancel added
                                                                                words words_seq
    work of each worker       jobprogress:parts:{job_id}                        hash: a number for each
    newest history            jobprogress:history:{job_id}                      string, JSON
    index of jobs             jobprogress:index                                 sorted set: job_id by seq
    probe of one subscriber   jobprogress:probe:{random}                        channel

The first two are the names of the original service. In a Redis Cluster the id stands in braces, which makes it the hash
tag: all names of a job are in one slot. Rule 21.
"""

from __future__ import annotations

import hashlib
import re
import secrets
from dataclasses import dataclass
from functools import lru_cache
from typing import Final, NamedTuple

from jupyter_jobprogress.errors import InvalidJobIdError
from jupyter_jobprogress.protocol.limits import JOB_ID_LENGTH

_JOB_ID: Final = re.compile(rf"[A-Za-z0-9][A-Za-z0-9._:@+=-]{{0,{JOB_ID_LENGTH - 1}}}")
_UNNAMED: Final = re.compile(r"job-[0-9a-f]{15}")
_NOT_IN_ID: Final = re.compile(r"[^A-Za-z0-9._:@+=-]+")

URL_PREFIX: Final = "jobprogress"
JOB_PATH: Final = r"(?P<job_id>[^/]+)"


def check_job_id(job_id: object) -> str:
    """Return the id if it keeps rule 1.

    Raises:
        InvalidJobIdError: it does not.
    """
    # fullmatch, since "$" would let a newline at the end through.
    if not isinstance(job_id, str) or _JOB_ID.fullmatch(job_id) is None:
        raise InvalidJobIdError(job_id)
    return job_id


def tenant_namespace(base: str, name: str) -> str:
    """Return the namespace of one tenant of a store whose own namespace is ``base``."""
    return f"{base}:{name}" if base else name


def make_job_id(title: str | None = None) -> str:
    """Make an id that nobody else has: a readable stem and 60 random bits."""
    stem = _NOT_IN_ID.sub("-", title or "").strip("-.:@+=_")[:40].lower() or "job"
    return f"{stem}-{secrets.token_hex(8)[:15]}"


def is_unnamed(job_id: str) -> bool:
    """Whether an id was made without a title, so that it tells people nothing."""
    return _UNNAMED.fullmatch(job_id) is not None


def child_job_id(parent_id: str, name: str) -> str:
    """Return the id of a part of a job: the same one for the same name, within the length of rule 1."""
    stem = _NOT_IN_ID.sub("-", name) or "part"
    whole = f"{parent_id}.{stem}"
    if len(whole) <= JOB_ID_LENGTH and stem == name:
        return whole
    # Parents and names that differ stay different, whatever was cut or replaced.
    kept, cut = parent_id[: JOB_ID_LENGTH - 60], parent_id[JOB_ID_LENGTH - 60 :]
    mark = hashlib.sha256((cut + name).encode("utf-8", "surrogatepass")).hexdigest()[:8]
    return f"{kept}.{stem[:40]}-{mark}"


class JobNames(NamedTuple):
    """Names of one job."""

    state: str
    meta: str
    history: str
    parts: str
    channel: str


@dataclass(frozen=True)
class RedisNames:
    """Names under one namespace. An empty namespace gives the names of the original service."""

    namespace: str = ""
    clustered: bool = False

    def _name(self, rest: str) -> str:
        return f"{self.namespace}:{rest}" if self.namespace else rest

    def _of(self, kind: str, job_id: str) -> str:
        check_job_id(job_id)
        return self._name(f"{kind}:{{{job_id}}}" if self.clustered else f"{kind}:{job_id}")

    def state(self, job_id: str) -> str:
        return self._of("job_status", job_id)

    def channel(self, job_id: str) -> str:
        return self._of("job_progress", job_id)

    def meta(self, job_id: str) -> str:
        return self._of("jobprogress:meta", job_id)

    def history(self, job_id: str) -> str:
        return self._of("jobprogress:history", job_id)

    def parts(self, job_id: str) -> str:
        return self._of("jobprogress:parts", job_id)

    def index(self) -> str:
        return self._name("jobprogress:index")

    def probe(self) -> str:
        return self._name(f"jobprogress:probe:{secrets.token_hex(8)}")

    @lru_cache(maxsize=4096)  # noqa: B019 — frozen, and equal where its names are
    def of_job(self, job_id: str) -> JobNames:
        """Return all names of a job, checked once."""
        return JobNames(
            self.state(job_id), self.meta(job_id), self.history(job_id), self.parts(job_id), self.channel(job_id)
        )

    def job_of_channel(self, channel: str) -> str | None:
        """Return the job that a channel belongs to, or None for another channel."""
        prefix = self._name("job_progress:")
        if not channel.startswith(prefix):
            return None
        job_id = channel[len(prefix) :]
        return job_id[1:-1] if self.clustered else job_id
