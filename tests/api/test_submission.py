"""The table of ``api/submission.py``, row by row: what was bought, how often a create was sent."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import Any

import pytest

from airflow_provider_kling.api.catalog import TaskKind
from airflow_provider_kling.api.flows import READ_ATTEMPTS, Outcome
from airflow_provider_kling.api.lookup import LOOK_AGAIN_AFTER, TAKEN_LOOKS, Books
from airflow_provider_kling.api.submission import CREATE_ATTEMPTS, UNKNOWN_ATTEMPTS, submit
from airflow_provider_kling.exceptions import (
    KlingAccountError,
    KlingAuthenticationError,
    KlingConcurrencyError,
    KlingConnectionError,
    KlingContentPolicyError,
    KlingInputError,
    KlingRateLimitError,
    KlingRejectedError,
    KlingServerError,
    KlingUnknownOutcomeError,
)
from airflow_provider_kling.identity import Identity
from tests.flow_driver import (
    LOST,
    NEVER_SENT,
    Run,
    answer,
    drive,
    exists,
    named,
    not_found,
    ok,
    refused,
    task_json,
)

BODY = {"model_name": "kling-v2-6", "prompt": "A fox"}
HTML = "<html><body>502 Bad Gateway</body></html>"


def name_of(generation: int) -> str:
    return f"af-x-{generation}"


def attempt(outcomes: Sequence[Outcome], *, external_id: Callable[[int], str] = name_of, **more: Any) -> Run:
    arguments: dict[str, Any] = {"look_up_first": False, "now": 0.0, **more}
    books = Books(TaskKind.TEXT2VIDEO, arguments.pop("official", True))
    run = drive(submit(BODY, books, external_id, **arguments), outcomes)
    assert run.left == 0, "the flow stopped before the script ended"
    return run


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


# Unknown fate: look up before anything is sent again

UNKNOWN = {
    "read timeout or dropped connection": LOST,
    "no outcome at all": None,
    "5000": refused(5000, "internal", 500),
    "5002": refused(5002, "timeout", 504),
    "5000 under a 4xx": refused(5000, "internal", 400),
    "a 5xx code of tomorrow": refused(5003, "?", 503),
    "a 1xxx code of tomorrow": refused(1999, "?", 429),
    "a code below 1000": refused(200, "success", 200),
    "500": answer(HTML, 500),
    "502": answer(HTML, 502),
    "503": answer(HTML, 503),
    "504": answer(HTML, 504),
    "408": answer(HTML, 408),
    "499": answer("", 499),
    "a page": answer(HTML),
    "empty body": answer(""),
    "truncated JSON": answer('{"code": 0, "data": {"task_id": "9000'),
    "a success without an id": ok({"task_status": "submitted"}),
    "a success that is a list": answer([1, 2]),
    "data that is a list": ok([task_json()]),
    "a relay's word at 200": answer({"code": "task_failed", "message": "?"}),
    "an error object at 500": answer({"error": {"message": "?", "code": 1301}}, 500),
}
lost = pytest.mark.parametrize("outcome", UNKNOWN.values(), ids=UNKNOWN.keys())


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


@pytest.mark.parametrize("official", [True, False])
def test_a_duplicate_that_cannot_be_looked_up_is_said_to_be_unknown(official: bool) -> None:
    run = attempt([exists(), answer(HTML, 404)], official=official)
    assert run.creates == 1
    assert isinstance(run.error, KlingUnknownOutcomeError)


@pytest.mark.parametrize("reply", [exists("x"), refused("task_failed", "External_task_id x already exists")])
def test_a_duplicate_is_told_also_through_a_relay_that_loses_codes(reply: Any) -> None:
    assert attempt([reply, named("af-x-0")], official=False).value.bought is False


# A later try looks first


def test_a_later_try_adopts_what_it_finds() -> None:
    run = attempt([named("af-x-0", "succeed")], look_up_first=True)
    assert run.methods == ["GET"]
    assert not run.value.bought


def test_a_later_try_that_finds_nothing_buys() -> None:
    run = attempt([not_found(), named("af-x-0")], look_up_first=True)
    assert run.methods == ["GET", "POST"]
    assert run.value.bought


@pytest.mark.parametrize("trouble", [LOST, NEVER_SENT, refused(5000, "?", 500), refused(1302, "?", 429)])
def test_a_later_try_that_cannot_look_buys_nothing(trouble: Any) -> None:
    run = attempt([trouble] * READ_ATTEMPTS, look_up_first=True)
    assert run.creates == 0
    assert isinstance(run.error, KlingUnknownOutcomeError)
    assert not run.error.hopeless


def test_a_later_try_whose_key_was_revoked_says_so_and_buys_nothing() -> None:
    run = attempt([refused(1002, "bad key", 401)], look_up_first=True)
    assert run.creates == 0
    assert isinstance(run.error, KlingAuthenticationError)


# Generations: past failed tasks, and past nothing else


def test_a_failed_task_is_stepped_past_because_it_was_not_charged() -> None:
    outcomes = [named("af-x-0", "failed"), named("af-x-1", "failed"), not_found(), named("af-x-2")]
    run = attempt(outcomes, look_up_first=True)
    assert run.methods == ["GET", "GET", "GET", "POST"]
    assert run.names == ["af-x-2"]
    assert run.value.generation == 2


@pytest.mark.parametrize("status", ["submitted", "processing", "succeed", "a word of tomorrow"])
def test_a_task_that_has_not_failed_is_never_stepped_past(status: str) -> None:
    run = attempt([named("af-x-0", "failed"), named("af-x-1", status)], look_up_first=True)
    assert run.creates == 0
    assert run.value.generation == 1


def test_a_first_try_that_meets_a_failed_task_looks_before_each_further_step() -> None:
    outcomes = [exists(), named("af-x-0", "failed"), named("af-x-1", "failed"), not_found(), named("af-x-2")]
    run = attempt(outcomes)
    assert run.methods == ["POST", "GET", "GET", "GET", "POST"]
    assert run.names == ["af-x-0", "af-x-2"]
    assert run.value.bought


def test_a_create_that_fails_at_once_is_returned_not_bought_again_in_the_same_try() -> None:
    run = attempt([LOST, named("af-x-0", "failed")])
    assert run.creates == 1
    assert run.value.task.status.value == "failed"


def test_a_known_generation_is_where_the_walk_starts() -> None:
    run = attempt([named("af-x-3", "processing")], look_up_first=True, generation=3)
    assert run.sent[0].path.endswith("/af-x-3")


def test_the_authors_own_id_on_a_failed_task_is_a_clear_error() -> None:
    own = Identity("mine", own=True)
    run = attempt([named("mine", "failed")], external_id=own.external_task_id, look_up_first=True)
    assert isinstance(run.error, KlingInputError)
    assert "Choose another id" in str(run.error)


def test_an_id_that_never_changes_does_not_loop_for_ever() -> None:
    run = attempt([named("same", "failed")], external_id=lambda generation: "same", look_up_first=True)
    assert isinstance(run.error, KlingInputError)
    assert run.creates == 0


# Relays


@pytest.mark.parametrize("page", [answer(HTML, 404), answer("{}", 405), answer(HTML, 200)])
def test_a_relay_without_look_ups_is_bought_from_with_one_warning(
    page: Any, caplog: pytest.LogCaptureFixture
) -> None:
    run = attempt([page, ok()], look_up_first=True, official=False)
    assert run.methods == ["GET", "POST"]
    assert [r.levelno for r in caplog.records if "can't look tasks up" in r.message] == [logging.WARNING]


def test_a_relay_that_says_not_implemented_is_asked_again_before_it_is_believed() -> None:
    run = attempt([*[answer("", 501)] * READ_ATTEMPTS, ok()], look_up_first=True, official=False)
    assert run.methods == ["GET"] * READ_ATTEMPTS + ["POST"]


@pytest.mark.parametrize("half", [answer(""), answer('{"code": 0, "da'), answer("null"), answer(HTML, 403)])
def test_an_answer_lost_on_its_way_is_not_a_relay_without_look_ups(half: Any) -> None:
    run = attempt([half], look_up_first=True, official=False)
    assert run.creates == 0
    assert run.error is not None


@lost
def test_a_lost_answer_of_a_relay_without_look_ups_stops_and_no_retry_is_made(outcome: Outcome) -> None:
    run = attempt([outcome, answer(HTML, 404)], official=False)
    assert run.creates == 1
    assert isinstance(run.error, KlingUnknownOutcomeError)
    assert run.error.hopeless
    assert "look into the host's console" in str(run.error)


@pytest.mark.parametrize("reply", [ok(), named("somebody-elses")])
def test_an_id_that_is_not_confirmed_is_warned_about(reply: Any, caplog: pytest.LogCaptureFixture) -> None:
    assert attempt([reply]).value.bought
    assert sum("did not confirm external id af-x-0" in r.message for r in caplog.records) == 1


def test_a_confirmed_id_is_not_warned_about(caplog: pytest.LogCaptureFixture) -> None:
    attempt([named("af-x-0")])
    assert caplog.records == []
