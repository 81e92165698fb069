from __future__ import annotations

import math
import re
from pathlib import Path
from typing import Any

import pytest

from jupyter_jobprogress.errors import SettingsError
from jupyter_jobprogress.settings import ENVIRONMENT, Settings, mask_url

DOCS = Path(__file__).parent.parent / "docs"


def test_the_argument_comes_before_the_environment() -> None:
    environ = {"JOBPROGRESS_URL": "http://b/", "REDIS_URL": "redis://c"}

    assert Settings.from_environment("redis://a", environ).url == "redis://a"
    assert Settings.from_environment(None, environ).url == "http://b/"
    assert Settings.from_environment(None, {"REDIS_URL": "redis://c"}).url == "redis://c"
    assert Settings.from_environment(None, {"JOBPROGRESS_URL": "", "REDIS_URL": ""}).url is None


@pytest.mark.parametrize("url", ["localhost:6379", "ftp://x", "memory://", "//x", "redis:/x"])
def test_an_unknown_url_says_what_was_expected_and_where_it_was_set(url: str) -> None:
    with pytest.raises(SettingsError, match=r"Expected JOBPROGRESS_URL to be redis://"):
        Settings.from_environment(None, {"JOBPROGRESS_URL": url})


@pytest.mark.parametrize("url", ["http://[::1/", "http://user:secret@host:65536/"])
def test_a_url_that_cannot_be_read_is_refused_without_its_secrets(url: str) -> None:
    with pytest.raises(SettingsError, match="cannot be read") as caught:
        Settings.from_environment(None, {"REDIS_URL": url})

    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    ("url", "masked"),
    [
        ("redis://user:secret@host:6379/0?password=secret", "redis://host:6379/0"),
        ("https://token:secret@[::1]:8888/a/#secret", "https://[::1]:8888/a/"),
        ("unix://:secret@/run/redis.sock", "unix:///run/redis.sock"),
        ("redis://:secret@host:port", "(a URL that cannot be read)"),
        ("secret", "(a URL without a scheme)"),
    ],
)
def test_no_secret_is_left_in_a_masked_url(url: str, masked: str) -> None:
    assert mask_url(url) == masked


def test_no_secret_is_in_a_repr_or_an_error() -> None:
    settings = Settings(url="redis://user:secret@host/0", token="jp1.secret")

    assert "secret" not in repr(settings)
    with pytest.raises(SettingsError) as caught:
        Settings(url="rediss+tls://user:secret@host/0")
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    "fields",
    [
        {"ttl_s": 0},
        {"ttl_s": math.nan},
        {"terminal_ttl_s": -1},
        {"terminal_ttl_s": 1e13},
        {"deadline_s": math.inf},
        {"probe_idle_s": math.nan},
        {"ping_interval_s": -1},
        {"max_subscriptions": 0},
        {"max_subscriptions_per_user": 0},
        {"max_viewers": 0},
        {"max_viewers_per_user": 0},
        {"viewer_frame_bytes": 100},
        {"commands_per_s": 0},
        {"max_ids_per_command": 0},
        {"requests_per_s": 0},
        {"first_message_s": -1},
        {"drain_s": 0},
    ],
)
def test_values_that_cannot_work_are_refused(fields: dict[str, Any]) -> None:
    (name,) = fields

    with pytest.raises(SettingsError, match=f"Expected {name} to be"):
        Settings(**fields)


def test_the_page_of_settings_names_every_variable_and_no_other() -> None:
    documented = set(re.findall(r"^\| `([A-Z_]+)` \|", (DOCS / "settings.md").read_text(), re.MULTILINE))

    assert documented == set(ENVIRONMENT)


def test_the_page_of_settings_names_every_trait_and_its_default() -> None:
    from jupyter_jobprogress.server.extension import JobProgressExtension
    from jupyter_jobprogress.server.traits import LIMITS, JobProgress

    page = (DOCS / "settings.md").read_text()
    documented = dict(re.findall(r"^\| `c\.JobProgress\.(\w+)` \| `([^`]*)` \|", page, re.MULTILINE))
    ours = set(JobProgress.class_own_traits(config=True)) | set(JobProgressExtension.class_own_traits(config=True))

    assert set(documented) == ours
    for name in ours & {"ttl_s", "terminal_ttl_s", "ping_interval_s", "kernels_report_here", *LIMITS}:
        assert documented[name] == repr(JobProgressExtension.class_traits()[name].default_value)


def test_the_page_of_settings_names_every_option_of_the_standalone_server() -> None:
    from jupyter_jobprogress.server.standalone import JobProgressServer
    from jupyter_jobprogress.server.traits import JobProgress

    page = (DOCS / "settings.md").read_text()
    documented = dict(re.findall(r"^\| `c\.JobProgressServer\.(\w+)` \| `([^`]*)` \|", page, re.MULTILINE))
    traits = JobProgressServer.class_own_traits(config=True)

    assert set(documented) == set(traits) - set(JobProgress.class_own_traits())
    for name, default in documented.items():
        assert default == repr(traits[name].default()) or name == "token"
