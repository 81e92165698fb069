"""``JobProgress``: live bars of jobs, by their ids. All behaviour is in ``js/src/widget.ts``."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

import anywidget
import msgspec
import traitlets

from jupyter_jobprogress.protocol.messages import decode_state
from jupyter_jobprogress.protocol.names import check_job_id
from jupyter_jobprogress.protocol.state import State
from jupyter_jobprogress.widget import code, snapshot

MIME_TYPE: Final = "application/vnd.jobprogress.v1+json"


class JobProgress(anywidget.AnyWidget):
    """Live bars of one or more jobs, wherever they run.

    The page follows the jobs over its own connection to the Jupyter server. The kernel has no part in that: the bar
    lives while it is busy, after it is gone, after a reload and in a second browser.

    Args:
        job_ids: one id or several.
        states: last known states by job id, drawn until newer ones arrive.
        relay: the page has no server to ask; the kernel feeds the bar through ``feed``.

    Raises:
        InvalidJobIdError: an id breaks rule 1 of docs/protocol.md.
    """

    _esm = code.bundle("widget.js")

    job_ids = traitlets.List(traitlets.Unicode(), help="What is watched.").tag(sync=True)
    states = traitlets.Dict(help="Last known states by job id, as JSON objects.").tag(sync=True)
    code = traitlets.Unicode(help="Id of the model that holds the code of all bars.").tag(sync=True)
    relay = traitlets.Bool(False, help="Whether the kernel feeds this bar.").tag(sync=True)

    def __init__(
        self, job_ids: str | Iterable[str], *, states: Mapping[str, State] | None = None, relay: bool = False
    ) -> None:
        ids = [job_ids] if isinstance(job_ids, str) else list(job_ids)
        known = {job_id: _as_json(state) for job_id, state in (states or {}).items()}
        checked = [check_job_id(job_id) for job_id in ids]
        super().__init__(job_ids=checked, states=known, relay=relay, code=code.model_id())

    def feed(self, data: bytes) -> None:
        """Show a state, encoded as in docs/protocol.md. May be called from any thread.

        Raises:
            ProtocolError: it is not a state.
        """
        state = decode_state(data)
        self.states = {**self.states, state.job_id: _as_json(state)}

    def _repr_mimebundle_(self, **kwargs: Any) -> tuple[dict[str, Any], dict[str, Any]]:
        bundle = super()._repr_mimebundle_(**kwargs)
        assert bundle is not None  # only a widget without a view has none
        data, metadata = bundle
        lines = [snapshot.text_line(job_id, self.states.get(job_id)) for job_id in self.job_ids]
        data = {
            **data,
            "text/html": snapshot.html(self.job_ids, self.states),
            "text/plain": "\n".join(lines),
        }
        if not self.relay:
            # The renderer of this type would ask the server, which knows nothing of a job that the kernel keeps.
            data[MIME_TYPE] = {"job_ids": self.job_ids, "states": self.states}
        return data, metadata


def _as_json(state: State) -> dict[str, Any]:
    built = msgspec.to_builtins(state)
    assert isinstance(built, dict)
    return built
