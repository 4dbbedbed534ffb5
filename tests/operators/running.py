"""Running an operator as Airflow would: execute, the trigger rebuilt from its row, resume anew."""

from __future__ import annotations

import asyncio
import json
from typing import Any

from airflow.providers.common.compat.sdk import TaskDeferred

from airflow_provider_kling.operators.text2video import KlingText2VideoOperator
from tests.emulator_fixtures import Served
from tests.fakes import FakeTaskInstance, context_of


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
