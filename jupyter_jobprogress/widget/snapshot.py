"""How a bar looks where nothing runs: static HTML and one line of text. ``js/src/snapshot.ts`` draws the same."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final
from xml.etree import ElementTree as ET

from jupyter_jobprogress.protocol.phrases import ECHOES, WORDS, count, percent, seconds_between, took

_COLOURS: Final = {"completed": "#2e7d32", "failed": "#c62828", "cancelled": "#616161"}
WAITING: Final = "Waiting for the job"

JsonState = Mapping[str, object]


def _text(state: JsonState, name: str) -> str:
    value = state.get(name)
    return value if isinstance(value, str) else ""


def _fraction(state: JsonState) -> float | None:
    progress = state.get("progress")
    return float(progress) if isinstance(progress, int | float) else None


def _number(state: JsonState, name: str) -> float | None:
    value = state.get(name)
    return value if isinstance(value, int | float) and not isinstance(value, bool) else None


def _facts(state: JsonState) -> list[str]:
    """Return what the line of a bar says beside the status, as far as it still counts when nothing runs."""
    status, progress, n, total = _text(state, "status"), _fraction(state), _number(state, "n"), _number(state, "total")
    ended = status in _COLOURS
    took_s = seconds_between(_text(state, "started_at"), _text(state, "timestamp")) if ended else None
    facts = [
        "" if progress is None or status == "completed" else percent(progress),
        "" if n is None else count(n, None if ended and n == total else total, _text(state, "unit")),
        "" if took_s is None or took_s < 0 else f"{'in' if status == 'completed' else 'after'} {took(took_s)}",
        _text(state, "stage"),
    ]
    return [fact for fact in facts if fact and fact not in ECHOES]


def _message(state: JsonState) -> str:
    """Return what the job says, unless its error or its status says it already."""
    message = _text(state, "message")
    error = _text(state, "error")
    return "" if message in ECHOES or (error and error in message) else message


def text_line(job_id: str, state: JsonState | None) -> str:
    """Return one line for terminals, logs and readers without HTML."""
    if state is None:
        return f"{job_id}: {WAITING}"
    said = [*_facts(state), _message(state), _text(state, "error").rstrip().rpartition("\n")[2]]
    line = " · ".join([f"{_text(state, 'title') or job_id}: {_word(state)}", *(part for part in said if part)])
    return " ".join(line.splitlines())


def _word(state: JsonState | None) -> str:
    return WAITING if state is None else WORDS.get(_text(state, "status"), "Unknown")


def _element(parent: ET.Element, tag: str, text: str, style: str) -> None:
    if text:
        ET.SubElement(parent, tag, {"style": style}).text = text


def _joined(parent: ET.Element, facts: list[str]) -> None:
    """Add facts on one line. Each by itself: a text that turns the direction of writing must not turn the others."""
    line = ET.SubElement(parent, "div", {"style": "opacity:.75"})
    for fact in facts:
        _element(line, "span", fact, "unicode-bidi:isolate")
    for span in line[:-1]:
        span.tail = " · "


def html(job_ids: list[str], states: Mapping[str, JsonState]) -> str:
    """Return static HTML without script, class or link; every text is escaped by ElementTree."""
    root = ET.Element("div", {"style": "font-family:system-ui,sans-serif;font-size:13px;max-width:720px"})
    for job_id in job_ids:
        _card(root, job_id, states.get(job_id))
    # C0 controls are no characters of HTML, and ElementTree would write them as they are.
    text = ET.tostring(root, encoding="unicode", method="html")
    return "".join(char for char in text if char >= " " or char in "\n\t")


def _card(root: ET.Element, job_id: str, state: JsonState | None) -> None:
    card = ET.SubElement(root, "div", {"style": "margin:6px 0"})
    head = ET.SubElement(card, "div", {"style": "display:flex;gap:8px"})
    colour = _COLOURS.get(_text(state or {}, "status"), "#1565c0")
    _element(head, "strong", (state and _text(state, "title")) or job_id, "flex:1")
    _element(head, "span", _word(state), f"color:{colour};font-weight:600")
    if state is None:
        return
    progress = _fraction(state)
    if progress is not None:
        bar = {"value": f"{progress:.4f}", "max": "1", "style": f"width:100%;accent-color:{colour}"}
        ET.SubElement(card, "progress", bar).text = percent(progress)
    # No colour for what is read: the page may be light or dark.
    _joined(card, _facts(state))
    _element(card, "div", _message(state), "white-space:pre-wrap")
    _element(card, "pre", _text(state, "error"), f"margin:4px 0;white-space:pre-wrap;color:{colour}")
