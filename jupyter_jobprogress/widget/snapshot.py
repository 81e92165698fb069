"""How a bar looks where nothing runs: static HTML and one line of text. ``js/src/snapshot.ts`` draws the same."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final
from xml.etree import ElementTree as ET

from jupyter_jobprogress.protocol.phrases import ECHOES, WORDS, count, percent, seconds_between, took

_COLOURS: Final = {"processing": "#1976d2", "completed": "#278533", "failed": "#d93838"}
_OFF: Final = "#737373"
"""A page may be light or dark: on white each has a contrast of 4.5 at least, on black of 4."""

_ENDS: Final = ("completed", "failed", "cancelled")
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
    ended = status in _ENDS
    took_s = seconds_between(_text(state, "started_at"), _text(state, "timestamp")) if ended else None
    at = "at " if ended else ""
    facts = [
        _said(state, "stage"),
        "" if took_s is None or took_s < 0 else f"{'in' if status == 'completed' else 'after'} {took(took_s)}",
        "" if progress is None or status == "completed" else f"{at}{percent(progress)}",
        "" if n is None else count(n, total, _text(state, "unit")),
    ]
    return [fact for fact in facts if fact]


def _said(state: JsonState, name: str) -> str:
    """Return what the job says, unless it only says its status again."""
    text = _text(state, name)
    return "" if _text(state, "status") in _ENDS and text in ECHOES else text


def _message(state: JsonState) -> str:
    """Return the message, where it says more than the error does."""
    message, error = _said(state, "message"), _text(state, "error")
    last = _last_line(error)
    return "" if message in error or (last and last in message) else message


def _last_line(error: str) -> str:
    """Return the line of a traceback that says what went wrong."""
    return error.rstrip().rpartition("\n")[2].strip()


def text_line(job_id: str, state: JsonState | None) -> str:
    """Return one line for terminals, logs and readers without HTML."""
    if state is None:
        return f"{job_id}: {WAITING}"
    said = [*_facts(state), _message(state), _last_line(_text(state, "error"))]
    line = " · ".join([f"{_text(state, 'title') or job_id}: {_word(state)}", *(part for part in said if part)])
    return " ".join(line.splitlines())


def _word(state: JsonState | None) -> str:
    return WAITING if state is None else WORDS.get(_text(state, "status"), "Unknown")


def _element(parent: ET.Element, tag: str, text: str, style: str = "") -> None:
    """Add a text, if there is any. By ``dir`` one that turns the direction of writing does not turn the others."""
    if text:
        ET.SubElement(parent, tag, {"dir": "auto"} | ({"style": style} if style else {})).text = text


def html(job_ids: list[str], states: Mapping[str, JsonState]) -> str:
    """Return static HTML without script, class or link; every text is escaped by ElementTree.

    GitHub takes all styles away, so that the texts have to be read without them. No ``<progress>``: where nbconvert has
    to sanitize, it shows that as a text.
    """
    root = ET.Element("div", {"style": "font-family:system-ui,sans-serif;font-size:13px;max-width:720px"})
    for job_id in job_ids:
        _card(root, job_id, states.get(job_id))
    # C0 controls are no characters of HTML, and ElementTree would write them as they are.
    text = ET.tostring(root, encoding="unicode", method="html")
    return "".join(char for char in text if char >= " " or char in "\n\t")


def _card(root: ET.Element, job_id: str, state: JsonState | None) -> None:
    card = ET.SubElement(root, "div", {"style": "margin:6px 0"})
    head = ET.SubElement(card, "div")
    colour = _COLOURS.get(_text(state or {}, "status"), _OFF)
    _element(head, "strong", (state and _text(state, "title")) or job_id)
    _element(head, "span", _word(state), f"color:{colour};font-weight:600")
    head[0].tail = " · "
    if state is None:
        return
    progress = _fraction(state)
    if progress is not None:
        bar = ET.SubElement(card, "div", {"style": "margin:4px 0;background-color:#8883"})
        ET.SubElement(bar, "div", {"style": f"width:{progress:.1%};height:6px;background-color:{colour}"})
    if facts := _facts(state):
        line = ET.SubElement(card, "div", {"style": "opacity:.75"})
        for fact in facts:
            _element(line, "span", fact)
        for span in line[:-1]:
            span.tail = " · "
    _element(card, "div", _message(state), "white-space:pre-wrap")
    as_it_is = f"margin:4px 0;font-family:monospace;white-space:pre-wrap;color:{colour}"
    _element(card, "pre", _text(state, "error"), as_it_is)
