"""The table of ``api/submission.py``, row by row: what was bought, how often a create was sent."""

from __future__ import annotations

from typing import Any

import pytest

from airflow_provider_kling.api.flows import READ_ATTEMPTS, Outcome
from airflow_provider_kling.api.lookup import LOOK_AGAIN_AFTER, TAKEN_LOOKS
from airflow_provider_kling.api.submission import CREATE_ATTEMPTS, UNKNOWN_ATTEMPTS
from airflow_provider_kling.exceptions import (
    KlingAccountError,
    KlingAuthenticationError,
    KlingConcurrencyError,
    KlingConnectionError,
    KlingContentPolicyError,
    KlingRateLimitError,
    KlingRejectedError,
    KlingServerError,
    KlingUnknownOutcomeError,
)
from tests.api.scripted import BODY, HTML, attempt, lost
from tests.flow_driver import (
    LOST,
    NEVER_SENT,
    answer,
    exists,
    named,
    not_found,
    refused,
)


def test_a_first_try_sends_one_create_and_no_look_up() -> None:
    run = attempt([named("af-x-0")])
    assert run.methods == ["POST"]
    assert run.sent[0].path == "/v1/videos/text2video"
    assert run.sent[0].body == {**BODY, "external_task_id": "af-x-0"}
    assert run.value.bought
    assert run.value.generation == 0
    assert run.value.task.external_task_id == "af-x-0"
    assert run.slept == []


def test_the_callers_body_is_left_as_it_was() -> None:
    attempt([named("af-x-0")])
    assert "external_task_id" not in BODY


# Never reached the service: nothing bought, sent again


def test_a_create_that_never_left_is_sent_again_after_a_growing_pause() -> None:
    run = attempt([NEVER_SENT, NEVER_SENT, named("af-x-0")])
    assert run.methods == ["POST"] * 3
    assert set(run.names) == {"af-x-0"}
    assert 0.9 <= run.slept[0] <= 1 < 1.8 <= run.slept[1] <= 2
    assert run.value.bought


def test_a_service_that_is_never_reached_is_given_up_after_some_tries() -> None:
    run = attempt([NEVER_SENT] * CREATE_ATTEMPTS)
    assert run.creates == CREATE_ATTEMPTS
    assert isinstance(run.error, KlingConnectionError)
    assert not run.error.hopeless
    assert len(run.slept) == CREATE_ATTEMPTS - 1


# Refused: nothing bought


@pytest.mark.parametrize(
    ("reply", "error"),
    [
        (refused(1002, "bad key", 401), KlingAuthenticationError),
        (refused(1102, "no balance", 429), KlingAccountError),
        (refused(1201, "mode value 'x' is invalid"), KlingRejectedError),
        (refused(1201, "duration value '99' is invalid", 200), KlingRejectedError),
        (refused(1301, "sensitive", 400), KlingContentPolicyError),
        (refused(1303, "parallel task over resource pack limit", 429), KlingConcurrencyError),
        (refused(1303, "said by a gateway", 500), KlingConcurrencyError),
        (answer({"code": "task_failed", "message": "no", "data": None}, 400), KlingRejectedError),
        (answer("<html>Not here</html>", 404), KlingRejectedError),
        (answer("", 401), KlingAuthenticationError),
        (answer("", 307), KlingRejectedError),
    ],
)
def test_a_refusal_is_raised_by_its_code_and_the_create_is_not_repeated(reply: Any, error: type) -> None:
    run = attempt([reply])
    assert run.methods == ["POST"]
    assert type(run.error) is error
    assert "nothing" in str(run.error)


@pytest.mark.parametrize(
    "reply",
    [
        refused(1302, "slow down", 429),
        refused(5001, "maintenance", 503),
        answer("Too many requests", 429),
        refused("task_failed", "当前分组上游负载已饱和", 429),
    ],
)
def test_slow_down_and_maintenance_are_waited_out(reply: Any) -> None:
    run = attempt([reply, reply, named("af-x-0")])
    assert run.methods == ["POST"] * 3
    assert len(run.slept) == 2
    assert run.value.bought
    run = attempt([reply] * CREATE_ATTEMPTS)
    assert isinstance(run.error, (KlingRateLimitError, KlingServerError))


def test_the_pause_is_as_long_as_the_service_asks() -> None:
    run = attempt([refused(1302, "slow down", 429, retry_after="17"), named("af-x-0")])
    assert run.slept == [17.0]


def test_a_service_that_asks_for_more_than_a_minute_is_not_pressed_again() -> None:
    run = attempt([refused(1302, "slow down", 429, retry_after="300")])
    assert (run.methods, run.slept) == (["POST"], [])
    assert isinstance(run.error, KlingRateLimitError)
    assert run.error.retry_after == 300


# Unknown fate: look up before anything is sent again


@lost
def test_a_lost_answer_is_adopted_and_never_bought_again(outcome: Outcome) -> None:
    run = attempt([outcome, named("af-x-0")])
    assert run.methods == ["POST", "GET"]
    assert run.sent[1].path == "/v1/videos/text2video/af-x-0"
    assert run.value.bought, "this call bought it, even if it had to be looked up"


@lost
def test_a_look_up_that_lags_gets_a_second_chance(outcome: Outcome) -> None:
    run = attempt([outcome, not_found(), named("af-x-0")])
    assert run.methods == ["POST", "GET", "GET"]
    assert run.slept == [LOOK_AGAIN_AFTER]


@lost
def test_only_a_create_found_nowhere_is_sent_again_and_with_the_same_id(outcome: Outcome) -> None:
    run = attempt([outcome, not_found(), not_found(), named("af-x-0")])
    assert run.methods == ["POST", "GET", "GET", "POST"]
    assert run.names == ["af-x-0", "af-x-0"]
    assert run.value.bought


@lost
@pytest.mark.parametrize("trouble", [LOST, refused(5001, "maintenance", 503), answer(HTML, 502)])
def test_a_look_up_that_fails_stops_everything(outcome: Outcome, trouble: Any) -> None:
    run = attempt([outcome, *[trouble] * READ_ATTEMPTS])
    assert run.creates == 1
    assert isinstance(run.error, KlingUnknownOutcomeError)
    assert not run.error.hopeless
    assert run.error.external_task_id == "af-x-0"
    assert "Nothing was sent again. A retry looks it up" in str(run.error)


@pytest.mark.parametrize(
    "trouble", [refused(1002, "bad key", 401), refused(1203, "?", 404), answer("", 200), answer(HTML, 200)]
)
def test_on_kling_itself_any_odd_answer_to_a_look_up_stops_everything(trouble: Any) -> None:
    run = attempt([LOST, trouble])
    assert run.creates == 1
    assert isinstance(run.error, KlingUnknownOutcomeError)
    assert not run.error.hopeless


def test_a_second_look_that_fails_stops_everything_too() -> None:
    run = attempt([LOST, not_found(), refused(1002, "bad key", 401)])
    assert run.creates == 1
    assert isinstance(run.error, KlingUnknownOutcomeError)


def test_answers_lost_again_and_again_end_in_a_retryable_error() -> None:
    run = attempt([LOST, not_found(), not_found()] * UNKNOWN_ATTEMPTS)
    assert run.creates == UNKNOWN_ATTEMPTS
    assert isinstance(run.error, KlingUnknownOutcomeError)
    assert "3 times in a row" in str(run.error)


def test_the_number_of_creates_is_bounded_whatever_happens() -> None:
    run = attempt([*[NEVER_SENT] * (CREATE_ATTEMPTS - 1), LOST, not_found(), not_found()])
    assert run.creates == CREATE_ATTEMPTS
    assert isinstance(run.error, KlingUnknownOutcomeError)


@pytest.mark.parametrize(
    "refusal",
    [
        refused(1102, "used up", 429),
        refused(1303, "no slot", 429),
        refused(1201, "words of tomorrow for a duplicate"),
        refused(1002, "bad key", 401),
    ],
)
def test_a_refusal_after_a_lost_answer_does_not_mean_that_nothing_was_bought(refusal: Any) -> None:
    """The lost create may hold the slot, or have used the last units: only a later look-up tells."""
    run = attempt([LOST, not_found(), not_found(), refusal])
    assert run.creates == 2
    assert isinstance(run.error, KlingUnknownOutcomeError)
    assert not run.error.hopeless, "a retry finds the video"


def test_a_network_that_goes_away_after_a_lost_answer_leaves_it_unknown() -> None:
    run = attempt([LOST, not_found(), not_found(), *[NEVER_SENT] * (CREATE_ATTEMPTS - 1)])
    assert isinstance(run.error, KlingUnknownOutcomeError)


# "already exists": bought, by us


def test_a_duplicate_on_a_first_try_is_adopted() -> None:
    run = attempt([exists("af-x-0"), named("af-x-0", "processing")])
    assert run.methods == ["POST", "GET"]
    assert not run.value.bought


def test_a_duplicate_after_a_lost_answer_is_what_this_call_bought() -> None:
    run = attempt([LOST, not_found(), not_found(), exists("af-x-0"), named("af-x-0")])
    assert run.value.bought
    assert run.creates == 2


def test_a_duplicate_that_no_look_up_sees_yet_is_waited_for() -> None:
    run = attempt([exists(), *[not_found()] * (TAKEN_LOOKS - 1), named("af-x-0")])
    assert run.creates == 1
    assert not run.value.bought
    assert 25 < sum(run.slept) <= 31


def test_a_duplicate_that_is_never_seen_is_said_to_be_unknown() -> None:
    run = attempt([exists(), *[not_found()] * TAKEN_LOOKS])
    assert run.creates == 1
    assert isinstance(run.error, KlingUnknownOutcomeError)
    assert "already exists" in str(run.error)
    assert len(run.slept) == TAKEN_LOOKS - 1, "no pause before giving up"


@pytest.mark.parametrize("keeps_ids", [True, False])
def test_a_duplicate_that_cannot_be_looked_up_is_said_to_be_unknown(keeps_ids: bool) -> None:
    run = attempt([exists(), answer(HTML, 404)], keeps_ids=keeps_ids)
    assert run.creates == 1
    assert isinstance(run.error, KlingUnknownOutcomeError)


@pytest.mark.parametrize("reply", [exists("x"), refused("task_failed", "External_task_id x already exists")])
def test_a_duplicate_is_told_also_through_a_relay_that_loses_codes(reply: Any) -> None:
    assert attempt([reply, named("af-x-0")], keeps_ids=False).value.bought is False
