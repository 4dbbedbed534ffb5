"""The trigger: it only reads, survives being rebuilt, and fires once."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable
from typing import Any

import pytest

from airflow_provider_kling.api.requests import Text2VideoRequest
from airflow_provider_kling.hooks.kling import KlingHook
from airflow_provider_kling.triggers.task import KlingTaskTrigger, task_of_event
from tests.emulator_fixtures import Served

pytestmark = pytest.mark.usefixtures("fast")


@pytest.fixture
def kling(kling: Served) -> Served:
    kling.emulator.settings.progress = "looks"
    return kling


def submit(prompt: str = "A fox") -> str:
    return KlingHook().submit(Text2VideoRequest(prompt=prompt)).task_id


def trigger(task_id: str, **arguments: Any) -> KlingTaskTrigger:
    return KlingTaskTrigger(
        **{"kling_task_id": task_id, "poll_interval": 0.01, "deadline": time.time() + 60} | arguments
    )


def fire(waiting: KlingTaskTrigger) -> Any:
    async def run() -> list[Any]:
        return [event.payload async for event in waiting.run()]

    (payload,) = asyncio.run(run())
    return payload


def test_it_fires_once_with_the_finished_task(kling: Served) -> None:
    task_id = submit()
    event = json.loads(json.dumps(fire(trigger(task_id))))
    assert (event["version"], event["outcome"]) == (1, "ended")
    assert task_of_event(event)["task_id"] == task_id
    assert kling.emulator.ledger()["accepted"] == 1


def test_a_failed_task_is_an_outcome_of_the_task_and_not_of_the_wait(kling: Served) -> None:
    event = fire(trigger(submit("[fail] a fox")))
    assert event["outcome"] == "ended"
    assert event["task"]["status"] == "failed"


def test_it_is_rebuilt_from_plain_json_without_a_key(kling: Served) -> None:
    waiting = trigger("1", external_task_id="af-1-0", kind="image2video")
    path, arguments = waiting.serialize()
    text = json.dumps(arguments)
    assert "emulator-key" not in text
    assert set(arguments) == {
        "kling_conn_id",
        "kling_task_id",
        "kind",
        "external_task_id",
        "poll_interval",
        "deadline",
        "model_name",
    }
    assert KlingTaskTrigger(**json.loads(text)).serialize() == (path, arguments)


def test_arguments_of_another_version_do_not_stop_it(kling: Served) -> None:
    assert KlingTaskTrigger(kling_task_id="1", something_new=3).kling_task_id == "1"


def test_trouble_is_waited_out(kling: Served) -> None:
    task_id = submit()
    kling.emulator.faults.add("GET", "query", {"kind": "kling", "code": 5000}, times=6)
    kling.emulator.faults.add("GET", "query", "drop", times=2)
    assert fire(trigger(task_id))["outcome"] == "ended"


def test_the_deadline_ends_the_wait_and_the_message_says_what_goes_on(kling: Served) -> None:
    kling.emulator.settings.looks = 10_000
    event = fire(trigger(submit(), deadline=time.time() + 0.05))
    assert event["outcome"] == "timeout"
    assert "still being made and will be billed" in event["message"]


def test_a_deadline_in_the_past_still_looks_once(kling: Served) -> None:
    kling.emulator.settings.progress = "immediate"
    assert fire(trigger(submit(), deadline=time.time() - 100))["outcome"] == "ended"


def test_a_revoked_key_ends_the_wait_after_a_few_looks(kling: Served, connect: Callable[..., None]) -> None:
    task_id = submit()
    connect(host=kling.url, password="revoked")
    event = fire(trigger(task_id))
    assert (event["outcome"], event["hopeless"]) == ("error", True)
    assert "1002" in event["message"]


def test_a_deleted_connection_ends_the_wait_and_a_retry_may_mend_it(kling: Served) -> None:
    event = fire(trigger("1", kling_conn_id="gone"))
    assert (event["outcome"], event["hopeless"]) == ("error", False)
    assert "gone" in event["message"]
    # The video exists by then, and is billed.
    assert "Nothing was bought" not in event["message"]


def test_cancelling_it_is_quiet_and_reads_nothing_more(kling: Served) -> None:
    kling.emulator.settings.looks = 10_000
    task_id = submit()

    async def cancel() -> None:
        async def consume() -> None:
            async for _ in trigger(task_id).run():
                raise AssertionError("it must not fire")

        running = asyncio.create_task(consume())
        await asyncio.sleep(0.1)
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running

    asyncio.run(cancel())


def test_a_kill_only_says_what_goes_on_and_says_nothing_once_it_has_fired(
    kling: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    waiting = trigger(submit())
    said: list[str] = []
    monkeypatch.setattr(waiting.log, "info", lambda text, *values: said.append(text % values))
    asyncio.run(waiting.on_kill())
    assert "will be billed" in said.pop()
    fire(waiting)
    said.clear()
    asyncio.run(waiting.on_kill())
    assert said == []
