"""A task instance's life, try after try, as Airflow drives it. Operator, HTTP and ledger are real."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import httpx
from airflow.providers.common.compat.sdk import AirflowException, AirflowFailException, TaskDeferred

from airflow_provider_kling.operators.text2video import KlingText2VideoOperator
from airflow_provider_kling.sensors.task import KlingTaskSensor
from tests.chaos.report import Measured
from tests.emulator_fixtures import Served
from tests.fakes import FakeStateStore, FakeTaskInstance, context_of

CREATE = "POST /v1/videos/text2video"

#: Prompt of a task that somebody else has ordered.
ELSEWHERE = "Ordered elsewhere"

#: The three ways of use.
WAYS = ("plain", "deferred", "sensor")


@dataclass
class Life:
    """One task instance.

    :param way: one of :data:`WAYS`.
    :param store: Airflow's task state store; ``None`` as below 3.3.
    :param retries: of the operator.
    :param between: called before each retry.
    """

    way: str = "plain"
    store: FakeStateStore | None = None
    retries: int = 2
    between: Callable[[], None] = lambda: None
    ti: FakeTaskInstance = field(default_factory=FakeTaskInstance)
    #: What the tries that failed said.
    errors: list[str] = field(default_factory=list)

    def live(self, **arguments: Any) -> dict[str, Any]:
        """Try until a try succeeds; the task's result.

        :raises AirflowException: of the last try, or of one that no retry can help.
        """
        for left in range(self.retries, -1, -1):
            try:
                return self.one_try(**arguments)
            except AirflowException as error:
                self.errors.append(str(error))
                if isinstance(error, AirflowFailException) or not left:
                    raise
            self.between()
            self.ti.again()
        raise AssertionError

    def one_try(self, **arguments: Any) -> dict[str, Any]:
        """One try, from ``execute`` to its end, each phase on an operator of its own as in Airflow."""
        if self.way == "sensor":
            submitted = self._run(lambda: self._operator(wait_for_completion=False, **arguments), self.ti)
            task_id, sensor_ti = submitted["task_id"], FakeTaskInstance(task_id="wait")
            return self._run(lambda: _sensor(task_id), sensor_ti)
        return self._run(lambda: self._operator(deferrable=self.way == "deferred", **arguments), self.ti)

    def _operator(self, **arguments: Any) -> KlingText2VideoOperator:
        usual = {"task_id": "make", "prompt": "A fox crossing a frozen lake", "poll_interval": 0.01}
        return KlingText2VideoOperator(**usual | {"retries": self.retries} | arguments)

    def _run(self, make: Callable[[], Any], ti: FakeTaskInstance) -> dict[str, Any]:
        try:
            result: dict[str, Any] = make().execute(context_of(ti, self.store))
        except TaskDeferred as deferred:
            event = _event_of(deferred)
            result = getattr(make(), deferred.method_name)(context_of(ti, self.store), event)
        return result


def _sensor(task_id: str) -> KlingTaskSensor:
    return KlingTaskSensor(
        task_id="wait", kling_task_id=task_id, deferrable=True, poke_interval=0.01, timeout=60
    )


def _event_of(deferred: TaskDeferred) -> Any:
    """What the trigger fires, rebuilt from its row in the database."""
    _, arguments = deferred.trigger.serialize()
    rebuilt = type(deferred.trigger)(**json.loads(json.dumps(arguments)))

    async def fire() -> list[Any]:
        return [event.payload async for event in rebuilt.run()]

    (event,) = asyncio.run(fire())
    return json.loads(json.dumps(event))


def is_delivered(result: Any) -> bool:
    """Whether the video can be had at the address in a task's result."""
    if not isinstance(result, dict) or result.get("status") != "succeeded":
        return False
    (video,) = result["videos"]
    answer = httpx.get(video["url"], trust_env=False, headers={"Range": "bytes=0-15"})
    return answer.is_success and answer.content[4:8] == b"ftyp"


def measure(kling: Served, result: Any) -> Measured:
    """What the ledger of an emulator says that was asked by one task instance alone."""
    ledger = kling.emulator.ledger()
    creates = [create for create in ledger["creates"] if create["prompt"] != ELSEWHERE]
    return Measured(
        sent=int(ledger["requests"].get(CREATE, 0)),
        accepted=len(creates),
        charged=sum(create["status"] == "succeed" for create in creates),
        delivered=is_delivered(result),
    )
