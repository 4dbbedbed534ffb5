"""The operator against the emulator: three ways to use it, and what each failure costs."""

from __future__ import annotations

import asyncio
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
from tests.fakes import FakeStateStore, FakeTaskInstance, context_of

pytestmark = pytest.mark.usefixtures("fast")

AIRFLOW = Version(airflow.__version__)
needs_store = pytest.mark.skipif(
    Version("3.3") > AIRFLOW, reason="the task state store came with Airflow 3.3"
)

KEYS = {
    "schema",
    "kind",
    "task_id",
    "external_task_id",
    "status",
    "status_message",
    "videos",
    "units",
    "created_at",
    "updated_at",
    "expires_at",
}


@pytest.fixture
def kling(emulator_server: Served, connect: Callable[..., None]) -> Served:
    connect(host=emulator_server.url, password="emulator-key", extra={"external_task_ids": True})
    return emulator_server


def make(**arguments: Any) -> KlingText2VideoOperator:
    return KlingText2VideoOperator(
        **{"task_id": "make", "prompt": "A fox crossing a frozen lake", "poll_interval": 0.01} | arguments
    )


def fired(trigger: Any) -> Any:
    """The one event of a trigger."""

    async def fire() -> list[Any]:
        return [event.payload async for event in trigger.run()]

    (payload,) = asyncio.run(fire())
    return payload


def resume(deferred: TaskDeferred, ti: FakeTaskInstance, operator: Any = None) -> dict[str, Any]:
    """What Airflow does after ``defer``: rebuild the trigger from its row, run it, resume anew."""
    path, arguments = deferred.trigger.serialize()
    assert path == "airflow_provider_kling.triggers.task.KlingTaskTrigger"
    rebuilt = type(deferred.trigger)(**json.loads(json.dumps(arguments)))

    payload = fired(rebuilt)
    assert deferred.method_name == "execute_complete"
    operator = operator or make()
    result: dict[str, Any] = operator.execute_complete(context_of(ti), json.loads(json.dumps(payload)))
    return result


def bought(kling: Served) -> int:
    return int(kling.emulator.ledger()["accepted"])


def posts(kling: Served) -> int:
    return int(kling.emulator.ledger()["requests"].get("POST /v1/videos/text2video", 0))


def test_submit_and_wait_in_the_worker_returns_the_video(kling: Served, ti: FakeTaskInstance) -> None:
    kling.emulator.settings.progress, kling.emulator.settings.looks = "looks", 2
    result = make().execute(context_of(ti))
    assert set(result) == KEYS
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
    assert set(result) == KEYS
    assert result["status"] == "succeeded"
    assert ti.xcoms["kling_task"] == result
    assert bought(kling) == 1


def test_submit_only_returns_at_once(kling: Served, ti: FakeTaskInstance) -> None:
    kling.emulator.settings.progress = "looks"
    result = make(wait_for_completion=False, deferrable=True).execute(context_of(ti))
    assert result["status"] == "submitted"
    assert result["videos"] == []
    assert set(result) == KEYS
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


def test_a_content_policy_failure_after_acceptance_uses_up_no_retry(
    kling: Served, ti: FakeTaskInstance
) -> None:
    with pytest.raises(AirflowFailException, match="Change the prompt"):
        make(prompt="[policy-after] a fox").execute(context_of(ti))


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ({"prompt": ""}, "prompt: it must not be empty"),
        ({"prompt": "x" * 2501}, "at most 2500 characters, got 2501"),
        ({"prompt": None}, "got None after rendering"),
        ({"prompt": "None"}, "got 'None' after rendering"),
        ({"duration": 7}, r"duration: '7' is not accepted by kling-v2-6 \(allowed: 5, 10\)"),
        ({"mode": "4k"}, r"mode: '4k' is not accepted by kling-v2-6 \(allowed: std, pro\)"),
        ({"cfg_scale": 1.5}, "cfg_scale: .* 1"),
        (
            {"camera_control": {"type": "simple", "config": {"pan": 1, "zoom": 1}}},
            "exactly one of .* must be non-zero",
        ),
        ({"camera_control": {"type": "down_back"}}, "camera_control: .* only kling-v1"),
        ({"voice_list": "v1"}, "voice_list: .* list, got 'v1'"),
        ({"external_task_id": "a b"}, "external_task_id"),
        ({"external_task_id": "a" * 200}, "external_task_id"),
    ],
)
def test_bad_input_fails_at_once_and_buys_nothing(
    kling: Served, ti: FakeTaskInstance, arguments: dict[str, Any], says: str
) -> None:
    with pytest.raises(AirflowFailException, match=says) as error:
        make(**arguments).execute(context_of(ti))
    assert "Nothing was bought" in str(error.value)
    assert (bought(kling), posts(kling)) == (0, 0)


@pytest.mark.parametrize(
    ("state", "code"), [("arrears", 1101), ("exhausted", 1102), ("forbidden", 1103), ("ip", 1304)]
)
def test_a_hopeless_refusal_uses_up_no_retry_and_names_the_code(
    kling: Served, ti: FakeTaskInstance, state: str, code: int
) -> None:
    kling.emulator.settings.account_state = state
    with pytest.raises(AirflowFailException, match=f"^{code}: .*bought nothing.*request_id \\w"):
        make().execute(context_of(ti))
    assert (bought(kling), posts(kling)) == (0, 1)


def test_a_prompt_that_the_content_policy_refuses_buys_nothing(kling: Served, ti: FakeTaskInstance) -> None:
    with pytest.raises(AirflowFailException, match=r"^1301: .*Change the prompt"):
        make(prompt="[policy-before] a fox").execute(context_of(ti))
    assert bought(kling) == 0


def test_a_full_account_is_waited_for_on_the_worker(kling: Served) -> None:
    kling.emulator.settings.concurrency = 1
    kling.emulator.settings.progress, kling.emulator.settings.seconds_per_video = "time", 0.3
    make(wait_for_completion=False).execute(context_of(FakeTaskInstance()))
    assert make().execute(context_of(FakeTaskInstance(map_index=1)))["status"] == "succeeded"
    assert bought(kling) == 2


def test_no_slot_within_capacity_timeout_says_that_nothing_was_bought(kling: Served) -> None:
    kling.emulator.settings.progress, kling.emulator.settings.concurrency = "looks", 1
    make(wait_for_completion=False).execute(context_of(FakeTaskInstance()))
    with pytest.raises(AirflowException, match=r"No slot became free .* Nothing was bought.*1303") as error:
        make(capacity_timeout=0.05).execute(context_of(FakeTaskInstance(map_index=1)))
    assert not isinstance(error.value, AirflowFailException)
    assert bought(kling) == 1


def test_a_full_account_is_waited_for_in_the_triggerer_and_uses_no_retry(kling: Served) -> None:
    kling.emulator.settings.concurrency = 1
    kling.emulator.settings.progress, kling.emulator.settings.seconds_per_video = "time", 0.5
    make(wait_for_completion=False).execute(context_of(FakeTaskInstance()))
    ti = FakeTaskInstance(map_index=1)
    operator = make(deferrable=True, wait_for_completion=False)
    with pytest.raises(TaskDeferred) as deferred:
        operator.execute(context_of(ti))
    assert deferred.value.method_name == "execute_resubmit"
    path, arguments = deferred.value.trigger.serialize()
    assert path == "airflow_provider_kling.triggers.slot.KlingSlotTrigger"
    assert set(arguments) == {"kling_conn_id", "kind", "since", "deadline"}
    event = json.loads(json.dumps(fired(type(deferred.value.trigger)(**arguments))))
    assert event["freed"] is True
    fresh = make(deferrable=True, wait_for_completion=False)
    assert fresh.execute_resubmit(context_of(ti), event)["status"] == "submitted"
    assert bought(kling) == 2


def test_who_is_woken_in_vain_waits_on_from_when_it_began(kling: Served) -> None:
    kling.emulator.settings.progress, kling.emulator.settings.concurrency = "looks", 1
    make(wait_for_completion=False).execute(context_of(FakeTaskInstance()))
    event = {"version": 1, "since": 5.0, "deadline": 4e9, "freed": True}
    with pytest.raises(TaskDeferred) as deferred:
        make(deferrable=True).execute_resubmit(context_of(FakeTaskInstance(map_index=1)), event)
    assert (deferred.value.trigger.since, deferred.value.trigger.deadline) == (5.0, 4e9)


@pytest.mark.parametrize("event", [None, {"version": 9}, {"version": 1}])
def test_a_slot_event_of_another_version_fails_loudly(event: Any, ti: FakeTaskInstance) -> None:
    with pytest.raises(AirflowException, match="not of version 1"):
        make().execute_resubmit(context_of(ti), event)


def test_without_a_connection_the_message_names_it(monkeypatch: pytest.MonkeyPatch, ti: Any) -> None:
    with pytest.raises(AirflowException, match="nowhere"):
        make(kling_conn_id="nowhere").execute(context_of(ti))


def test_a_connection_without_a_key_says_where_it_goes(
    emulator_server: Served, connect: Callable[..., None], ti: FakeTaskInstance
) -> None:
    connect(host=emulator_server.url)
    with pytest.raises(AirflowFailException, match="'kling_default' has no key. Nothing was bought"):
        make().execute(context_of(ti))


def test_an_unknown_host_is_told_as_such(connect: Callable[..., None], ti: FakeTaskInstance) -> None:
    connect(host="kling.invalid", password="emulator-key")
    with pytest.raises(AirflowException, match="could not be reached.*bought nothing"):
        make().execute(context_of(ti))


def test_a_relay_that_answers_html_is_told_as_such(
    kling: Served, connect: Callable[..., None], ti: FakeTaskInstance
) -> None:
    connect(host=kling.url.removesuffix("/kling") + "/elsewhere", password="emulator-key")
    with pytest.raises(AirflowFailException, match="HTTP 404: the host does not know this address"):
        make().execute(context_of(ti))
    assert bought(kling) == 0


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
    assert set(REQUEST_FIELDS) | {"kling_conn_id", "take"} == set(KlingText2VideoOperator.template_fields)


@pytest.mark.parametrize(
    "arguments", [{"poll_interval": 0}, {"timeout": timedelta(0)}, {"on_clear": "sometimes"}]
)
def test_arguments_that_make_no_sense_fail_when_the_dag_is_parsed(arguments: dict[str, Any]) -> None:
    with pytest.raises(ValueError):
        make(**arguments)
