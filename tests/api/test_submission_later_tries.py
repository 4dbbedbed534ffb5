"""Later tries look first, step past failed tasks and past nothing else; relays are told apart from Kling."""

from __future__ import annotations

import logging
from typing import Any

import pytest

from airflow_provider_kling.api.flows import READ_ATTEMPTS, Outcome
from airflow_provider_kling.exceptions import (
    KlingAuthenticationError,
    KlingInputError,
    KlingUnknownOutcomeError,
)
from airflow_provider_kling.identity import Identity
from tests.api.scripted import HTML, attempt, lost
from tests.flow_driver import (
    LOST,
    NEVER_SENT,
    answer,
    exists,
    named,
    not_found,
    ok,
    refused,
)

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
    run = attempt([page, ok()], look_up_first=True, keeps_ids=False)
    assert run.methods == ["GET", "POST"]
    assert [r.levelno for r in caplog.records if "can't tell whether an earlier try" in r.message] == [
        logging.WARNING
    ]


def test_a_relay_that_says_not_implemented_is_asked_again_before_it_is_believed() -> None:
    run = attempt([*[answer("", 501)] * READ_ATTEMPTS, ok()], look_up_first=True, keeps_ids=False)
    assert run.methods == ["GET"] * READ_ATTEMPTS + ["POST"]


@pytest.mark.parametrize("half", [answer(""), answer('{"code": 0, "da'), answer("null"), answer(HTML, 403)])
def test_an_answer_lost_on_its_way_is_not_a_relay_without_look_ups(half: Any) -> None:
    run = attempt([half], look_up_first=True, keeps_ids=False)
    assert run.creates == 0
    assert run.error is not None


@lost
def test_a_lost_answer_of_a_relay_without_look_ups_stops_and_no_retry_is_made(outcome: Outcome) -> None:
    run = attempt([outcome, answer(HTML, 404)], keeps_ids=False)
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
