from __future__ import annotations

import json
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import bleach
import pytest

from jupyter_jobprogress.widget.snapshot import html, text_line

CASES = json.loads((Path(__file__).parents[1] / "wire" / "snapshots.json").read_text())

GITHUB_TAGS = {"b", "br", "code", "div", "em", "i", "p", "pre", "span", "strong", "table", "td", "th", "tr"}
"""Of the tags that GitHub's filter lets pass (html-pipeline, ``SanitizationFilter``), those that may matter here."""

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

    assert line == "Train: Running · s · 42% · 42 / 100 batch · m"
    assert text_line("a", None) == "a: Waiting for the job"
    assert text_line("a", state(status="failed", error="no\nmemory", message="")) == "a: Failed · s · at 42% · memory"


@pytest.mark.parametrize("case", CASES["cases"], ids=lambda case: case["name"])
def test_what_is_left_of_an_end_is_what_a_page_leaves(case: dict[str, Any]) -> None:
    assert html(["train-7"], {"train-7": case["state"]}) == case["html"]
    assert text_line("train-7", case["state"]) == case["text"]


def test_html_shows_status_progress_and_message() -> None:
    reader = Reader(html(["a"], {"a": state(title="Train")}))

    assert "Train" in reader.text
    assert "Running" in reader.text
    assert "42%" in reader.text
    assert "width:42.0%" in html(["a"], {"a": state()})


def test_where_styles_are_taken_away_every_text_stays_apart_and_is_said_once() -> None:
    going_on = state(title="Train", n=42, total=100, unit="batches")
    failed = state(status="failed", message="Error: no memory", error="Traceback\nno memory")

    whole = html(["a", "b"], {"a": going_on, "b": failed})
    left = bleach.clean(whole, tags=GITHUB_TAGS, attributes=["dir"], strip=True)

    text = re.sub("<[^>]*>", "", re.sub("<(?:div|pre)", r"\n\g<0>", left))
    assert [line for line in text.splitlines() if line] == [
        "Train · Running",
        "s · 42% · 42 / 100 batches",
        "m",
        "b · Failed",
        "s · at 42%",
        "Traceback",
        "no memory",
    ]


def test_an_unknown_progress_has_no_bar() -> None:
    assert "width:" not in html(["a"], {"a": state(progress=None)}).replace("max-width:", "")


@pytest.mark.parametrize("text", HOSTILE)
@pytest.mark.parametrize("field", ["title", "stage", "message", "error", "unit", "status"])
def test_hostile_text_stays_text(field: str, text: str) -> None:
    reader = Reader(html(["a"], {"a": state(n=1, **{field: text})}))

    assert reader.tags <= {"div", "strong", "span", "pre"}
    assert reader.attributes <= {"style", "dir"}
    if field != "status":
        assert "".join(c for c in text if c >= " ") in reader.text


@pytest.mark.parametrize("value", [[], {}, "x", None, True])
def test_fields_of_a_wrong_type_are_passed_over(value: Any) -> None:
    broken = state(progress=value, n=value, total=value, title=value, message=value)

    assert Reader(html(["a"], {"a": broken})).tags
    assert text_line("a", broken)
