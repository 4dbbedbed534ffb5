"""Drives flows by hand: outcomes go in, what the flow wanted done comes out. No clock, no network."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from airflow_provider_kling.api.flows import Flow, NoAnswer, Outcome, Send, Sleep
from airflow_provider_kling.api.wire import Answer
from airflow_provider_kling.exceptions import KlingError

#: The network's two ways of saying nothing.
LOST = NoAnswer(sent=True, reason="the connection was dropped")
NEVER_SENT = NoAnswer(sent=False, reason="connection refused")


@dataclass
class Run:
    """What a flow did. ``left`` are outcomes it did not ask for."""

    sent: list[Send] = field(default_factory=list)
    slept: list[float] = field(default_factory=list)
    value: Any = None
    error: KlingError | None = None
    left: int = 0

    @property
    def methods(self) -> list[str]:
        return [send.method for send in self.sent]

    @property
    def creates(self) -> int:
        return self.methods.count("POST")

    @property
    def names(self) -> list[str]:
        """External ids in the order they were sent."""
        return [send.body["external_task_id"] for send in self.sent if send.body is not None]


def drive(flow: Flow[Any], outcomes: Iterable[Outcome]) -> Run:
    """Answer each request of the flow with the next outcome; pauses pass at once."""
    run, script = Run(), list(outcomes)
    outcome: Outcome = None
    try:
        while True:
            step = flow.send(outcome)
            if isinstance(step, Sleep):
                run.slept.append(step.seconds)
                outcome = None
            else:
                run.sent.append(step)
                assert script, f"the flow asks for more than the script has: {step}"
                outcome = script.pop(0)
    except StopIteration as stop:
        run.value = stop.value
    except KlingError as e:
        run.error = e
    run.left = len(script)
    return run


def answer(body: object, status: int = 200, **headers: str) -> Answer:
    text = body if isinstance(body, str) else json.dumps(body)
    return Answer(status, text, {name.replace("_", "-"): value for name, value in headers.items()})


def task_json(task_id: str = "900000000000000001", status: str = "submitted", **more: Any) -> dict[str, Any]:
    return {"task_id": task_id, "task_status": status, **more}


def ok(data: object = None, **more: Any) -> Answer:
    """A success in the official envelope."""
    envelope = {"code": 0, "message": "SUCCEED", "request_id": "r-1", "data": data or task_json(), **more}
    return answer(envelope)


def named(name: str, status: str = "submitted", **more: Any) -> Answer:
    """A task that carries the external id."""
    return ok(task_json(status=status, task_info={"external_task_id": name}, **more))


def refused(code: object, message: str = "no", status: int = 400, **headers: str) -> Answer:
    return answer({"code": code, "message": message, "request_id": "r-2"}, status, **headers)


def not_found(name: str = "x") -> Answer:
    return refused(1201, f"Task not found by id/external id: {name}")


def exists(name: str = "x") -> Answer:
    return refused(1201, f"External_task_id {name} already exists")
