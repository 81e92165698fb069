"""``api/jobs/{job_id}/updates``: reports without a WebSocket, for curl and other languages (rule 35)."""

from __future__ import annotations

from typing import ClassVar, Final

from msgspec import json, structs

from jupyter_jobprogress.errors import BodyTooLargeError, InvalidArgumentError, ProtocolError
from jupyter_jobprogress.protocol.limits import UPDATE_BYTES, UPDATES, UPDATES_BYTES
from jupyter_jobprogress.protocol.messages import Receipt, decode_update, receipt_fields
from jupyter_jobprogress.protocol.payload import timestamp
from jupyter_jobprogress.server.api import Rest
from jupyter_jobprogress.server.auth import Actions

LINES: Final = frozenset({"application/x-ndjson", "application/jsonl", "application/json-lines"})


class UpdatesHandler(Rest):
    """One JSON object, or one a line where the Content-Type says so; lines are published as they arrive."""

    actions: ClassVar[Actions] = {"POST": "report"}
    ticket_opens = frozenset({"POST"})
    body_limit_bytes = UPDATE_BYTES

    def admitted(self) -> None:
        kind = self.request.headers.get("Content-Type", "").partition(";")[0].strip().lower()
        self._in_lines = kind in LINES
        if self._in_lines:
            self.body_limit_bytes = UPDATES_BYTES
        self._starts = self._flag("start")
        self._run: int | None = None
        self._answers: list[bytes] = []
        super().admitted()

    async def take(self) -> None:
        if not self._in_lines:
            return
        *lines, rest = self.body.split(b"\n")
        self.body = rest
        if len(rest) > UPDATE_BYTES:
            raise BodyTooLargeError(len(rest), UPDATE_BYTES)
        for line in lines:
            await self._take_line(bytes(line))

    async def post(self, job_id: str) -> None:
        if not self._in_lines:
            receipt = await self._publish(bytes(self.body))
            self.answer(json.encode(receipt))
            return
        await self._take_line(bytes(self.body))
        self.answer(b"".join(self._answers), content_type="application/x-ndjson")

    async def _take_line(self, line: bytes) -> None:
        if not line.strip():
            return
        if len(self._answers) >= UPDATES:
            raise InvalidArgumentError("the body", f"{UPDATES + 1} lines or more", f"at most {UPDATES} lines")
        try:
            answer: object = await self._publish(line)
        except ProtocolError as exc:
            # The others are good for themselves: every state is whole (rule 3).
            answer = {"type": "error", "code": exc.code, "message": str(exc)}
        self._answers.append(json.encode(answer) + b"\n")

    async def _publish(self, data: bytes) -> dict[str, object]:
        now = timestamp(self.store.now_us() / 1e6)
        state = decode_update(self.path_kwargs["job_id"], data, timestamp=now)
        if self._run is not None:
            state = structs.replace(state, run=self._run)
        receipt: Receipt = await self.store.publish(state, start=self._starts)
        if self._starts:
            self._starts, self._run = False, receipt.run
        return receipt_fields(state.job_id, receipt)

    def _flag(self, name: str) -> bool:
        text = self.get_query_argument(name, "false")
        if text not in ("true", "false"):
            raise InvalidArgumentError(name, text, "true or false")
        return text == "true"
