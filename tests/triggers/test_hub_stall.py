"""A thousand waiting triggers on one event loop, and no callback that holds it up.

asyncio's own watch measures time on the wall, in which a busy machine may be doing something else. This one
asks the system what the loop's thread did: computed for too long, or waited (a voluntary switch) while others
could not run.
"""

from __future__ import annotations

import asyncio
import gc
import resource
import time
from asyncio.events import Handle
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from airflow_provider_kling.triggers.task import KlingTaskTrigger, load_hubs
from demo.local_emulator import LocalEmulator
from demo.processes import Processes

WAITING = 1000
#: Seconds for which a callback may hold the loop up.
HELD_MAX = 0.05


class Watch:
    """Every callback that a loop runs, measured."""

    def __init__(self) -> None:
        self.breaches: list[str] = []
        self.callbacks = 0

    def run(self, handle: Handle, run: Callable[[Handle], None]) -> None:
        before, wall = resource.getrusage(resource.RUSAGE_THREAD), time.perf_counter()
        computed = time.thread_time()
        run(handle)
        computed, wall = time.thread_time() - computed, time.perf_counter() - wall
        waited = resource.getrusage(resource.RUSAGE_THREAD).ru_nvcsw > before.ru_nvcsw
        self.callbacks += 1
        if computed > HELD_MAX or (waited and wall > HELD_MAX):
            self.breaches.append(
                f"{handle!r}: computed {computed:.3f} s, waited: {waited}, {wall:.3f} s in all"
            )


@pytest.fixture
def watch(monkeypatch: pytest.MonkeyPatch) -> Iterator[Watch]:
    made, run = Watch(), Handle._run
    monkeypatch.setattr(Handle, "_run", lambda handle: made.run(handle, run))
    # What a thousand other tests left in memory would be gone through by a garbage collection in between.
    gc.collect()
    gc.freeze()
    yield made
    gc.unfreeze()


def test_the_watch_sees_what_computes_and_what_blocks(watch: Watch) -> None:
    async def computes() -> None:
        began = time.thread_time()
        while time.thread_time() < began + 2 * HELD_MAX:
            pass

    async def blocks() -> None:
        time.sleep(2 * HELD_MAX)  # noqa: ASYNC251 - the very thing that is to be seen

    for bad in (computes, blocks):
        watch.breaches.clear()
        asyncio.run(bad())
        assert len(watch.breaches) == 1
    assert watch.callbacks > 2


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
    emulator: LocalEmulator, connect: Callable[..., None], watch: Watch
) -> None:
    connect(host=emulator.base_url, password=emulator.api_key)
    ids = submit(emulator)
    before = emulator.ledger()["requests_total"]

    async def outcome_of(task_id: str) -> Any:
        waiting = KlingTaskTrigger(kling_task_id=task_id, poll_interval=2.0, deadline=time.time() + 60)
        (payload,) = [event.payload async for event in waiting.run()]
        return payload["outcome"]

    async def run() -> list[Any]:
        # Once in the life of a triggerer, in a thread, beside which the loop goes on by turns.
        await load_hubs()
        await asyncio.sleep(0)
        watch.breaches.clear()
        waiting = []
        for number, task_id in enumerate(ids):
            waiting.append(asyncio.create_task(outcome_of(task_id)))
            if number % 50 == 0:  # as many as Airflow starts at a time
                await asyncio.sleep(0)
        return list(await asyncio.gather(*waiting))

    assert asyncio.run(run()) == ["ended"] * WAITING
    assert watch.breaches == []
    assert watch.callbacks > WAITING
    assert emulator.ledger()["requests_total"] - before <= 20
