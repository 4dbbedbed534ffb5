"""Who pays for what, and what the log says of it."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import Any

import airflow
import pytest
from packaging.version import Version

from airflow_provider_kling.api.requests import Text2VideoRequest
from airflow_provider_kling.exceptions import (
    KlingConcurrencyError,
    KlingInputError,
    KlingRejectedError,
    KlingUnknownOutcomeError,
)
from airflow_provider_kling.hooks.kling import KlingHook
from airflow_provider_kling.purchase import Buyer, Purchase
from tests.emulator_fixtures import Served
from tests.fakes import FakeStateStore, FakeTaskInstance, context_of

pytestmark = pytest.mark.usefixtures("fast")
needs_store = pytest.mark.skipif(
    Version("3.3") > Version(airflow.__version__), reason="the task state store came with Airflow 3.3"
)
DAY = 86400.0


@pytest.fixture
def relay(emulator_server: Served, connect: Callable[..., None]) -> Served:
    connect(host=emulator_server.url, password="emulator-key")
    emulator_server.emulator.settings.dialect = "relay_no_external_id"
    return emulator_server


@pytest.fixture(autouse=True)
def _heard(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)


def buy(
    ti: FakeTaskInstance, store: FakeStateStore | None = None, *, prompt: str = "A fox", **more: Any
) -> Purchase:
    fields = {name: more.pop(name) for name in ("external_task_id",) if name in more}
    buyer = Buyer(context_of(ti, store), KlingHook(), **more)
    return buyer.get(Text2VideoRequest(prompt=prompt, **fields))


def bought(kling: Served) -> int:
    return int(kling.emulator.ledger()["accepted"])


def posts(kling: Served) -> int:
    return int(kling.emulator.ledger()["requests"].get("POST /v1/videos/text2video", 0))


def test_a_purchase_is_said_with_its_price(kling: Served, caplog: Any, ti: FakeTaskInstance) -> None:
    task = buy(ti).task
    said = f"Bought: task {task.task_id} (external id {task.external_task_id}, 1.5 units estimated)."
    assert said in caplog.messages


@needs_store
def test_an_adoption_names_the_try_that_paid(kling: Served, caplog: Any, ti: FakeTaskInstance) -> None:
    store = FakeStateStore()
    task = buy(ti, store).task
    buy(ti.again(), store)
    assert f"Adopted: task {task.task_id}" in caplog.text
    assert "from try 1, nothing bought." in caplog.text


def test_an_adoption_without_a_record_says_so_too(kling: Served, caplog: Any, ti: FakeTaskInstance) -> None:
    buy(ti)
    buy(ti.again())
    assert "from an earlier try, nothing bought." in caplog.text
    buy(FakeTaskInstance())
    assert "from an earlier run of the same name, nothing bought. For a new video set another" in caplog.text


def test_a_clear_says_how_to_ask_for_a_new_video(kling: Served, caplog: Any, ti: FakeTaskInstance) -> None:
    buy(ti)
    buy(ti.again(cleared=True))
    assert "For a new video set another take, or on_clear='regenerate'." in caplog.text
    assert bought(kling) == 1


@needs_store
@pytest.mark.parametrize("kept", [True, False])
def test_a_new_take_after_a_clear_names_the_old_one_that_goes_on(
    kling: Served, caplog: Any, ti: FakeTaskInstance, kept: bool
) -> None:
    kling.emulator.settings.update({"progress": "time", "seconds_per_video": 3600})
    store = FakeStateStore()
    old = buy(ti, store, on_clear="regenerate").task
    ti.again(cleared=True)
    if not kept:  # a later Airflow forgets on a clear
        store.values.clear()
    new = buy(ti, store, on_clear="regenerate").task
    assert new.task_id != old.task_id
    assert f"New take after clear: bought task {new.task_id} " in caplog.text
    assert f"task {old.task_id} goes on and is billed." in caplog.text
    assert bought(kling) == 2


def test_a_new_take_without_a_record_finds_the_old_one_by_its_id(
    kling: Served, caplog: Any, ti: FakeTaskInstance
) -> None:
    old = buy(ti, on_clear="regenerate").task
    ti.again()
    buy(ti.again(cleared=True), on_clear="regenerate")
    assert f"task {old.task_id} was billed too." in caplog.text


def test_a_new_take_after_nothing_is_just_a_purchase(kling: Served, caplog: Any) -> None:
    buy(FakeTaskInstance(try_number=2, max_tries=1), on_clear="regenerate")
    assert "New take after clear: bought task" in caplog.text
    assert "billed" not in caplog.text


@pytest.mark.parametrize("more", [{"take": 2}, {"on_clear": "regenerate"}])
def test_under_the_authors_own_id_there_is_no_second_take(kling: Served, more: dict[str, Any]) -> None:
    ti = FakeTaskInstance(try_number=2, max_tries=1)
    with pytest.raises(KlingInputError, match=r"'mine' is your own.*Nothing was bought"):
        buy(ti, external_task_id="mine", **more)
    assert posts(kling) == 0


@needs_store
def test_a_video_that_kling_has_cleared_is_bought_anew_and_the_log_says_why(
    kling: Served, caplog: Any, ti: FakeTaskInstance
) -> None:
    store = FakeStateStore()
    old = buy(ti, store).task
    store.values["kling_submission"]["submitted_at"] -= 31 * DAY
    kling.emulator.expire(old.task_id)
    new = buy(ti.again(cleared=True), store).task
    assert new.external_task_id.endswith("-1")
    assert f"Kling cleared task {old.task_id}" in caplog.text
    assert bought(kling) == 2


@needs_store
def test_a_task_that_is_not_known_any_more_though_it_is_young_is_not_bought_again(
    kling: Served, ti: FakeTaskInstance
) -> None:
    store = FakeStateStore()
    old = buy(ti, store).task
    kling.emulator.expire(old.task_id, forget_external_id=True)
    with pytest.raises(KlingRejectedError, match=f"Task {old.task_id} .* Nothing was bought again") as error:
        buy(ti.again(), store)
    assert error.value.hopeless
    assert bought(kling) == 1


@needs_store
def test_a_record_written_before_anything_else_survives_a_crash_right_after(
    kling: Served, ti: FakeTaskInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = FakeStateStore()
    monkeypatch.setattr(Buyer, "_say_bought", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        buy(ti, store)
    assert store.values["kling_submission"]["task_id"]


@needs_store
def test_a_store_that_fails_after_the_purchase_does_not_fail_the_task(
    kling: Served, caplog: Any, ti: FakeTaskInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = FakeStateStore()
    monkeypatch.setattr(store, "set", lambda *_, **__: (_ for _ in ()).throw(OSError("no server")))
    assert buy(ti, store).bought
    assert "Could not store the id of task" in caplog.text


@needs_store
def test_on_a_relay_a_try_that_was_about_to_buy_stops_the_next_one(relay: Served, ti: Any) -> None:
    store = FakeStateStore()
    relay.emulator.faults.add("POST", "create", {"kind": "drop", "accepted": True})
    for _ in range(3):
        with pytest.raises(KlingUnknownOutcomeError) as error:
            buy(ti, store)
        assert error.value.hopeless
        ti.again()
    assert (bought(relay), posts(relay)) == (1, 1)


@needs_store
def test_on_a_relay_a_clear_is_a_persons_word_that_it_may_be_bought(relay: Served, ti: Any) -> None:
    store = FakeStateStore()
    relay.emulator.faults.add("POST", "create", "drop")
    with pytest.raises(KlingUnknownOutcomeError):
        buy(ti, store)
    assert buy(ti.again(cleared=True), store).bought
    assert bought(relay) == 1


@needs_store
def test_on_a_relay_a_refusal_takes_the_announcement_back(relay: Served, ti: FakeTaskInstance) -> None:
    store = FakeStateStore()
    relay.emulator.settings.account_state = "arrears"
    with pytest.raises(Exception, match="1101"):
        buy(ti, store)
    assert store.values == {}
    relay.emulator.settings.account_state = ""
    assert buy(ti.again(), store).bought


@needs_store
def test_on_a_relay_the_record_is_adopted(relay: Served, ti: FakeTaskInstance) -> None:
    store = FakeStateStore()
    first = buy(ti, store)
    began = first.submitted_at
    time.sleep(0.01)
    again = buy(ti.again(), store)
    assert (again.task.task_id, again.bought, again.submitted_at) == (first.task.task_id, False, began)
    assert bought(relay) == 1


def test_on_a_relay_without_a_store_a_retry_warns_and_buys(
    relay: Served, caplog: Any, ti: FakeTaskInstance
) -> None:
    buy(ti)
    buy(ti.again())
    assert "This host can't tell whether an earlier try bought this video" in caplog.text
    assert bought(relay) == 2


def test_max_concurrency_spares_the_account_a_create_that_would_be_refused(
    kling: Served, connect: Callable[..., None], ti: FakeTaskInstance
) -> None:
    connect(host=kling.url, password="emulator-key", extra={"external_task_ids": True, "max_concurrency": 1})
    kling.emulator.settings.update({"progress": "time", "seconds_per_video": 3600})
    buy(ti)
    with pytest.raises(KlingConcurrencyError, match=r"max_concurrency is 1. Nothing was sent"):
        buy(FakeTaskInstance(map_index=1))
    assert (posts(kling), bought(kling)) == (1, 1)


def test_where_no_tasks_are_listed_max_concurrency_stops_nothing(
    kling: Served, connect: Callable[..., None], ti: FakeTaskInstance
) -> None:
    connect(host=kling.url, password="emulator-key", extra={"external_task_ids": True, "max_concurrency": 1})
    kling.emulator.settings.list_route = False
    assert buy(ti).bought


def test_a_loser_of_a_race_adopts(kling: Served, ti: FakeTaskInstance) -> None:
    winner = buy(ti)
    loser = buy(FakeTaskInstance())
    assert (winner.bought, loser.bought) == (True, False)
    assert loser.task.task_id == winner.task.task_id
    assert posts(kling) == 2
    assert bought(kling) == 1
