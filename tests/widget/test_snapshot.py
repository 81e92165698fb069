from __future__ import annotations

from html.parser import HTMLParser
from typing import Any

import pytest

from jupyter_jobprogress.widget.snapshot import html, text_line

HOSTILE = [
    "<script>window.PWNED=1</script>",
    '"><img src=x onerror=PWNED=1>',
    "</div></script><svg onload=PWNED=1>",
    "&lt;b&gt; &amp;amp;",
    "'; alert(1) //",
    "\u202egnp.exe",
    "\x00\x07\x1b[31m",
    "]]><!-- -->",
]


class Reader(HTMLParser):
    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.attributes: set[str] = set()
        self.text = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.attributes |= {name for name, _ in attrs}

    def handle_data(self, data: str) -> None:
        self.text += data


def state(**fields: Any) -> dict[str, Any]:
    return {"job_id": "a", "status": "processing", "stage": "s", "progress": 0.42, "message": "m"} | fields


def test_a_line_says_what_a_bar_shows() -> None:
    line = text_line("a", state(title="Train", n=42, total=100, unit="batch"))

    assert line == "Train: Running · 42% · 42/100 batch · s · m"
    assert text_line("a", None) == "a: Waiting for the job"
    assert text_line("a", state(status="failed", error="no\nmemory", message="")) == "a: Failed · 42% · s · memory"


def test_the_end_of_a_job_says_how_long_it_took_and_no_commonplace() -> None:
    times = {"started_at": "2026-01-01T00:00:00Z", "timestamp": "2026-01-01T00:01:05.5Z"}
    ended = state(status="completed", progress=1, n=8, total=8, unit="files", stage="complete", message="Job completed")

    assert text_line("a", ended | times) == "a: Completed · 8 files · in 1:05"
    assert text_line("a", ended | {"timestamp": "soon"}) == "a: Completed · 8 files"
    failed = state(status="failed", error="no memory", message="Error: no memory") | times
    assert text_line("a", failed) == "a: Failed · 42% · after 1:05 · s · no memory"


def test_html_shows_status_progress_and_message() -> None:
    reader = Reader(html(["a"], {"a": state(title="Train")}))

    assert "Train" in reader.text
    assert "Running" in reader.text
    assert "42%" in reader.text
    assert "progress" in reader.tags


def test_an_unknown_progress_has_no_bar() -> None:
    assert "progress" not in Reader(html(["a"], {"a": state(progress=None)})).tags


@pytest.mark.parametrize("text", HOSTILE)
@pytest.mark.parametrize("field", ["title", "stage", "message", "error", "unit", "status"])
def test_hostile_text_stays_text(field: str, text: str) -> None:
    reader = Reader(html(["a"], {"a": state(n=1, **{field: text})}))

    assert reader.tags <= {"div", "strong", "span", "progress", "pre"}
    assert reader.attributes <= {"style", "value", "max"}
    if field != "status":
        assert "".join(c for c in text if c >= " ") in reader.text


@pytest.mark.parametrize("value", [[], {}, "x", None, True])
def test_fields_of_a_wrong_type_are_passed_over(value: Any) -> None:
    broken = state(progress=value, n=value, total=value, title=value, message=value)

    assert Reader(html(["a"], {"a": broken})).tags
    assert text_line("a", broken)
