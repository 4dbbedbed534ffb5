"""What a "not found" is worth, on Kling and on relays; and which of our own tasks are of no use any more."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timezone
from typing import Any

import pytest

from airflow_provider_kling.api.catalog import TaskKind
from airflow_provider_kling.api.flows import READ_ATTEMPTS, Flow, Outcome
from airflow_provider_kling.api.lookup import GENERATIONS_SEARCHED, TAKEN_LOOKS, Books, unknown
from airflow_provider_kling.api.submission import Submission, is_spent, submit
from airflow_provider_kling.api.tasks import GenerationTask, TaskStatus
from airflow_provider_kling.emulator import Emulator, Fault, ManualClock
from airflow_provider_kling.exceptions import KlingAuthenticationError, KlingUnknownOutcomeError
from airflow_provider_kling.identity import Identity
from tests.flow_driver import LOST, Run, answer, drive, exists, named, not_found, ok, refused, task_json

Runner = Callable[[Flow[Any]], Any]
NOW = ManualClock().time()
IDENTITY = Identity("af-x")
BODY = {"model_name": "kling-v2-6", "prompt": "A fox"}
HTML = "<html>Not here</html>"
RELAY = Books(TaskKind.TEXT2VIDEO, keeps_ids=False)
KLING = Books(TaskKind.TEXT2VIDEO, keeps_ids=True)


def flow(books: Books = RELAY, **more: Any) -> Flow[Submission]:
    arguments: dict[str, Any] = {"look_up_first": False, "now": NOW, **more}
    return submit(BODY, books, IDENTITY.external_task_id, **arguments)


def attempt(outcomes: list[Outcome], books: Books = RELAY, **more: Any) -> Run:
    run = drive(flow(books, **more), outcomes)
    assert run.left == 0, "the flow stopped before the script ended"
    return run


def listed(*tasks: dict[str, Any]) -> Any:
    return answer({"code": 0, "data": list(tasks)})


def made(seconds_ago: float, **more: Any) -> dict[str, Any]:
    return task_json(created_at=(NOW - seconds_ago) * 1000, **more)


# After silence: is "not found" worth anything?


WORTHLESS = {
    "a recent task without an id": listed(made(0)),
    "a recent one among old ones": listed(made(1e6), made(1e6), made(30)),
    "a task without a time": listed(made(1e6), task_json()),
    "it made nothing for long, or its list lags": listed(made(1e5), made(1e6)),
    "it made nothing ever, or its list lags": listed(),
    "no such route": answer(HTML, 404),
    "a page": answer(HTML),
    "refused": refused(1002, "no", 401),
    "not a list": ok(),
}


@pytest.mark.parametrize("books", WORTHLESS.values(), ids=WORTHLESS.keys())
def test_a_relays_not_found_that_is_worth_nothing_stops_everything(books: Any) -> None:
    run = attempt([LOST, not_found(), not_found(), books])
    assert run.creates == 1
    assert isinstance(run.error, KlingUnknownOutcomeError)
    assert run.error.hopeless, "a retry could not tell either, and would buy again"
    assert "The host does not find it, but " in str(run.error)


def test_a_list_that_cannot_be_read_stops_everything() -> None:
    run = attempt([LOST, not_found(), not_found(), *[LOST] * READ_ATTEMPTS])
    assert run.creates == 1
    assert isinstance(run.error, KlingUnknownOutcomeError)
    assert "no answer" in str(run.error)


WORTHY = {
    "it lists external ids": listed(made(0), made(5, task_info={"external_task_id": "af-other-0"})),
}


@pytest.mark.parametrize("books", WORTHY.values(), ids=WORTHY.keys())
def test_a_relays_not_found_is_believed_where_its_list_bears_it_out(books: Any) -> None:
    run = attempt([LOST, not_found(), not_found(), books, named("af-x-0")])
    assert run.methods == ["POST", "GET", "GET", "GET", "POST"]
    assert run.value.bought


def test_klings_own_not_found_needs_no_list() -> None:
    run = attempt([LOST, not_found(), not_found(), named("af-x-0")], KLING)
    assert run.methods == ["POST", "GET", "GET", "POST"]


# A later try that knows an earlier one was about to buy


def test_an_announced_purchase_is_looked_for_and_adopted() -> None:
    run = attempt([named("af-x-0")], look_up_first=True, announced=True)
    assert run.creates == 0
    assert not run.value.bought


@pytest.mark.parametrize("books", WORTHLESS.values(), ids=WORTHLESS.keys())
def test_an_announced_purchase_on_a_doubtful_relay_is_not_bought_again(books: Any) -> None:
    run = attempt([not_found(), books], look_up_first=True, announced=True)
    assert run.creates == 0
    assert isinstance(run.error, KlingUnknownOutcomeError)
    assert run.error.hopeless
    assert "An earlier try was about to buy it" in str(run.error)


@pytest.mark.parametrize("books", WORTHY.values(), ids=WORTHY.keys())
def test_an_announced_purchase_that_did_not_happen_is_made(books: Any) -> None:
    run = attempt([not_found(), books, named("af-x-0")], look_up_first=True, announced=True)
    assert run.value.bought


def test_an_announced_purchase_on_a_relay_without_look_ups_is_not_bought_again() -> None:
    run = attempt([answer(HTML, 404)], look_up_first=True, announced=True)
    assert run.creates == 0
    assert isinstance(run.error, KlingUnknownOutcomeError)
    assert run.error.hopeless


def test_a_relay_that_answers_in_klings_words_has_a_look_up_and_it_failed() -> None:
    run = attempt([refused(1203, "no such resource", 404)], look_up_first=True)
    assert run.creates == 0
    assert run.error is not None


def test_an_announced_purchase_on_kling_needs_its_look_up_alone() -> None:
    run = attempt([not_found(), named("af-x-0")], KLING, look_up_first=True, announced=True)
    assert run.methods == ["GET", "POST"]


def test_a_look_up_refused_for_good_says_why() -> None:
    run = attempt([refused(1002, "bad key", 401)], look_up_first=True, announced=True)
    assert isinstance(run.error, KlingAuthenticationError)


# Of no use any more


def task(status: TaskStatus, age_days: float | None, **more: Any) -> GenerationTask:
    created = None if age_days is None else datetime.fromtimestamp(NOW - age_days * 86400, timezone.utc)
    return GenerationTask(
        "7", TaskKind.TEXT2VIDEO, status, external_task_id="af-x-0", created_at=created, **more
    )


@pytest.mark.parametrize(
    ("status", "age_days", "spent"),
    [
        (TaskStatus.FAILED, 0, True),
        (TaskStatus.FAILED, None, True),
        (TaskStatus.SUCCEEDED, 29.9, False),
        (TaskStatus.SUCCEEDED, 30.1, True),
        (TaskStatus.SUCCEEDED, None, False),
        (TaskStatus.PROCESSING, 31, False),
        (TaskStatus.SUBMITTED, 31, False),
    ],
)
def test_a_task_is_of_no_use_when_it_failed_or_its_video_is_gone(
    status: TaskStatus, age_days: float | None, spent: bool
) -> None:
    assert is_spent(task(status, age_days), NOW) is spent


def test_the_log_says_why_a_video_is_bought_anew(caplog: pytest.LogCaptureFixture) -> None:
    is_spent(task(TaskStatus.SUCCEEDED, 31), NOW)
    assert "Kling cleared the video of task 7 (external id af-x-0)" in caplog.text


def test_a_video_that_kling_has_cleared_is_bought_anew_under_the_next_id() -> None:
    old = named("af-x-0", "succeed", created_at=(NOW - 31 * 86400) * 1000)
    run = attempt([old, not_found(), named("af-x-1")], KLING, look_up_first=True)
    assert run.names == ["af-x-1"]
    assert (run.value.bought, run.value.generation) == (True, 1)
    run = attempt([exists(), old, not_found(), named("af-x-1")], KLING)
    assert run.names == ["af-x-0", "af-x-1"]


def test_a_time_that_is_nonsense_does_not_make_a_video_look_cleared() -> None:
    run = attempt([named("af-x-0", "succeed", created_at=1)], look_up_first=True)
    assert run.creates == 0
    assert not run.value.bought


# The newest of an identity, for the log


def newest(outcomes: list[Outcome]) -> Run:
    run = drive(KLING.newest(IDENTITY.external_task_id), outcomes)
    assert run.left == 0
    return run


def test_the_newest_task_is_the_first_that_did_not_fail() -> None:
    run = newest([named("af-x-0", "failed"), named("af-x-1", "succeed")])
    assert run.value.external_task_id == "af-x-1"


@pytest.mark.parametrize(
    "outcomes",
    [
        [not_found()],
        [named("af-x-0", "failed"), refused(1002, "bad key", 401)],
        [answer(HTML, 404)],
        [LOST] * READ_ATTEMPTS,
        [named("x", "failed")] * GENERATIONS_SEARCHED,
    ],
)
def test_a_log_line_is_not_worth_an_error(outcomes: list[Outcome]) -> None:
    run = newest(outcomes)
    assert (run.value, run.error) == (None, None)


def test_a_relay_without_look_ups_has_no_newest() -> None:
    run = drive(RELAY.newest(IDENTITY.external_task_id), [answer(HTML, 404)])
    assert (run.value, run.error) == (None, None)


# Relays that drop external ids, against the ledger


def bought(emulator: Emulator) -> int:
    return int(emulator.ledger()["accepted"])


@pytest.mark.parametrize("kind", ["drop", "hang", "html", "empty", "cut"])
@pytest.mark.parametrize("dialect", ["relay_no_external_id", "kkiai", "new_api"])
def test_a_lost_answer_of_a_relay_that_drops_ids_is_never_bought_twice_in_any_number_of_tries(
    dialect: str, kind: str, emulator: Emulator, run: Runner
) -> None:
    emulator.settings.dialect = dialect
    emulator.faults.add("POST", "create", Fault(kind, accepted=True))
    for tries in range(3):
        with contextlib.suppress(KlingUnknownOutcomeError):
            run(flow(look_up_first=tries > 0, announced=tries > 0))
    assert bought(emulator) == 1


@pytest.mark.parametrize("dialect", ["relay_no_external_id", "kkiai"])
def test_a_create_that_such_a_relay_never_saw_is_not_sent_again_either_for_it_cannot_be_told(
    dialect: str, emulator: Emulator, run: Runner
) -> None:
    emulator.settings.dialect = dialect
    emulator.faults.add("POST", "create", Fault("drop", accepted=False))
    with pytest.raises(KlingUnknownOutcomeError, match="external_task_ids=true"):
        run(flow())
    assert bought(emulator) == 0


@pytest.mark.parametrize("dialect", ["relay_no_external_id", "kkiai"])
def test_a_lagging_list_of_a_relay_that_drops_ids_proves_nothing(
    dialect: str, emulator: Emulator, run: Runner
) -> None:
    emulator.settings.update({"dialect": dialect, "visibility_lag": 10.0})
    emulator.faults.add("POST", "create", Fault("drop", accepted=True))
    with contextlib.suppress(KlingUnknownOutcomeError):
        run(flow())
    assert bought(emulator) == 1


def test_a_late_create_at_a_relay_that_drops_ids_is_not_bought_twice(
    emulator: Emulator, run: Runner, clock: ManualClock
) -> None:
    emulator.settings.dialect = "kkiai"
    emulator.faults.add("POST", "create", Fault("delay", accepted=False, seconds=90))
    with contextlib.suppress(KlingUnknownOutcomeError):
        run(flow())
    clock.advance(600)
    assert bought(emulator) == 1


def test_an_id_that_is_taken_and_cannot_be_found_is_told_from_a_cleared_one() -> None:
    run = attempt([exists(), *[not_found()] * TAKEN_LOOKS], KLING)
    assert "more than 30 days ago" in str(run.error)
    assert "set another take" in str(run.error)


def test_a_task_without_times_never_expires() -> None:
    assert replace(task(TaskStatus.SUCCEEDED, 1), created_at=None).expires_at is None


@pytest.mark.parametrize(
    "why", ["It was lost", "It was lost.", "The look-up failed: 5000: trouble. A retry may."]
)
def test_an_unknown_outcome_reads_as_sentences_whatever_it_quotes(why: str) -> None:
    assert f"was bought. {why.removesuffix('.')}. Nothing was sent again. A retry" in str(
        unknown("mine", why)
    )
