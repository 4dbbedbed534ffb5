"""Stand-ins for what Airflow hands to a task, and a connection to the emulator."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest

from tests.emulator_fixtures import Served

#: What an operator and a sensor return.
RESULT_KEYS = {
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


@dataclass
class FakeTaskInstance:
    """The part of a task instance that the package uses, the same on every Airflow version."""

    dag_id: str = "dag"
    task_id: str = "make"
    run_id: str = "run"
    map_index: int = -1
    try_number: int = 1
    max_tries: int = 0
    xcoms: dict[str, Any] = field(default_factory=dict)

    def xcom_push(self, key: str, value: Any) -> None:
        # XComs are JSON in the database.
        self.xcoms[key] = json.loads(json.dumps(value))

    def again(self, *, cleared: bool = False, retries: int = 0) -> FakeTaskInstance:
        """The next try: Airflow wipes XComs; a clear also raises max_tries."""
        self.xcoms.clear()
        if cleared:
            self.max_tries = self.try_number + retries
        self.try_number += 1
        return self


class FakeStateStore:
    """Airflow's task state store: JSON values, never None."""

    def __init__(self) -> None:
        self.values: dict[str, Any] = {}

    def get(self, key: str, default: Any = None) -> Any:
        return self.values.get(key, default)

    def set(self, key: str, value: Any, *, retention: Any = None) -> None:
        if value is None:
            raise ValueError("Cannot set value as None")
        self.values[key] = json.loads(json.dumps(value))

    def delete(self, key: str) -> None:
        self.values.pop(key, None)


def context_of(ti: FakeTaskInstance, store: FakeStateStore | None = None) -> dict[str, Any]:
    context: dict[str, Any] = {"ti": ti, "task_instance": ti, "run_id": ti.run_id, "params": {}}
    if store is not None:
        context["task_state_store"] = store
    return context


@pytest.fixture
def ti() -> FakeTaskInstance:
    return FakeTaskInstance()


@pytest.fixture
def context(ti: FakeTaskInstance) -> dict[str, Any]:
    return context_of(ti)


@pytest.fixture
def connect(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Set the connection ``kling_default`` (or another) through the environment."""

    def set_connection(conn_id: str = "kling_default", **fields: Any) -> None:
        value = json.dumps({"conn_type": "kling", **fields})
        monkeypatch.setenv(f"AIRFLOW_CONN_{conn_id.upper()}", value)

    return set_connection


@pytest.fixture
def kling(emulator_server: Served, connect: Callable[..., None]) -> Served:
    """The emulator as Kling itself: ``kling_default`` leads to it, and it keeps external ids unique."""
    connect(host=emulator_server.url, password="emulator-key", extra={"external_task_ids": True})
    return emulator_server


@pytest.fixture
def fast(monkeypatch: pytest.MonkeyPatch) -> None:
    """No pause longer than a blink: the waits' rules are tested with a clock of their own."""
    from airflow_provider_kling.api import lookup, polling

    monkeypatch.setattr(polling, "SETTLE_SECONDS", 0.01)
    monkeypatch.setattr(polling, "MAX_BACKOFF", 0.01)
    monkeypatch.setattr(polling, "SLOT_PAUSE", 0.01)
    monkeypatch.setattr(lookup, "LOOK_AGAIN_AFTER", 0.01)


@pytest.fixture
def logged(caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]) -> Callable[[], str]:
    """What was logged by now, each line once: Airflow prints it on some versions, on others it does both."""
    caplog.set_level(logging.INFO)

    def read() -> str:
        heard = list(caplog.messages)
        printed = capsys.readouterr().out.splitlines()
        return "\n".join([*heard, *(line for line in printed if not any(m and m in line for m in heard))])

    return read
