"""The sensor against the emulator: it waits, and buys nothing."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import (
    AirflowException,
    AirflowFailException,
    AirflowSensorTimeout,
    AirflowSkipException,
    TaskDeferred,
)

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


def sensor(task_id: str, **arguments: Any) -> KlingTaskSensor:
    return KlingTaskSensor(
        **{"task_id": "wait", "kling_task_id": task_id, "poke_interval": 0.01, "timeout": 60} | arguments
    )


def events_of(deferred: TaskDeferred) -> list[Any]:
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


@pytest.mark.parametrize("arguments", [{"kind": "text2opera"}, {"kling_task_id": " "}])
def test_bad_input_is_told_as_such(kling: Served, ti: FakeTaskInstance, arguments: dict[str, Any]) -> None:
    with pytest.raises(AirflowFailException, match="kind: 'text2opera'|task_id: it must not be empty"):
        sensor(**{"task_id": "1"} | arguments).execute(context_of(ti))


def test_an_event_of_another_version_fails_loudly(ti: FakeTaskInstance) -> None:
    with pytest.raises(AirflowException, match="not of version 1"):
        sensor("1").execute_complete(context_of(ti), {"version": 0})
