"""Submission against the emulator's ledger: what was really bought, with both clients."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import Any

import pytest

from airflow_provider_kling.api.catalog import TaskKind
from airflow_provider_kling.api.flows import Flow
from airflow_provider_kling.api.lookup import Books
from airflow_provider_kling.api.requests import Text2VideoRequest
from airflow_provider_kling.api.submission import Submission, submit
from airflow_provider_kling.emulator import Emulator, Fault, ManualClock
from airflow_provider_kling.exceptions import (
    KlingAccountError,
    KlingConcurrencyError,
    KlingConnectionError,
    KlingInputError,
    KlingUnknownOutcomeError,
)
from airflow_provider_kling.identity import Identity

Runner = Callable[[Flow[Any]], Any]
IDENTITY = Identity("af-x")
POST = "POST /v1/videos/text2video"


def flow(prompt: str = "A fox", *, identity: Identity = IDENTITY, **more: Any) -> Flow[Submission]:
    body = Text2VideoRequest(model_name="kling-v2-6", prompt=prompt).body()
    arguments: dict[str, Any] = {"look_up_first": False, "now": 0.0, **more}
    books = Books(TaskKind.TEXT2VIDEO, arguments.pop("keeps_ids", True))
    return submit(body, books, identity.external_task_id, **arguments)


def bought(emulator: Emulator) -> list[str]:
    return [create["external_task_id"] for create in emulator.ledger()["creates"]]


def posts(emulator: Emulator) -> int:
    return int(emulator.ledger()["requests"].get(POST, 0))


def the_one(emulator: Emulator, submission: Submission) -> None:
    """The task in hand is the one and only that was bought."""
    (create,) = emulator.ledger()["creates"]
    assert submission.task.task_id == create["task_id"]
    assert submission.task.external_task_id == create["external_task_id"] == "af-x-0"


def test_one_create_buys_one_video(emulator: Emulator, run: Runner) -> None:
    the_one(emulator, run(flow()))
    assert emulator.ledger()["requests_total"] == 1


FAULTS: dict[str, dict[str, Any]] = {
    "500": {"kind": "status", "status": 500},
    "502": {"kind": "status", "status": 502},
    "503": {"kind": "status", "status": 503},
    "504": {"kind": "status", "status": 504},
    "408": {"kind": "status", "status": 408},
    "499": {"kind": "status", "status": 499},
    "5000": {"kind": "kling", "code": 5000},
    "5001": {"kind": "kling", "code": 5001},
    "5002": {"kind": "kling", "code": 5002},
    "HTML page": {"kind": "html"},
    "HTML page, 502": {"kind": "html", "status": 502},
    "empty body": {"kind": "empty"},
    "garbage": {"kind": "garbage"},
    "truncated JSON": {"kind": "truncated"},
    "body cut": {"kind": "cut"},
    "body cut at once": {"kind": "cut", "at": 0},
    "dropped": {"kind": "drop"},
    "reset": {"kind": "reset"},
    "read timeout": {"kind": "hang"},
}
any_fault = pytest.mark.parametrize("fault", FAULTS.values(), ids=FAULTS.keys())


@any_fault
@pytest.mark.parametrize("accepted", [True, False], ids=["accepted", "not accepted"])
def test_whatever_happens_to_the_answer_one_video_is_bought(
    fault: dict[str, Any], accepted: bool, emulator: Emulator, run: Runner
) -> None:
    emulator.faults.add("POST", "create", Fault(accepted=accepted, **fault))
    submission = run(flow())
    the_one(emulator, submission)
    if fault.get("code") == 5001:
        assert posts(emulator) == 2, "5001 in Kling's words is a refusal; were it not, the id protects"
    else:
        assert posts(emulator) == (1 if accepted else 2)
        assert submission.bought


@any_fault
def test_a_look_up_that_fails_as_well_sends_nothing_and_the_next_try_adopts(
    fault: dict[str, Any], emulator: Emulator, run: Runner
) -> None:
    if fault.get("code") == 5001:
        pytest.skip("a refusal: there is nothing to look up")
    emulator.faults.add("POST", "create", Fault(accepted=True, **fault))
    emulator.faults.add("GET", "query", Fault("drop"), times=4)
    with pytest.raises(KlingUnknownOutcomeError) as caught:
        run(flow())
    assert not caught.value.hopeless
    assert posts(emulator) == 1
    submission = run(flow(look_up_first=True))
    the_one(emulator, submission)
    assert not submission.bought
    assert posts(emulator) == 1


@pytest.mark.parametrize("times", [1, 4])
def test_a_connection_that_is_refused_is_tried_again(times: int, emulator: Emulator, run: Runner) -> None:
    emulator.faults.add("POST", "create", "connect", times=times)
    the_one(emulator, run(flow()))
    assert posts(emulator) == 1, "the others never arrived"


def test_a_host_that_refuses_connections_buys_nothing(emulator: Emulator, run: Runner) -> None:
    emulator.faults.add("*", "any", "connect", times=None)
    with pytest.raises(KlingConnectionError, match="could not be reached"):
        run(flow())
    assert bought(emulator) == []


@pytest.mark.parametrize("lag", [3.0, 4.9, 5.1, 20.0])
def test_a_look_up_that_lags_behind_the_create_buys_no_second_video(
    lag: float, emulator: Emulator, run: Runner
) -> None:
    emulator.settings.visibility_lag = lag
    emulator.faults.add("POST", "create", Fault("drop", accepted=True))
    the_one(emulator, run(flow()))
    assert posts(emulator) == (1 if lag < 5 else 2)


def test_a_retry_right_after_a_crash_with_a_lagging_look_up_adopts(emulator: Emulator, run: Runner) -> None:
    emulator.settings.visibility_lag = 10.0
    run(flow())
    submission = run(flow(look_up_first=True))
    the_one(emulator, submission)
    assert not submission.bought


def test_a_create_that_arrives_after_the_client_gave_up_is_not_bought_twice(
    emulator: Emulator, run: Runner, clock: ManualClock
) -> None:
    emulator.faults.add("POST", "create", Fault("delay", accepted=False, seconds=90))
    first = run(flow())
    clock.advance(600)
    the_one(emulator, first)
    the_one(emulator, run(flow(look_up_first=True)))
    assert emulator.ledger()["refused"] == {"1201": 1}, "the late one met the unique id"


def test_the_loser_of_a_race_adopts_the_winners_video(emulator: Emulator, run: Runner) -> None:
    winner, loser = run(flow()), run(flow())
    the_one(emulator, loser)
    assert (winner.bought, loser.bought) == (True, False)


def test_the_last_units_going_to_a_lost_create_are_not_reported_as_nothing_bought(
    emulator: Emulator, run: Runner
) -> None:
    emulator.settings.visibility_lag = 30.0
    emulator.faults.add("POST", "create", Fault("drop", accepted=True))
    emulator.faults.add("POST", "create", Fault("kling", code=1102))
    with pytest.raises(KlingUnknownOutcomeError) as caught:
        run(flow())
    assert not caught.value.hopeless
    the_one(emulator, run(flow(look_up_first=True)))


@pytest.mark.parametrize(
    ("setting", "error"),
    [({"account_state": "exhausted"}, KlingAccountError), ({"concurrency": 0}, KlingConcurrencyError)],
)
def test_a_refusal_of_the_account_buys_nothing(
    setting: dict[str, Any], error: type[Exception], emulator: Emulator, run: Runner
) -> None:
    emulator.settings.update(setting)
    with pytest.raises(error, match="bought nothing"):
        run(flow())
    assert bought(emulator) == []
    assert posts(emulator) == 1


def test_a_rate_limit_is_waited_out(emulator: Emulator, run: Runner) -> None:
    emulator.settings.requests_per_second = 1
    run(flow("Another", identity=Identity("af-y")))
    run(flow())
    assert bought(emulator) == ["af-y-0", "af-x-0"]
    assert set(emulator.ledger()["refused"]) == {"1302"}


def test_failed_tasks_are_bought_anew_until_one_does_not_fail(
    emulator: Emulator, run: Runner, clock: ManualClock
) -> None:
    for tries in range(3):
        run(flow("[fail-twice] A fox", look_up_first=tries > 0))
        clock.advance(60)
    last = run(flow("[fail-twice] A fox", look_up_first=True))
    assert bought(emulator) == ["af-x-0", "af-x-1", "af-x-2"]
    assert emulator.ledger()["charged_tasks"] == 1
    assert last.task.task_id == emulator.ledger()["creates"][2]["task_id"]
    assert (last.generation, last.bought) == (2, False)


def test_the_authors_own_id_is_bought_once_and_never_replaced(
    emulator: Emulator, run: Runner, clock: ManualClock
) -> None:
    own = Identity("my-video", own=True)
    run(flow("[fail] A fox", identity=own))
    clock.advance(60)
    with pytest.raises(KlingInputError, match="Choose another id"):
        run(flow("[fail] A fox", identity=own, look_up_first=True))
    with pytest.raises(KlingInputError, match="Choose another id"):
        run(flow("[fail] A fox", identity=own))
    assert bought(emulator) == ["my-video"]


def test_a_task_cleared_by_kling_whose_id_is_free_again_is_bought_anew(
    emulator: Emulator, run: Runner
) -> None:
    run(flow())
    emulator.expire(forget_external_id=True)
    assert run(flow(look_up_first=True)).bought
    assert bought(emulator) == ["af-x-0", "af-x-0"]


def test_a_task_cleared_by_kling_whose_id_stays_taken_stops_with_a_clear_message(
    emulator: Emulator, run: Runner
) -> None:
    run(flow())
    emulator.expire()
    with pytest.raises(KlingUnknownOutcomeError, match="already exists.*no look-up finds it"):
        run(flow(look_up_first=True))
    assert bought(emulator) == ["af-x-0"]


# Relays: what is protected, and what is not


@any_fault
def test_a_relay_that_passes_external_ids_on_protects_as_kling_does(
    fault: dict[str, Any], emulator: Emulator, run: Runner
) -> None:
    emulator.settings.dialect = "xmsmartlink"
    emulator.faults.add("POST", "create", Fault(accepted=True, **fault))
    the_one(emulator, run(flow(keeps_ids=False)))


@pytest.mark.parametrize("dialect", ["relay_no_external_id", "kkiai", "new_api"])
def test_a_relay_that_drops_external_ids_is_bought_from_once_and_warned_about(
    dialect: str, emulator: Emulator, run: Runner, caplog: pytest.LogCaptureFixture
) -> None:
    emulator.settings.dialect = dialect
    assert run(flow(keeps_ids=False)).bought
    assert len(bought(emulator)) == 1
    assert "did not confirm external id af-x-0" in caplog.text


@pytest.mark.parametrize("dialect", ["relay_no_external_id", "kkiai", "new_api"])
def test_a_relay_that_drops_external_ids_never_buys_a_lost_answer_twice(
    dialect: str, emulator: Emulator, run: Runner
) -> None:
    emulator.settings.dialect = dialect
    emulator.faults.add("POST", "create", Fault("drop", accepted=True))
    with contextlib.suppress(KlingUnknownOutcomeError):
        run(flow(keeps_ids=False))
    assert len(bought(emulator)) == 1


def test_a_relay_without_a_look_up_route_stops_at_a_lost_answer(emulator: Emulator, run: Runner) -> None:
    emulator.settings.dialect = "kkiai"
    emulator.faults.add("POST", "create", Fault("drop", accepted=True))
    emulator.faults.add("GET", "query", Fault("html", status=404), times=None)
    with pytest.raises(KlingUnknownOutcomeError) as caught:
        run(flow(keeps_ids=False))
    assert caught.value.hopeless
    assert len(bought(emulator)) == posts(emulator) == 1
