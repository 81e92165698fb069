"""How a bar looks where nothing runs: static HTML and one line of text. ``js/src/snapshot.ts`` draws the same."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final
from xml.etree import ElementTree as ET

WORDS: Final = {
    "queued": "Queued",
    "processing": "Running",
    "completed": "Completed",
    "failed": "Failed",
    "cancelled": "Cancelled",
}
_COLOURS: Final = {"completed": "#2e7d32", "failed": "#c62828", "cancelled": "#616161"}
WAITING: Final = "Waiting for the job"

JsonState = Mapping[str, object]


def _text(state: JsonState, name: str) -> str:
    value = state.get(name)
    return value if isinstance(value, str) else ""


def _fraction(state: JsonState) -> float | None:
    progress = state.get("progress")
    return float(progress) if isinstance(progress, int | float) else None


def _count(state: JsonState) -> str:
    n, total = state.get("n"), state.get("total")
    if not isinstance(n, int | float):
        return ""
    of = f"/{total:g}" if isinstance(total, int | float) else ""
    return f"{n:g}{of} {_text(state, 'unit')}".strip()


def _details(state: JsonState) -> list[str]:
    progress = _fraction(state)
    percent = "" if progress is None else f"{progress:.0%}"
    message = _text(state, "error") or _text(state, "message")
    return [part for part in (percent, _count(state), _text(state, "stage"), message) if part]


def text_line(job_id: str, state: JsonState | None) -> str:
    """Return one line for terminals, logs and readers without HTML."""
    if state is None:
        return f"{job_id}: {WAITING}"
    word = WORDS.get(_text(state, "status"), "Unknown")
    return " · ".join([f"{_text(state, 'title') or job_id}: {word}", *_details(state)])


def _element(parent: ET.Element, tag: str, text: str, style: str) -> None:
    ET.SubElement(parent, tag, {"style": style}).text = text


def html(job_ids: list[str], states: Mapping[str, JsonState]) -> str:
    """Return static HTML without script, class or link; every text is escaped by ElementTree."""
    root = ET.Element("div", {"style": "font-family:system-ui,sans-serif;font-size:13px;max-width:720px"})
    for job_id in job_ids:
        state = states.get(job_id)
        status = _text(state, "status") if state else ""
        card = ET.SubElement(root, "div", {"style": "margin:4px 0"})
        head = ET.SubElement(card, "div", {"style": "display:flex;gap:8px"})
        _element(head, "strong", (state and _text(state, "title")) or job_id, "flex:1")
        colour = _COLOURS.get(status, "#1565c0")
        _element(head, "span", WORDS.get(status, "Unknown") if state else WAITING, f"color:{colour}")
        progress = _fraction(state) if state else None
        if progress is not None:
            bar = {"value": f"{progress:.4f}", "max": "1", "style": f"width:100%;accent-color:{colour}"}
            ET.SubElement(card, "progress", bar).text = f"{progress:.0%}"
        if state:
            _element(card, "div", " · ".join(_details(state)), "color:#666;white-space:pre-wrap")
    # C0 controls are no characters of HTML, and ElementTree would write them as they are.
    text = ET.tostring(root, encoding="unicode", method="html")
    return "".join(char for char in text if char >= " " or char in "\n\t")
