from __future__ import annotations

import pytest

from jupyter_jobprogress.errors import InvalidJobIdError
from jupyter_jobprogress.protocol.names import RedisNames, check_job_id, child_job_id, make_job_id

VALID = ["a", "0", "job_12345", "A.b_c:d@e+f=g-h", "x" * 200]
INVALID: list[object] = [
    "", " ", "a b", "a\n", "a\x00", "-a", "_a", ".a", "..", "../a", "a/b", "a%2fb", "a*", "a?", "[a]", "{a}", "ä",
    "a\u202e", "\ud800", "x" * 201, None, 7, b"a", ["a"],
]  # fmt: skip


@pytest.mark.parametrize("job_id", VALID)
def test_valid_ids_are_returned(job_id: str) -> None:
    assert check_job_id(job_id) == job_id


@pytest.mark.parametrize("job_id", INVALID, ids=repr)
def test_invalid_ids_are_refused_with_what_to_do(job_id: object) -> None:
    with pytest.raises(InvalidJobIdError, match=r"Expected a job id .* Replace"):
        check_job_id(job_id)


@pytest.mark.parametrize("job_id", [job_id for job_id in INVALID if isinstance(job_id, str)], ids=repr)
def test_no_key_or_channel_is_made_of_an_invalid_id(job_id: str) -> None:
    names = RedisNames()

    for make in (names.state, names.channel, names.meta, names.history):
        with pytest.raises(InvalidJobIdError):
            make(job_id)


@pytest.mark.parametrize("title", [None, "", "Train the model", "  ../..", "ü" * 50, "x" * 500, "-._"])
def test_made_ids_are_valid_and_distinct(title: str | None) -> None:
    ids = {make_job_id(title) for _ in range(1000)}

    assert len(ids) == 1000
    assert all(check_job_id(job_id) for job_id in ids)


def test_made_ids_start_with_their_title() -> None:
    assert make_job_id("Train the model!").startswith("train-the-model-")


def test_children_have_the_same_id_again_and_never_that_of_another() -> None:
    parents = ["p", *(f"{'sweep' * 36}-seed-{seed}" for seed in range(3))]
    names = ["rank3", "a b", "a\tb", "a-b", "", "x" * 300, "x" * 301, "\ud800"]

    ids = [child_job_id(parent, name) for parent in parents for name in names]

    assert ids == [child_job_id(parent, name) for parent in parents for name in names]
    assert len(set(ids)) == len(ids)
    assert all(check_job_id(job_id) for job_id in ids)
    assert ids[0] == "p.rank3"


def test_without_a_namespace_names_are_those_of_the_original_service() -> None:
    names = RedisNames()

    assert names.state("job-1") == "job_status:job-1"
    assert names.channel("job-1") == "job_progress:job-1"
    assert names.meta("job-1") == "jobprogress:meta:job-1"


def test_a_namespace_comes_first_everywhere() -> None:
    names = RedisNames("lab")

    made = [names.state("a"), names.channel("a"), names.meta("a"), names.history("a"), names.index(), names.probe()]

    assert all(name.startswith("lab:") for name in made)


def test_a_channel_leads_back_to_its_job() -> None:
    for names in (RedisNames(), RedisNames("lab")):
        assert names.job_of_channel(names.channel("a:b")) == "a:b"
        assert names.job_of_channel(names.probe()) is None
