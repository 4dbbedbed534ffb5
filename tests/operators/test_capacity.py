"""A full account is a queue, not a failure."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import AirflowException, AirflowFailException, TaskDeferred

from tests.emulator_fixtures import Served
from tests.fakes import FakeTaskInstance, context_of
from tests.operators.running import bought, fired, make, posts

pytestmark = pytest.mark.usefixtures("fast")


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


def test_the_wait_for_a_slot_keeps_to_execution_timeout_which_airflow_does_not_enforce(kling: Served) -> None:
    kling.emulator.settings.progress, kling.emulator.settings.concurrency = "looks", 1
    make(wait_for_completion=False).execute(context_of(FakeTaskInstance()))
    with pytest.raises(TaskDeferred) as deferred:
        make(deferrable=True, execution_timeout=timedelta(minutes=5)).execute(
            context_of(FakeTaskInstance(map_index=1))
        )
    assert deferred.value.trigger.deadline - deferred.value.trigger.since == 300


def test_the_cost_is_told_once_however_often_a_slot_is_tried(
    kling: Served, caplog: pytest.LogCaptureFixture
) -> None:
    kling.emulator.settings.progress, kling.emulator.settings.concurrency = "looks", 1
    make(wait_for_completion=False).execute(context_of(FakeTaskInstance()))
    posts_before = posts(kling)
    caplog.clear()
    with caplog.at_level(logging.INFO), pytest.raises(AirflowException):
        make(capacity_timeout=0.1).execute(context_of(FakeTaskInstance(map_index=1)))
    assert posts(kling) - posts_before > 2
    assert caplog.text.count("Cost: ") == 1


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
    assert set(arguments) == {"kling_conn_id", "kind", "model_name", "since", "deadline"}
    assert arguments["model_name"] == "kling-v2-6"
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


@pytest.mark.parametrize(("slots", "says"), [(None, "(Kling said 1303: "), (1, "max_concurrency is 1")])
def test_the_wait_for_a_slot_says_why_and_gives_no_advice_meant_for_a_failure(
    kling: Served,
    connect: Callable[..., None],
    logged: Callable[[], str],
    slots: Any,
    says: str,
) -> None:
    connect(
        host=kling.url,
        password="emulator-key",
        extra={"external_task_ids": True, "max_concurrency": slots},
    )
    kling.emulator.settings.progress, kling.emulator.settings.concurrency = "looks", 1
    make(wait_for_completion=False).execute(context_of(FakeTaskInstance()))
    with pytest.raises(TaskDeferred):
        make(deferrable=True).execute(context_of(FakeTaskInstance(map_index=1)))
    (line,) = [x for x in logged().splitlines() if "No free slot" in x]
    assert says in line
    assert "retry" not in line
    assert "pool" not in line.replace("over resource pack", "")
