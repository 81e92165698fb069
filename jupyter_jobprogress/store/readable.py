"""Messages that any program may have written, read without letting one of them do harm (rule 13)."""

from __future__ import annotations

import logging
from typing import Final

from jupyter_jobprogress.errors import ProtocolError
from jupyter_jobprogress.protocol.messages import Stored, read_stored

REMEMBERED: Final = 1000
"""Most jobs of which it is remembered that a bad message was logged."""

_log = logging.getLogger(__name__)


class Readable:
    """Reads messages, and logs once per job that one cannot be read."""

    def __init__(self) -> None:
        self._logged: set[str] = set()

    def read(self, job_id: str, data: bytes) -> Stored | None:
        """Return the message, repaired where it only lacks strictness, or None where that is not enough."""
        try:
            return read_stored(job_id, data)
        except ProtocolError as exc:
            if job_id not in self._logged:
                if len(self._logged) >= REMEMBERED:
                    self._logged.clear()
                self._logged.add(job_id)
                _log.warning("A message of job %s is not shown. %s", job_id, exc)
            return None
