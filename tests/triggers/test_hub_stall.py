"""A thousand waiting triggers on one event loop, and no callback of ours that holds it up."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from airflow_provider_kling.triggers.task import KlingTaskTrigger
from demo.local_emulator import LocalEmulator
from demo.processes import Processes

WAITING = 1000


@pytest.fixture
def emulator(tmp_path: Path) -> Iterator[LocalEmulator]:
    """In a process of its own: in this one it would take turns with the loop that is watched."""
    with Processes(tmp_path) as processes:
        served = LocalEmulator(processes, concurrency=WAITING, seconds_per_video=6)
        served.start()
        yield served


def submit(emulator: LocalEmulator) -> list[str]:
    body = {"model_name": "kling-v2-6", "prompt": "A fox"}
    with httpx.Client(headers={"Authorization": f"Bearer {emulator.api_key}"}, timeout=30) as client:
        answers = [
            client.post(f"{emulator.base_url}/v1/videos/text2video", json=body) for _ in range(WAITING)
        ]
    return [answer.json()["data"]["task_id"] for answer in answers]


def test_a_thousand_triggers_never_hold_the_loop_up_for_50_ms(
    emulator: LocalEmulator, connect: Callable[..., None], caplog: pytest.LogCaptureFixture
) -> None:
    connect(host=emulator.base_url, password=emulator.api_key)
    ids = submit(emulator)
    before = emulator.ledger()["requests_total"]

    async def event_of(task_id: str) -> Any:
        waiting = KlingTaskTrigger(kling_task_id=task_id, poll_interval=2.0, deadline=time.time() + 60)
        (payload,) = [event.payload async for event in waiting.run()]
        return payload["outcome"]

    async def run() -> list[Any]:
        loop = asyncio.get_running_loop()
        loop.set_debug(True)
        loop.slow_callback_duration = 0.05
        return list(await asyncio.gather(*map(event_of, ids)))

    with caplog.at_level(logging.WARNING, logger="asyncio"):
        assert asyncio.run(run()) == ["ended"] * WAITING
    slow = [record.getMessage() for record in caplog.records if record.name == "asyncio"]
    assert not [line for line in slow if "airflow_provider_kling" in line], slow
    assert emulator.ledger()["requests_total"] - before <= 20
