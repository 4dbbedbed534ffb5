"""Who pays for what: the same video for every retry, another one only where somebody asked for it."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_kling.api.catalog import EXTERNAL_TASK_ID_PATTERN
from airflow_provider_kling.exceptions import KlingInputError
from airflow_provider_kling.identity import Identity, clears, fingerprint
from tests.fakes import FakeTaskInstance

URL = "https://api-singapore.klingai.com"
BODY = {"model_name": "kling-v2-6", "prompt": "A fox", "duration": "5"}
TI = FakeTaskInstance()


def name(ti: FakeTaskInstance = TI, print_: str = "f", **more: object) -> str:
    return Identity.of(ti, print_, **more).external_task_id()  # type: ignore[arg-type]


def test_a_retry_stands_for_the_same_video() -> None:
    assert name() == name(replace(TI, try_number=4, max_tries=3))


@pytest.mark.parametrize(
    "other",
    [{"dag_id": "d2"}, {"task_id": "t2"}, {"run_id": "r2"}, {"map_index": 0}],
    ids=lambda other: next(iter(other)),
)
def test_another_dag_task_run_or_map_index_is_another_video(other: dict[str, object]) -> None:
    assert name() != name(replace(TI, **other))


def test_another_request_take_or_epoch_is_another_video() -> None:
    names = {name(), name(print_="g"), name(take="2"), name(epoch=1), name(take="2", epoch=1)}
    assert len(names) == 5


def test_a_take_may_be_a_number_or_its_text() -> None:
    assert name(take=2) == name(take="2")
    assert name(take=None) == name(take="")


def test_a_missing_map_index_is_that_of_an_unmapped_task() -> None:
    assert name(replace(TI, map_index=None)) == name(replace(TI, map_index=-1))


def test_parts_that_run_together_are_kept_apart() -> None:
    assert name(replace(TI, dag_id="ab", task_id="c")) != name(replace(TI, dag_id="a", task_id="bc"))


@given(st.text(), st.text(), st.integers(0, 99_999))
def test_every_id_is_one_that_kling_takes(dag_id: str, run_id: str, generation: int) -> None:
    ti = replace(TI, dag_id=dag_id, run_id=run_id)
    identity = Identity.of(ti, "f")
    assert re.fullmatch(EXTERNAL_TASK_ID_PATTERN, identity.external_task_id(generation))


def test_the_ids_of_an_identity_do_not_move_between_versions() -> None:
    """A change here buys every video in flight again: it needs a line in the changelog."""
    assert name(print_=fingerprint(URL, BODY)) == "af-e807e4043af98a54fc4a4724df46ea65-0"


@pytest.mark.parametrize("generation", [0, 1, 17, 123_456])
def test_the_generation_of_an_id_is_read_back(generation: int) -> None:
    identity = Identity.of(TI, "f")
    assert identity.generation(identity.external_task_id(generation)) == generation


@pytest.mark.parametrize(
    "suffix", ["", "-", "-x", "--1", "-1-1", "-²", "-٣", "-007", "-" + "9" * 5000, "-1\n"]
)
def test_an_id_of_another_identity_is_never_taken_for_ours(suffix: str) -> None:
    identity = Identity.of(TI, "f")
    assert identity.generation(identity.stem + suffix) is None
    assert identity.generation("af-somebody-else-0") is None


def test_the_authors_own_id_is_sent_as_it_is_and_has_no_generations() -> None:
    own = Identity("my-video-7", own=True)
    assert own.external_task_id() == "my-video-7"
    assert own.generation("my-video-7") == 0
    assert own.generation("my-video-7-0") is None
    with pytest.raises(
        KlingInputError, match=r"'my-video-7' belongs to a task that failed.*Nothing was bought"
    ):
        own.external_task_id(1)


def test_the_fingerprint_covers_what_is_bought_and_where() -> None:
    prints = {
        fingerprint(URL, BODY),
        fingerprint("https://relay.example/kling", BODY),
        fingerprint(URL, {**BODY, "prompt": "A hare"}),
        fingerprint(URL, {**BODY, "model_name": "kling-v3"}),
        fingerprint(URL, {**BODY, "a_field_of_tomorrow": True}),
    }
    assert len(prints) == 5


def test_the_fingerprint_leaves_out_what_does_not_change_the_video() -> None:
    more = {"callback_url": "https://me.example/hook", "external_task_id": "mine"}
    assert fingerprint(URL, {**BODY, **more}) == fingerprint(URL, BODY)
    assert fingerprint(URL + "/", dict(reversed(BODY.items()))) == fingerprint(URL, BODY)


@pytest.mark.parametrize(
    ("max_tries", "retries", "expected"),
    [(2, 2, 0), (0, 0, 0), (3, 2, 1), (5, 2, 3), (1, 2, 0), (None, 0, 0)],
)
def test_clears_are_what_moved_max_tries_beyond_the_retries(
    max_tries: int | None, retries: int, expected: int
) -> None:
    assert clears(replace(TI, max_tries=max_tries), retries) == expected  # type: ignore[arg-type]
