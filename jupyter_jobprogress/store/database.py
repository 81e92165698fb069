"""The SQLite file behind the embedded store: rows written in batches by one thread that owns the connection.

Several servers of one user may share the file: WAL lets them read while one writes, and a row is replaced only by a
newer one.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Final, NamedTuple

from jupyter_jobprogress.protocol.state import Status
from jupyter_jobprogress.store.portions import PORTION_BYTES
from jupyter_jobprogress.store.rules import Fence

VERSION: Final = 2

_SCHEMA: Final = f"""
CREATE TABLE IF NOT EXISTS jobs (
    job_id TEXT PRIMARY KEY,
    seq INTEGER NOT NULL,
    run INTEGER,
    ended INTEGER NOT NULL,
    cancel INTEGER NOT NULL,
    status TEXT NOT NULL,
    parent_id TEXT,
    state BLOB NOT NULL,
    history BLOB NOT NULL,
    shared BLOB NOT NULL DEFAULT x'',
    expires_us INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS jobs_by_seq ON jobs (seq);
CREATE INDEX IF NOT EXISTS jobs_by_expiry ON jobs (expires_us);
PRAGMA user_version = {VERSION};
"""
_FROM_VERSION_1: Final = "ALTER TABLE jobs ADD COLUMN shared BLOB NOT NULL DEFAULT x''"

_COLUMNS: Final = "job_id, seq, run, ended, cancel, status, parent_id, state, history, shared, expires_us"
# >= and not >: the cancel flag changes without a new seq. A run that another server has replaced does not come back,
# and a flag that another has raised stays.
_UPSERT: Final = f"""
INSERT INTO jobs ({_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
ON CONFLICT (job_id) DO UPDATE SET seq = excluded.seq, run = excluded.run, ended = excluded.ended,
    cancel = max(excluded.cancel, jobs.cancel AND jobs.run IS excluded.run), status = excluded.status,
    parent_id = excluded.parent_id, state = excluded.state,
    history = excluded.history, shared = excluded.shared, expires_us = excluded.expires_us
WHERE excluded.seq >= jobs.seq AND coalesce(excluded.run, 0) >= coalesce(jobs.run, 0)
"""
# Of a state that this server knew when another had a newer one.
_CANCEL: Final = "UPDATE jobs SET cancel = 1 WHERE job_id = ? AND run IS ?"


class Row(NamedTuple):
    """One job. ``state`` is the encoded state as pushed, without history, which is kept beside it.

    ``shared`` is a ``rules.Shared`` as JSON, empty where no worker has contributed.
    """

    job_id: str
    fence: Fence
    status: Status
    parent_id: str | None
    state: bytes
    history: bytes
    shared: bytes
    expires_us: int

    @property
    def age(self) -> tuple[int, int]:
        """What orders the rows of a job that several servers take in: a new run is newer than all of an older one."""
        return self.fence.run or 0, self.fence.seq

    def values(self) -> tuple[object, ...]:
        fence = self.fence
        return (self.job_id, fence.seq, fence.run, fence.ended, fence.cancel, str(self.status), *self[3:])


def _row(columns: Sequence[object]) -> Row:
    job_id, seq, run, ended, cancel, status, *rest = columns
    fence = Fence(seq, run, bool(ended), bool(cancel))  # type: ignore[arg-type]
    return Row(job_id, fence, Status(status), *rest)  # type: ignore[arg-type]


class Database:
    """The connection and its thread. Methods are blocking and run in ``executor``, one at a time."""

    def __init__(self, path: str) -> None:
        self._path = path
        self.executor = ThreadPoolExecutor(max_workers=1, thread_name_prefix="jobprogress-sqlite")
        self._connection: sqlite3.Connection | None = None
        self._version = 0

    def _open(self) -> sqlite3.Connection:
        if self._connection is None:
            if self._path != ":memory:":
                Path(self._path).parent.mkdir(parents=True, exist_ok=True, mode=0o700)
                # Created by us, so that messages and results of jobs are readable by their owner alone.
                os.close(os.open(self._path, os.O_CREAT | os.O_RDWR, 0o600))
            connection = sqlite3.connect(self._path, timeout=2.0, isolation_level=None, check_same_thread=False)
            connection.execute("PRAGMA journal_mode = WAL")
            # A terminal state that was acknowledged must be on the disk, not in the page cache.
            connection.execute("PRAGMA synchronous = FULL")
            (version,) = connection.execute("PRAGMA user_version").fetchone()
            if version == 1:
                connection.execute(_FROM_VERSION_1)
            if version < VERSION:  # a later one is left as it is, for the server of that version
                connection.executescript(_SCHEMA)
            self._connection = connection
        return self._connection

    def write(self, rows: Sequence[Row], deleted: Iterable[str], *, now_us: int) -> None:
        """Drop what has expired and write deletions and rows, in one transaction."""
        connection = self._open()
        connection.execute("BEGIN IMMEDIATE")
        try:
            # First what is gone, whose run is not to be compared with.
            connection.execute("DELETE FROM jobs WHERE expires_us <= ?", (now_us,))
            connection.executemany("DELETE FROM jobs WHERE job_id = ?", [(job_id,) for job_id in deleted])
            connection.executemany(_UPSERT, [row.values() for row in rows])
            connection.executemany(_CANCEL, [(row.job_id, row.fence.run) for row in rows if row.fence.cancel])
        except BaseException:
            connection.execute("ROLLBACK")
            raise
        connection.execute("COMMIT")

    def read(self, job_ids: Sequence[str], *, now_us: int) -> list[Row]:
        """Return the rows of those jobs that are known and have not expired."""
        marks = ",".join("?" * len(job_ids))
        query = f"SELECT {_COLUMNS} FROM jobs WHERE job_id IN ({marks}) AND expires_us > ?"
        return [_row(columns) for columns in self._open().execute(query, (*job_ids, now_us))]

    def list(
        self, *, status: Status | None, parent_id: str | None, limit: int, after: int | None, now_us: int
    ) -> tuple[list[Row], bool]:
        """Return up to ``limit`` rows older than ``after``, newest first, of about ``PORTION_BYTES`` at most; and
        whether there are more."""
        query = (
            f"SELECT {_COLUMNS} FROM jobs WHERE expires_us > :now AND (:after IS NULL OR seq < :after) "
            "AND (:status IS NULL OR status = :status) AND (:parent IS NULL OR parent_id = :parent) "
            "ORDER BY seq DESC LIMIT :limit"
        )
        given = {"now": now_us, "after": after, "status": status and str(status), "parent": parent_id}
        rows: list[Row] = []
        size = 0
        with closing(self._open().execute(query, {**given, "limit": limit + 1})) as found:
            for columns in found:
                if len(rows) == limit or size >= PORTION_BYTES:
                    return rows, True
                rows.append(_row(columns))
                size += len(rows[-1].state) + len(rows[-1].history)
        return rows, False

    def changed_elsewhere(self) -> bool:
        """Whether another connection has written to the file since the last call."""
        (version,) = self._open().execute("PRAGMA data_version").fetchone()
        changed, self._version = version != self._version, version
        return bool(changed)

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None
