"""The operator against the emulator: three ways to use it, and what a later try does."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import airflow
import pytest
from airflow.providers.common.compat.sdk import AirflowException, AirflowFailException, TaskDeferred
from packaging.version import Version

from airflow_provider_kling.exceptions import KlingTaskFailedError
from airflow_provider_kling.operators.text2video import REQUEST_FIELDS, KlingText2VideoOperator
from tests.emulator_fixtures import Served
from tests.fakes import RESULT_KEYS, FakeStateStore, FakeTaskInstance, context_of
from tests.operators.running import bought, fired, make, posts, resume

pytestmark = pytest.mark.usefixtures("fast")
AIRFLOW = Version(airflow.__version__)
needs_store = pytest.mark.skipif(
    Version("3.3") > AIRFLOW, reason="the task state store came with Airflow 3.3"
)


def test_submit_and_wait_in_the_worker_returns_the_video(kling: Served, ti: FakeTaskInstance) -> None:
    kling.emulator.settings.progress, kling.emulator.settings.looks = "looks", 2
    result = make().execute(context_of(ti))
    assert set(result) == RESULT_KEYS
    assert (result["schema"], result["kind"], result["status"], result["units"]) == (
        1,
        "text2video",
        "succeeded",
        "1.5",
    )
    (video,) = result["videos"]
    assert set(video) == {"id", "url", "watermark_url", "duration"}
    assert video["url"].endswith(".mp4")
    assert bought(kling) == 1
    json.dumps(result)


def test_submit_and_defer_returns_the_same_as_waiting_in_the_worker(kling: Served) -> None:
    kling.emulator.settings.progress, kling.emulator.settings.looks = "looks", 2
    ti = FakeTaskInstance()
    with pytest.raises(TaskDeferred) as deferred:
        make(deferrable=True).execute(context_of(ti))
    assert ti.xcoms["kling_task"]["status"] == "submitted"
    result = resume(deferred.value, ti)
    assert set(result) == RESULT_KEYS
    assert result["status"] == "succeeded"
    assert ti.xcoms["kling_task"] == result
    assert bought(kling) == 1


def test_submit_only_returns_at_once(kling: Served, ti: FakeTaskInstance) -> None:
    kling.emulator.settings.progress = "looks"
    result = make(wait_for_completion=False, deferrable=True).execute(context_of(ti))
    assert result["status"] == "submitted"
    assert result["videos"] == []
    assert set(result) == RESULT_KEYS
    assert bought(kling) == 1


def test_access_key_and_secret_key_work_as_well(
    kling: Served, connect: Callable[..., None], ti: FakeTaskInstance
) -> None:
    kling.emulator.settings.access_key = "access"
    kling.emulator.settings.secret_key = "secret-secret-secret-secret-secret!"
    connect(host=kling.url, login="access", password="secret-secret-secret-secret-secret!")
    assert make().execute(context_of(ti))["status"] == "succeeded"


def test_a_first_try_buys_without_looking_up(kling: Served, ti: FakeTaskInstance) -> None:
    make(wait_for_completion=False).execute(context_of(ti))
    assert kling.emulator.ledger()["requests"] == {"POST /v1/videos/text2video": 1}


def test_a_retry_adopts_what_the_first_try_bought(kling: Served, ti: FakeTaskInstance) -> None:
    first = make(wait_for_completion=False).execute(context_of(ti))
    second = make().execute(context_of(ti.again()))
    assert second["task_id"] == first["task_id"]
    assert (bought(kling), posts(kling)) == (1, 1)


def test_a_run_made_again_under_the_same_name_adopts(kling: Served, caplog: pytest.LogCaptureFixture) -> None:
    first = make().execute(context_of(FakeTaskInstance()))
    again = make().execute(context_of(FakeTaskInstance()))
    assert again["task_id"] == first["task_id"]
    assert bought(kling) == 1


def test_a_clear_gets_its_video_again(kling: Served, ti: FakeTaskInstance) -> None:
    first = make().execute(context_of(ti))
    cleared = make().execute(context_of(ti.again(cleared=True)))
    assert cleared["task_id"] == first["task_id"]
    assert bought(kling) == 1


def test_on_clear_regenerate_buys_on_each_clear_and_never_on_a_retry(kling: Served) -> None:
    ti = FakeTaskInstance(max_tries=1)
    operator = make(on_clear="regenerate", retries=1)
    tasks = [operator.execute(context_of(ti))["task_id"]]
    tasks.append(operator.execute(context_of(ti.again()))["task_id"])
    assert tasks[0] == tasks[1]
    ti.again(cleared=True, retries=1)
    tasks.append(operator.execute(context_of(ti))["task_id"])
    tasks.append(operator.execute(context_of(ti.again()))["task_id"])
    assert tasks[2] == tasks[3] != tasks[0]
    assert bought(kling) == 2


@pytest.mark.parametrize(
    ("changed", "where"),
    [
        ({"prompt": "A hare"}, {}),
        ({"take": 2}, {}),
        ({"model_name": "kling-v3"}, {}),
        ({"duration": 10}, {}),
        ({}, {"run_id": "another"}),
        ({}, {"map_index": 3}),
    ],
)
def test_another_request_is_another_video(kling: Served, changed: dict[str, Any], where: Any) -> None:
    make().execute(context_of(FakeTaskInstance()))
    make(**changed).execute(context_of(FakeTaskInstance(**where)))
    assert bought(kling) == 2


def test_a_callback_url_does_not_change_what_is_bought(kling: Served, ti: FakeTaskInstance) -> None:
    make().execute(context_of(ti))
    make(callback_url="http://127.0.0.1:9/x").execute(context_of(ti.again()))
    assert bought(kling) == 1


def test_a_task_that_failed_at_kling_is_made_anew_by_a_retry(kling: Served, ti: FakeTaskInstance) -> None:
    prompt = "[fail-twice] a fox"
    for _ in range(2):
        with pytest.raises(AirflowException, match="Failed tasks are not charged") as error:
            make(prompt=prompt).execute(context_of(ti))
        assert not isinstance(error.value, AirflowFailException)
        assert isinstance(error.value.__cause__, KlingTaskFailedError)
        ti.again()
    assert make(prompt=prompt).execute(context_of(ti))["status"] == "succeeded"
    ledger = kling.emulator.ledger()
    assert (ledger["accepted"], ledger["charged_tasks"]) == (3, 1)


def test_a_wait_that_times_out_says_that_the_video_goes_on_and_a_retry_finds_it(
    kling: Served, ti: FakeTaskInstance
) -> None:
    kling.emulator.settings.progress, kling.emulator.settings.seconds_per_video = "time", 0.5
    with pytest.raises(AirflowException, match=r"still being made and will be billed. A retry") as error:
        make(timeout=0.05).execute(context_of(ti))
    assert not isinstance(error.value, AirflowFailException)
    assert make(timeout=timedelta(seconds=10)).execute(context_of(ti.again()))["status"] == "succeeded"
    assert bought(kling) == 1


def test_a_retry_within_the_budget_keeps_the_deadline_of_the_submission(kling: Served) -> None:
    kling.emulator.settings.progress, kling.emulator.settings.seconds_per_video = "time", 3600
    ti = FakeTaskInstance()
    deadlines = []
    for _ in range(2):
        with pytest.raises(TaskDeferred) as deferred:
            make(deferrable=True, timeout=100).execute(context_of(ti))
        deadlines.append(deferred.value.trigger.deadline)
        ti.again()
    assert deadlines[1] == pytest.approx(deadlines[0], abs=0.1)


def test_execution_timeout_shortens_a_deferred_wait(kling: Served, ti: FakeTaskInstance) -> None:
    kling.emulator.settings.progress, kling.emulator.settings.seconds_per_video = "time", 3600
    deadlines = []
    for limit in (None, timedelta(seconds=5)):
        with pytest.raises(TaskDeferred) as deferred:
            make(deferrable=True, timeout=100, execution_timeout=limit).execute(context_of(ti))
        deadlines.append(deferred.value.trigger.deadline)
        assert deferred.value.timeout.total_seconds() > 5
        ti.again()
    assert deadlines[0] - deadlines[1] == pytest.approx(95, abs=1)


def test_the_authors_own_id_is_sent_as_it_is_and_adopted(kling: Served, ti: FakeTaskInstance) -> None:
    first = make(external_task_id="mine-1").execute(context_of(ti))
    assert first["external_task_id"] == "mine-1"
    assert make(external_task_id="mine-1").execute(context_of(ti.again()))["task_id"] == first["task_id"]
    assert bought(kling) == 1


def test_the_authors_own_id_of_a_failed_task_is_refused(kling: Served, ti: FakeTaskInstance) -> None:
    arguments = {"external_task_id": "mine-2", "prompt": "[fail] a fox"}
    with pytest.raises(AirflowException):
        make(**arguments).execute(context_of(ti))
    with pytest.raises(AirflowFailException, match="Choose another id"):
        make(**arguments).execute(context_of(ti.again()))
    assert bought(kling) == 1


@needs_store
def test_a_stored_task_id_is_adopted_where_a_relay_drops_external_ids(kling: Served) -> None:
    kling.emulator.settings.dialect = "relay_no_external_id"
    ti, store = FakeTaskInstance(), FakeStateStore()
    first = make().execute(context_of(ti, store))
    assert store.values["kling_submission"]["task_id"] == first["task_id"]
    second = make().execute(context_of(ti.again(), store))
    assert second["task_id"] == first["task_id"]
    assert bought(kling) == 1


@needs_store
def test_a_stored_task_id_of_another_request_is_not_trusted(kling: Served, ti: FakeTaskInstance) -> None:
    store = FakeStateStore()
    make().execute(context_of(ti, store))
    make(prompt="A hare").execute(context_of(ti.again(), store))
    assert bought(kling) == 2


@needs_store
@pytest.mark.parametrize("stored", [None, "x", {"task_id": 1}, {"task_id": "1", "other": 2}, []])
def test_a_broken_record_is_no_record(kling: Served, ti: FakeTaskInstance, stored: Any) -> None:
    store = FakeStateStore()
    first = make().execute(context_of(ti))
    store.values["kling_submission"] = stored
    assert make().execute(context_of(ti.again(), store))["task_id"] == first["task_id"]
    assert bought(kling) == 1


def test_a_kill_says_that_the_video_goes_on(
    kling: Served, ti: FakeTaskInstance, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    kling.emulator.settings.progress = "looks"
    operator = make(wait_for_completion=False)
    operator.on_kill()
    result = operator.execute(context_of(ti))
    said: list[str] = []
    monkeypatch.setattr(operator.log, "warning", lambda text, *values: said.append(text % values))
    operator.on_kill()
    assert result["task_id"] in said[0]
    assert "will be billed" in said[0]


def test_a_connection_that_is_gone_when_the_video_is_done_does_not_lose_it(
    kling: Served, ti: FakeTaskInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(TaskDeferred) as deferred:
        make(deferrable=True).execute(context_of(ti))
    event = fired(deferred.value.trigger)
    monkeypatch.delenv("AIRFLOW_CONN_KLING_DEFAULT")
    assert make(deferrable=True).execute_complete(context_of(ti), event)["status"] == "succeeded"


@pytest.mark.parametrize(
    "event",
    [None, {}, "done", {"version": 99, "outcome": "ended"}, {"version": 1, "outcome": "ended", "task": 3}],
)
def test_an_event_of_another_version_fails_loudly(event: Any, ti: FakeTaskInstance) -> None:
    with pytest.raises(AirflowException):
        make().execute_complete(context_of(ti), event)


def test_every_request_field_is_a_template_field_and_an_argument() -> None:
    from airflow_provider_kling.api.requests import Text2VideoRequest

    assert set(REQUEST_FIELDS) == set(Text2VideoRequest.model_fields)
    others = {"kling_conn_id", "take", "max_units", "output_path", "object_storage_conn_id"}
    assert set(REQUEST_FIELDS) | others == set(KlingText2VideoOperator.template_fields)


@pytest.mark.parametrize("deferrable", [True, False])
def test_the_log_says_once_that_it_succeeded_and_where_it_is(
    kling: Served, ti: FakeTaskInstance, logged: Callable[[], str], deferrable: bool
) -> None:
    kling.emulator.settings.progress, kling.emulator.settings.looks = "looks", 2
    event, operator = None, make(deferrable=deferrable)
    try:
        result = operator.execute(context_of(ti))
    except TaskDeferred as deferred:
        # On the page of a task stands what its trigger said too.
        event = fired(deferred.trigger)
        result = make(deferrable=True).execute_complete(context_of(ti), event)
    assert (event is not None) == deferrable
    said = logged()
    assert said.count("succeeded") == said.count(f"Kling task {result['task_id']}: succeeded after ") == 1
    assert said.count(result["videos"][0]["url"]) == 1
