"""Triggers that wait on the same account share one poll, and nothing else."""

from __future__ import annotations

import asyncio
import contextvars
import logging
import time
from collections.abc import Callable, Iterable
from typing import Any

import pytest

from airflow_provider_kling.api import polling
from airflow_provider_kling.api.polling import JITTER
from airflow_provider_kling.hooks.kling import KlingHook
from airflow_provider_kling.triggers import hub as hub_module
from airflow_provider_kling.triggers import hubs as hubs_module
from airflow_provider_kling.triggers.hub import TOGETHER
from airflow_provider_kling.triggers.hubs import hubs
from airflow_provider_kling.triggers.slot import KlingSlotTrigger
from airflow_provider_kling.triggers.task import KlingTaskTrigger
from tests.emulator_fixtures import Served

pytestmark = pytest.mark.usefixtures("fast")

SINGLE, LIST, TASKS = "GET /v1/videos/text2video/{id}", "GET /v1/videos/text2video", "GET /tasks"


@pytest.fixture
def kling(emulator_server: Served, connect: Callable[..., None]) -> Served:
    connect(host=emulator_server.url, password="emulator-key")
    emulator_server.emulator.settings.concurrency = 10_000
    return emulator_server


def made(kling: Served, count: int, seconds: float = 0.3) -> list[str]:
    kling.emulator.settings.update({"progress": "time", "seconds_per_video": seconds})
    return [kling.emulator.add_task(prompt=f"A fox {n}").task_id for n in range(count)]


def trigger(task_id: str, **arguments: Any) -> KlingTaskTrigger:
    given = {"kling_task_id": task_id, "poll_interval": 0.1, "deadline": time.time() + 60}
    return KlingTaskTrigger(**given | arguments)


async def event_of(waiting: Any) -> Any:
    (payload,) = [event.payload async for event in waiting.run()]
    return payload


async def events_of(triggers: Iterable[Any]) -> list[Any]:
    return list(await asyncio.gather(*(event_of(one) for one in triggers)))


def outcomes(triggers: Iterable[Any]) -> list[str]:
    return [event["outcome"] for event in asyncio.run(events_of(triggers))]


def asked(kling: Served) -> dict[str, int]:
    return dict(kling.emulator.ledger()["requests"])


def test_three_hundred_waiting_triggers_ask_one_question_a_tick(kling: Served) -> None:
    ids = made(kling, 300, seconds=1.0)
    began = time.time()
    assert outcomes([trigger(task_id, poll_interval=0.3) for task_id in ids]) == ["ended"] * 300
    ticks = 1 + (time.time() - began) / (0.3 * (1 - TOGETHER) * (1 - JITTER))
    assert SINGLE not in asked(kling)
    # One page a tick; a few ids at a time only of those that joined late or were left at the end.
    assert asked(kling)[LIST] <= ticks
    assert sum(asked(kling).values()) <= 300 / 10


def test_a_few_ask_by_their_ids_and_one_asks_alone(kling: Served) -> None:
    assert outcomes([trigger(task_id) for task_id in made(kling, 5)]) == ["ended"] * 5
    assert set(asked(kling)) == {TASKS}
    assert outcomes([trigger(made(kling, 1)[0])]) == ["ended"]
    assert asked(kling)[SINGLE] >= 1


def test_a_relay_that_offers_neither_is_asked_one_by_one_and_not_too_often(
    kling: Served, connect: Callable[..., None]
) -> None:
    kling.emulator.settings.update({"list_route": False, "tasks_route": False})
    connect(host=kling.url, password="emulator-key", extra={"max_qps": 40})
    ids = made(kling, 30, seconds=0.2)
    began = time.time()
    assert outcomes([trigger(task_id) for task_id in ids]) == ["ended"] * 30
    singles = asked(kling)[SINGLE]
    assert singles >= 30
    assert singles / (time.time() - began) <= 40 * 1.1
    assert asked(kling).get(LIST, 0) + asked(kling).get(TASKS, 0) == 2


def test_singles_stop_at_the_first_sign_that_the_host_wants_quiet(kling: Served) -> None:
    kling.emulator.settings.update({"list_route": False, "tasks_route": False})
    ids = made(kling, 60, seconds=0.2)
    kling.emulator.faults.add("GET", "query", {"kind": "kling", "code": 1302, "retry_after": 2}, times=None)

    async def run() -> int:
        waiting = [asyncio.create_task(event_of(trigger(task_id))) for task_id in ids]
        await asyncio.sleep(1.0)
        for one in waiting:
            one.cancel()
        await asyncio.gather(*waiting, return_exceptions=True)
        return asked(kling)[SINGLE]

    # Those under way at once may still be answered; the other fifty are not sent.
    assert asyncio.run(run()) <= hub_module.SINGLES_AT_ONCE


def test_what_a_host_does_not_offer_is_asked_again_after_an_hour(
    kling: Served, connect: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hub_module, "OFFERS_SECONDS", 0.3)
    connect(host=kling.url, password="emulator-key", extra={"max_qps": 1000})
    ids = made(kling, 30, seconds=1.0)
    # A proxy speaks for the host: once for the list, once for the ids.
    kling.emulator.faults.add("GET", "list", {"kind": "html", "status": 404})
    kling.emulator.faults.add("GET", "tasks", {"kind": "html", "status": 404})
    assert outcomes([trigger(task_id) for task_id in ids]) == ["ended"] * 30
    # One of each that was answered by the proxy, and more.
    assert asked(kling).get(LIST, 0) + asked(kling).get(TASKS, 0) > 2


def test_with_access_key_and_secret_key_the_route_that_takes_no_token_is_not_tried(
    kling: Served, connect: Callable[..., None]
) -> None:
    secret = "secret-secret-secret-secret-secret!"
    kling.emulator.settings.update({"access_key": "access", "secret_key": secret})
    connect(host=kling.url, login="access", password=secret)
    assert outcomes([trigger(task_id) for task_id in made(kling, 5)]) == ["ended"] * 5
    assert set(asked(kling)) == {LIST}


def test_connections_of_the_same_account_share_a_hub_and_others_do_not(
    kling: Served, connect: Callable[..., None]
) -> None:
    connect("kling_twin", host=kling.url, password="emulator-key")
    connect("kling_other", host=kling.url + "/", password="emulator-key", login="access")
    first, second, third = made(kling, 3)

    async def count() -> int:
        waiting = [
            asyncio.create_task(event_of(trigger(first))),
            asyncio.create_task(event_of(trigger(second, kling_conn_id="kling_twin"))),
            asyncio.create_task(event_of(trigger(third, kling_conn_id="kling_other"))),
        ]
        while len(hubs().hubs) < 2:  # noqa: ASYNC110 - a hub announces itself to nobody
            await asyncio.sleep(0.01)
        shared = len(hubs().hubs)
        for one in waiting:
            one.cancel()
        await asyncio.gather(*waiting, return_exceptions=True)
        return shared

    assert asyncio.run(count()) == 2


def test_the_last_waiter_to_leave_closes_the_hub_and_the_next_one_finds_a_new_one(kling: Served) -> None:
    async def twice() -> None:
        for _ in range(2):
            (task_id,) = made(kling, 1)
            assert (await event_of(trigger(task_id)))["outcome"] == "ended"
            assert hubs().hubs == {}

    asyncio.run(twice())


def test_cancelling_one_leaves_the_others_waiting(kling: Served) -> None:
    ids = made(kling, 10, seconds=0.5)

    async def run() -> list[Any]:
        waiting = [asyncio.create_task(event_of(trigger(task_id))) for task_id in ids]
        await asyncio.sleep(0.1)
        waiting[0].cancel()
        return await asyncio.gather(*waiting, return_exceptions=True)

    first, *others = asyncio.run(run())
    assert isinstance(first, asyncio.CancelledError)
    assert [event["outcome"] for event in others] == ["ended"] * 9


def test_two_that_wait_for_the_same_task_are_both_told(kling: Served) -> None:
    (task_id,) = made(kling, 1)
    assert outcomes([trigger(task_id), trigger(task_id)]) == ["ended", "ended"]


def test_an_unknown_id_fails_alone(kling: Served) -> None:
    ids = made(kling, 5)
    events = asyncio.run(events_of([*map(trigger, ids), trigger("424242")]))
    assert [event["outcome"] for event in events] == ["ended"] * 5 + ["error"]
    assert "no task of this account has this id" in events[-1]["message"]


def test_each_has_its_own_deadline(kling: Served) -> None:
    quick, slow = made(kling, 1, seconds=0.2)[0], made(kling, 1, seconds=3600)[0]
    assert outcomes([trigger(quick), trigger(slow, deadline=time.time() + 0.5)]) == ["ended", "timeout"]


@pytest.mark.parametrize(
    "fault",
    [
        {"kind": "kling", "code": 1302, "retry_after": 0},
        {"kind": "status", "status": 503},
        {"kind": "kling", "code": 5000},
        {"kind": "html", "status": 502},
        {"kind": "drop"},
    ],
)
def test_the_hosts_trouble_is_waited_out_by_all(kling: Served, fault: dict[str, Any]) -> None:
    ids = made(kling, 30)
    kling.emulator.faults.add("GET", "any", fault, times=8)
    assert outcomes(map(trigger, ids)) == ["ended"] * 30
    assert kling.emulator.ledger()["requests_total"] < 60


def test_the_whole_hub_is_quiet_for_as_long_as_the_host_asks(
    kling: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    ids = made(kling, 30, seconds=0.1)
    kling.emulator.faults.add("GET", "any", {"kind": "kling", "code": 1302, "retry_after": 1}, times=1)
    began = time.time()

    async def run() -> tuple[int, list[Any]]:
        waiting = [asyncio.create_task(event_of(trigger(task_id))) for task_id in ids]
        await asyncio.sleep(0.9)
        during = kling.emulator.ledger()["requests_total"]
        return during, await asyncio.gather(*waiting)

    during, events = asyncio.run(run())
    assert during == 1
    assert time.time() - began >= 1
    assert [event["outcome"] for event in events] == ["ended"] * 30


def test_a_deadline_is_kept_while_the_host_hangs(kling: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hubs_module, "LATE_SECONDS", 0.1)
    ids = made(kling, 5, seconds=3600)
    kling.emulator.faults.add("GET", "any", {"kind": "hang", "seconds": 5}, times=None)
    began = time.time()
    assert outcomes([trigger(each, deadline=time.time() + 0.5) for each in ids]) == ["timeout"] * 5
    assert time.time() - began < 3


def test_an_empty_id_fails_alone_and_at_once(kling: Served) -> None:
    ids = made(kling, 3)
    events = asyncio.run(events_of([trigger("  "), *map(trigger, ids)]))
    assert [event["outcome"] for event in events] == ["error"] + ["ended"] * 3
    assert "must not be empty" in events[0]["message"]


def test_an_answer_counts_for_the_id_that_was_asked_for(kling: Served) -> None:
    made_task = kling.emulator.add_task(prompt="A fox", external_task_id="mine")
    kling.emulator.settings.update({"dialect": "relay_no_external_id", "progress": "immediate"})
    (event,) = asyncio.run(events_of([trigger(f" {made_task.task_id} ")]))
    assert event["outcome"] == "ended"


def test_a_proxy_that_is_none_is_told_to_each_that_waits(kling: Served, connect: Callable[..., None]) -> None:
    connect(host=kling.url, password="emulator-key", extra={"proxy": "nonsense"})
    events = asyncio.run(events_of([trigger("1"), trigger("2")]))
    assert all(event["outcome"] == "error" and "proxy:" in event["message"] for event in events)


def test_a_connection_that_can_not_be_read_for_a_while_is_waited_for(
    kling: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hubs_module, "UNREADABLE_SECONDS", 0.05)
    read, failures = KlingHook.aread_connection, [OSError("the database is away")] * 3

    async def aread(hook: KlingHook) -> Any:
        if failures:
            raise failures.pop()
        return await read(hook)

    monkeypatch.setattr(KlingHook, "aread_connection", aread)
    assert outcomes(map(trigger, made(kling, 3))) == ["ended"] * 3
    assert failures == []


def test_those_that_wait_for_a_slot_try_again_when_the_key_is_changed(
    kling: Served, connect: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("airflow_provider_kling.triggers.slots.LOOK_SECONDS", 0.02)
    made(kling, 1, seconds=3600)

    async def run() -> Any:
        waiting = asyncio.create_task(event_of(KlingSlotTrigger(since=1.0, deadline=time.time() + 20)))
        await asyncio.sleep(0.3)
        kling.emulator.settings.api_key = "another-key"
        connect(host=kling.url, password="another-key")
        return await waiting

    assert asyncio.run(run())["freed"] is True


def test_a_key_that_is_changed_while_waiting_is_taken_up(kling: Served, connect: Callable[..., None]) -> None:
    ids = made(kling, 3, seconds=1.0)

    async def run() -> list[Any]:
        waiting = [asyncio.create_task(event_of(trigger(task_id))) for task_id in ids]
        await asyncio.sleep(0.3)
        kling.emulator.settings.api_key = "another-key"
        connect(host=kling.url, password="another-key")
        return await asyncio.gather(*waiting)

    assert [event["outcome"] for event in asyncio.run(run())] == ["ended"] * 3


def test_a_connection_that_is_deleted_while_waiting_changes_nothing(
    kling: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    (task_id,) = made(kling, 1, seconds=0.6)

    async def run() -> Any:
        waiting = asyncio.create_task(event_of(trigger(task_id)))
        await asyncio.sleep(0.2)
        monkeypatch.delenv("AIRFLOW_CONN_KLING_DEFAULT")
        return await waiting

    assert asyncio.run(run())["outcome"] == "ended"


def test_no_event_fires_before_airflow_has_settled_the_deferral(
    kling: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(polling, "SETTLE_SECONDS", 0.6)
    (task_id,) = made(kling, 1, seconds=0.0)
    began = time.time()
    assert outcomes([trigger(task_id, poll_interval=0.05)]) == ["ended"]
    assert time.time() - began >= 0.6


def test_a_bug_in_the_hub_does_not_leave_triggers_waiting_for_nobody(
    kling: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: Any, **__: Any) -> Any:
        raise RuntimeError("a bug")

    monkeypatch.setattr(hub_module, "look", broken)
    (event,) = asyncio.run(events_of([trigger(made(kling, 1)[0])]))
    assert (event["outcome"], "a bug" in event["message"]) == ("error", True)


def test_nothing_of_the_hub_is_logged_in_the_context_of_a_trigger(kling: Served) -> None:
    task_log: contextvars.ContextVar[str] = contextvars.ContextVar("task_log", default="nobody's")
    heard: list[tuple[str, str]] = []

    class Listener(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            heard.append((record.name, task_log.get()))

    async def run() -> Any:
        task_log.set("the first trigger's")
        return await event_of(trigger(made(kling, 1)[0]))

    kling.emulator.faults.add("GET", "any", {"kind": "kling", "code": 5000}, times=2)
    listener = Listener()
    logger = logging.getLogger("airflow_provider_kling.triggers.hub")
    logger.addHandler(listener)
    try:
        assert asyncio.run(run())["outcome"] == "ended"
    finally:
        logger.removeHandler(listener)
    assert {where for name, where in heard if name == logger.name} == {"nobody's"}


def test_slots_are_given_one_by_one_in_the_order_of_waiting(
    kling: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("airflow_provider_kling.triggers.slots.LOOK_SECONDS", 0.02)
    made(kling, 2, seconds=0.5)
    order: list[int] = []

    async def run() -> None:
        deadline = time.time() + 30

        async def wait(number: int) -> None:
            event = await event_of(KlingSlotTrigger(since=float(number), deadline=deadline))
            assert event["freed"]
            order.append(number)

        await asyncio.gather(wait(2), wait(1))

    asyncio.run(run())
    assert order == [1, 2]


def test_the_wait_for_a_slot_ends_at_its_deadline(kling: Served) -> None:
    made(kling, 1, seconds=3600)
    (event,) = asyncio.run(events_of([KlingSlotTrigger(since=1.0, deadline=time.time() + 0.2)]))
    assert event == {"version": 1, "since": 1.0, "deadline": event["deadline"], "freed": False}


def test_a_wait_for_a_slot_that_breaks_off_lets_the_worker_say_what_is_wrong_but_not_at_once(
    kling: Served, connect: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(polling, "SLOT_PAUSE", 0.3)
    connect("kling_keyless", host=kling.url)
    began = time.time()
    waiting = KlingSlotTrigger(kling_conn_id="kling_keyless", since=1.0, deadline=began + 60)
    (event,) = asyncio.run(events_of([waiting]))
    assert "freed" not in event
    assert time.time() - began >= 0.3
