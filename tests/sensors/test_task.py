"""The sensor against the emulator: it waits, and buys nothing."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import (
    AirflowException,
    AirflowFailException,
    AirflowSensorTimeout,
    AirflowSkipException,
    TaskDeferred,
)

from airflow_provider_kling.api.catalog import TaskKind
from airflow_provider_kling.api.tasks import GenerationTask, TaskStatus, Video
from airflow_provider_kling.hooks.kling import KlingHook
from airflow_provider_kling.sensors.task import KlingTaskSensor
from tests.emulator_fixtures import Served
from tests.fakes import FakeTaskInstance, context_of

pytestmark = pytest.mark.usefixtures("fast")


@pytest.fixture
def kling(kling: Served) -> Served:
    kling.emulator.settings.progress = "looks"
    return kling


def submit(prompt: str = "A fox", **fields: Any) -> str:
    from airflow_provider_kling.api.requests import Text2VideoRequest

    return KlingHook().submit(Text2VideoRequest(prompt=prompt, **fields)).task_id


def sensor(task_id: Any, **arguments: Any) -> KlingTaskSensor:
    return KlingTaskSensor(
        **{"task_id": "wait", "kling_task_id": task_id, "poke_interval": 0.01, "timeout": 60} | arguments
    )


def events_of(deferred: TaskDeferred) -> list[Any]:
    # A triggerer is spared what a test need not wait for.
    deferred.trigger.poll_interval = 0.01

    async def fire() -> list[Any]:
        return [event.payload async for event in deferred.trigger.run()]

    return asyncio.run(fire())


def test_poking_returns_the_same_dict_as_the_operator(kling: Served, ti: FakeTaskInstance) -> None:
    task_id = submit()
    result = sensor(task_id).execute(context_of(ti))
    assert result["task_id"] == task_id
    assert result["status"] == "succeeded"
    assert ti.xcoms["kling_task"] == result
    assert kling.emulator.ledger()["accepted"] == 1


def test_the_external_id_is_as_good(kling: Served, ti: FakeTaskInstance) -> None:
    task_id = submit(external_task_id="mine")
    assert sensor("mine").execute(context_of(ti))["task_id"] == task_id


def test_the_deferrable_sensor_looks_once_and_then_waits_in_the_triggerer(
    kling: Served, ti: FakeTaskInstance
) -> None:
    task_id = submit()
    with pytest.raises(TaskDeferred) as deferred:
        sensor(task_id, deferrable=True).execute(context_of(ti))
    assert kling.emulator.ledger()["requests"]["GET /v1/videos/text2video/{id}"] == 1
    (event,) = events_of(deferred.value)
    result = sensor(task_id, deferrable=True).execute_complete(context_of(ti), event)
    assert result["status"] == "succeeded"


def test_the_deferrable_sensor_never_defers_for_what_is_done(kling: Served, ti: FakeTaskInstance) -> None:
    kling.emulator.settings.progress = "immediate"
    assert sensor(submit(), deferrable=True).execute(context_of(ti))["status"] == "succeeded"


def test_a_failed_task_fails_the_sensor_without_using_its_retries(
    kling: Served, ti: FakeTaskInstance
) -> None:
    with pytest.raises(AirflowFailException, match="could not make the video"):
        sensor(submit("[fail] a fox")).execute(context_of(ti))


def test_soft_fail_skips_on_a_failed_task(kling: Served, ti: FakeTaskInstance) -> None:
    with pytest.raises(AirflowSkipException):
        sensor(submit("[fail] a fox"), soft_fail=True).execute(context_of(ti))


def test_a_deferred_wait_that_times_out_is_a_sensor_timeout(kling: Served, ti: FakeTaskInstance) -> None:
    kling.emulator.settings.progress, kling.emulator.settings.seconds_per_video = "time", 3600
    waiting = sensor(submit(), deferrable=True, timeout=0.05)
    with pytest.raises(TaskDeferred) as deferred:
        waiting.execute(context_of(ti))
    (event,) = events_of(deferred.value)
    assert event["outcome"] == "timeout"
    with pytest.raises(AirflowSensorTimeout, match="still being made"):
        waiting.execute_complete(context_of(ti), event)


def test_soft_fail_skips_when_a_deferred_wait_fails(kling: Served, ti: FakeTaskInstance) -> None:
    waiting = sensor("1", deferrable=True, soft_fail=True)
    event = {"version": 1, "outcome": "timeout", "task_id": "1", "message": "late"}
    with pytest.raises(AirflowSkipException):
        waiting.resume_execution("execute_complete", {"event": event}, context_of(ti))


def test_trouble_on_the_way_is_no_answer(kling: Served, ti: FakeTaskInstance) -> None:
    task_id = submit()
    kling.emulator.faults.add("GET", "query", {"kind": "kling", "code": 5000}, times=5)
    assert sensor(task_id).execute(context_of(ti))["status"] == "succeeded"


def test_a_task_of_another_account_is_told_as_such(kling: Served, ti: FakeTaskInstance) -> None:
    with pytest.raises(AirflowFailException, match="no task of this account has this id"):
        sensor("424242").execute(context_of(ti))


def test_a_kind_that_there_is_not_is_told_as_such(kling: Served, ti: FakeTaskInstance) -> None:
    with pytest.raises(AirflowFailException, match="kind: 'text2opera' is not one of"):
        sensor("1", kind="text2opera").execute(context_of(ti))


@pytest.mark.parametrize("deferrable", [True, False])
@pytest.mark.parametrize("nothing", ["", " ", None, "None"])
def test_an_empty_id_is_refused_by_the_name_of_its_argument(
    kling: Served, ti: FakeTaskInstance, nothing: Any, deferrable: bool
) -> None:
    with pytest.raises(AirflowFailException, match="^kling_task_id: it is empty, got .*Nothing was bought"):
        sensor(nothing, deferrable=deferrable).execute(context_of(ti))
    assert kling.emulator.ledger()["requests_total"] == 0


@pytest.mark.parametrize("given", [{"schema": 99}, "{'schema': 99}", ["1"], 1.5])
def test_what_is_neither_an_id_nor_a_result_is_refused(
    kling: Served, ti: FakeTaskInstance, given: Any
) -> None:
    with pytest.raises(AirflowFailException, match="^kling_task_id: it is neither an id nor"):
        sensor(given).execute(context_of(ti))


def summary(task_id: str, kind: str = "text2video") -> dict[str, Any]:
    return GenerationTask(task_id, TaskKind(kind), TaskStatus.SUBMITTED).summary()


@pytest.mark.parametrize("rendered", [dict, json.dumps, str])
def test_what_the_operator_returned_is_as_good_as_an_id(
    kling: Served, ti: FakeTaskInstance, rendered: Callable[..., Any]
) -> None:
    task_id = submit()
    result = sensor(rendered(summary(task_id))).execute(context_of(ti))
    assert (result["task_id"], result["status"]) == (task_id, "succeeded")


def test_what_the_operator_returned_goes_to_the_triggerer_as_an_id(
    kling: Served, ti: FakeTaskInstance
) -> None:
    task_id = submit()
    with pytest.raises(TaskDeferred) as deferred:
        sensor(summary(task_id), deferrable=True).execute(context_of(ti))
    trigger = deferred.value.trigger
    assert (trigger.kling_task_id, trigger.kind) == (task_id, "text2video")


def test_an_id_that_native_rendering_made_a_number_is_an_id(kling: Served, ti: FakeTaskInstance) -> None:
    task_id = submit()
    assert sensor(int(task_id)).execute(context_of(ti))["task_id"] == task_id  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("arguments", "asked"), [({}, "image2video"), ({"kind": "video-extend"}, "video-extend")]
)
def test_the_kind_is_the_results_unless_one_is_given(
    ti: FakeTaskInstance, arguments: dict[str, Any], asked: str
) -> None:
    kinds: list[str] = []

    class Asked(KlingHook):
        def get_task(self, task_id: str, kind: str = "") -> GenerationTask:
            kinds.append(kind)
            return GenerationTask(
                task_id, TaskKind(kind), TaskStatus.SUCCEEDED, videos=(Video("v", "http://a/v"),)
            )

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("airflow_provider_kling.hooks.kling.KlingHook", Asked)
        sensor(summary("1", "image2video"), **arguments).execute(context_of(ti))
    assert kinds == [asked]


def test_a_triggerer_is_not_kept_busy_by_a_poke_interval_of_nothing(
    kling: Served, ti: FakeTaskInstance
) -> None:
    for given, used in ((0, 1.0), (30, 30.0)):
        with pytest.raises(TaskDeferred) as deferred:
            sensor(submit(), deferrable=True, poke_interval=given).execute(context_of(ti))
        assert deferred.value.trigger.poll_interval == used


def test_an_event_of_another_version_fails_loudly(ti: FakeTaskInstance) -> None:
    with pytest.raises(AirflowException, match="not of version 1"):
        sensor("1").execute_complete(context_of(ti), {"version": 0})
